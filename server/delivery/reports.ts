/**
 * Tells an author what became of an object (protocol §10.5): a `report` of the server in the author's box, one for an object
 * and a domain, of which a later version may know more. What it says and the state beside the outbox are one write.
 */
import { hash } from 'node:crypto'
import { box } from '../../objects/box.ts'
import { addTo } from '../../objects/change.ts'
import type { Clock } from '../../objects/clock.ts'
import { describe } from '../../objects/describe.ts'
import { sealObject } from '../../objects/seal.ts'
import type { Store } from '../../objects/store.ts'
import { untilWritten } from '../../objects/until-written.ts'
import { isOtherThan } from '../../objects/version.ts'
import type { Write } from '../../objects/write.ts'
import type { Step } from '../../routing/ladder.ts'
import { canonicalText } from '../../schemas/canonical.ts'
import {
  type Address,
  type Domain,
  domainOf,
  isAddressName,
  makeObjectId,
  type ObjectId,
  ownerOf,
} from '../../schemas/names.ts'
import type { Unsealed } from '../../schemas/object.ts'
import type { Report } from '../../schemas/report.ts'
import type { HomeSealingKey } from '../accounts/credentials.ts'
import type { Said } from './deliver.ts'
import type { DeliveryRow } from './outbox.ts'
import { openIn, type Placed, rowWrite, withSettled } from './states.ts'

/** What was tried, as a report shows it. */
export type Trail = readonly (Pick<Step, 'rung' | 'what' | 'ms'> & { readonly outcome: string })[]

export interface Why {
  readonly code: string
  readonly trail: Trail
}

export interface Reports {
  /** A peer will not take it for these recipients, and never will. */
  refused(placed: Placed, said: readonly Said[], trail: Trail): Promise<void>
  /** It is given up for all who are left. */
  failed(placed: Placed, why: Why): Promise<void>
  /** It has waited for hours. Says so once. */
  late(placed: Placed, why: Why): Promise<void>
  /** All who were left have it; said where the author was told that it is late. */
  arrived(placed: Placed): Promise<void>
}

export interface ReportPorts {
  readonly store: Store
  readonly clock: Clock
  /** True for a user of ours, whose account was not deleted. */
  hasUser(address: Address): boolean
  homeKey(domain: Domain): HomeSealingKey
}

interface Telling {
  readonly outcome: 'failed' | 'delayed' | 'delivered'
  readonly recipients: readonly Address[]
  readonly code?: string | undefined
  readonly trail?: Trail
}

/** Nobody is told of these: nobody has sent them, or telling would have no end. */
const silent: ReadonlySet<string> = new Set(['report', 'user', 'server', 'mark'])
const trailMost = 20

/** The report about an object at one domain. */
export function reportId(about: string, domain: Domain): ObjectId {
  const author = domainOf(ownerOf(about as ObjectId))
  const nonce = hash('sha256', `${about} ${domain}`, 'base64url').slice(0, 32)
  return makeObjectId(`r-${nonce}`, author)
}

export function createReports(ports: ReportPorts): Reports {
  const { store, clock } = ports

  /** Writes what is new in the row, and the report with it, unless both say so already. */
  async function tell(
    placed: Placed,
    change: (row: DeliveryRow) => DeliveryRow,
    telling: (row: DeliveryRow) => Telling | undefined,
  ): Promise<void> {
    await untilWritten(async () => {
      let told: Telling | undefined
      const [write] = rowWrite(
        placed,
        row => {
          told = telling(row)
          return change(row)
        },
        store,
      )
      if (write === undefined) return true
      const report = told === undefined ? undefined : reportWrite(placed, told, write)
      const [isWritten] = await store.database.commit([report ?? write])
      return isWritten === true || undefined
    })
  }

  /** The report and where its author finds it, as one write with this one. */
  function reportWrite({ domain, entry }: Placed, telling: Telling, write: Write): Write | undefined {
    const author = ownerOf(entry.id as ObjectId)
    const object = store.findObject(entry.id)
    const isTold = isAddressName(author) && entry.by === undefined && ports.hasUser(author)
    if (!isTold || object === undefined || silent.has(object.kind)) return undefined
    const home = domainOf(author)
    const id = reportId(entry.id, domain)
    const before = store.findBefore(id)
    const nowMs = clock.now()
    const said = reportOf(entry.id, domain, telling, before?.object as Report | undefined)
    if (before !== undefined && isSame(before.object as Report, said)) return undefined
    const sealed = sealObject(
      {
        ...said,
        createdAt: before?.object.createdAt ?? new Date(nowMs).toISOString(),
        id,
        kind: 'report',
        owner: home,
        version: Math.max(nowMs, (before?.object.version ?? 0) + 1),
      } as Unsealed<Report>,
      ports.homeKey(home),
    )
    const report = describe(sealed, before, 'made', store)
    const boxed = store.findBoxedText(author, id)
    const isOther = isOtherThan(sealed, before)
    // It takes room as all that others bring, and comes into a full box as well.
    const bytes = sealed.atRest.length
    box(report, sealed.object, { address: author, bytes, nowMs, boxed, isOther }, store.database)
    addTo(report, write)
    return report
  }

  return {
    refused: (placed, said, trail) =>
      tell(
        placed,
        row =>
          withSettled(
            row,
            said.map(each => settledOf(each, clock.now())),
            false,
          ),
        row => {
          const open = new Set(openIn(row))
          const recipients = said.map(each => each.for).filter(to => open.has(to))
          return { outcome: 'failed', recipients, code: said[0]?.code, trail }
        },
      ),
    failed: (placed, { code, trail }) =>
      tell(
        placed,
        row =>
          withSettled(row, [{ outcome: 'failed', atMs: clock.now(), code, for: left(row, placed) }], true),
        row => ({ outcome: 'failed', recipients: left(row, placed), code, trail }),
      ),
    late: (placed, { code, trail }) =>
      tell(
        placed,
        row => (openIn(row).length === 0 ? row : { ...row, isLate: true }),
        row => ({ outcome: 'delayed', recipients: openIn(row), code: row.trying?.code ?? code, trail }),
      ),
    arrived: placed =>
      tell(
        placed,
        ({ isLate: _, ...row }) => row,
        row => {
          const hasFailed = row.settled?.some(({ outcome }) => outcome !== 'stored') === true
          return hasFailed ? undefined : { outcome: 'delivered', recipients: row.for }
        },
      ),
  }
}

function left(row: DeliveryRow, { entry }: Placed): readonly Address[] {
  const open = new Set(openIn(row))
  return entry.for.filter(to => open.has(to))
}

function settledOf({ outcome, code, for: to }: Said, atMs: number) {
  return { outcome, atMs, ...(code === undefined ? {} : { code }), for: [to] }
}

/** What of two reports is compared. */
function reportOf(about: string, domain: Domain, telling: Telling, before: Report | undefined) {
  const { outcome, code, trail } = telling
  const known = before?.outcome === outcome ? (before.recipients ?? []) : []
  const recipients = [...new Set([...known, ...telling.recipients])]
  // Details are the operator's: they name hosts and addresses.
  const steps = trail?.slice(0, trailMost).map(({ rung, what, outcome: how, ms }) => ({
    ...{ rung, what, ms: Math.round(ms) },
    outcome: how,
  }))
  return {
    about,
    outcome,
    recipient: recipients.length === 1 ? recipients[0] : domain,
    recipients,
    ...(code === undefined ? {} : { code }),
    ...(steps === undefined || steps.length === 0 ? {} : { trail: steps }),
  }
}

function isSame(before: Report, said: ReturnType<typeof reportOf>): boolean {
  const { about, outcome, recipient, recipients, code } = before
  const { trail: _, ...rest } = said
  return canonicalText({ about, outcome, recipient, recipients, code } as object) === canonicalText(rest)
}
