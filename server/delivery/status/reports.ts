/**
 * Tells an author what became of an object (protocol §10.5): a `report` of the server in the author's box, one for an object
 * and a domain, of which a later version may know more. What it says and the state beside the outbox are one write.
 */

import type { Clock } from '../../../objects/clock.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import { box } from '../../../objects/store/box.ts'
import { addTo, newChange } from '../../../objects/store/change.ts'
import type { Write } from '../../../objects/store/engine/write.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import { describe } from '../../../objects/store/new-version.ts'
import type { Store } from '../../../objects/store/store.ts'
import { untilWritten } from '../../../objects/store/until-written.ts'
import { isOtherThan } from '../../../objects/version.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Report } from '../../../schemas/kinds/report.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import {
  type Address,
  type Domain,
  domainOf,
  isAddressName,
  type ObjectId,
  ownerOf,
} from '../../../schemas/text/names.ts'
import type { HomeSealingKey } from '../../accounts/credentials.ts'
import type { Said } from '../deliver.ts'
import {
  findRowAt,
  findRowOf,
  type Known,
  openIn,
  type Placed,
  settledBy,
  withSettled,
} from '../delivery-rows.ts'
import type { DeliveryRow } from '../outbox.ts'
import { relayReport } from './relay-reports.ts'
import { givenUp, type Heard, tellingOf, withHeard } from './relay-result.ts'
import { type About, reportId, type Telling, type Trail } from './report-id.ts'

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
  /** Another server has it to pass it on, and owes word of these. */
  relayed(placed: Placed, said: readonly Said[]): Promise<void>
  /** What was passed on for another server is said to that: on the disk when it resolves. */
  passed(placed: Placed, said: readonly Said[]): Promise<void>
  /** A relay says what became of what it took. @throws {FmtpError} FMTP_NOT_OWED, FMTP_BUSY */
  heard(heard: Heard): Promise<void>
  /** A relay did not say in time what became of something. */
  unheard(id: string, domain: Domain): Promise<void>
}

export interface ReportPorts {
  readonly store: Store
  readonly clock: Clock
  /** True for a user of ours, whose account was not deleted. */
  hasUser(address: Address): boolean
  homeKey(domain: Domain): HomeSealingKey
}

const trailMost = 20

export function createReports(ports: ReportPorts): Reports {
  const { store, clock } = ports

  /** Writes what is new in the row, and the report with it, unless both say so already. */
  async function tell(
    about: About,
    find: () => Known | undefined,
    change: (row: DeliveryRow) => DeliveryRow,
    telling: (row: DeliveryRow) => Telling | undefined,
    isRelaxed = true,
  ): Promise<void> {
    await untilWritten(async () => {
      const known = find()
      if (known === undefined) return true
      const row = change(known.row)
      const text = JSON.stringify(row)
      if (text === known.text) return true
      const told = telling(known.row)
      const writing = newChange()
      writing.equals.push([known.key, known.text])
      writing.puts.push([known.key, text], ...owedRows(about, row))
      const report =
        row.relay !== undefined
          ? await relayReport({ ...about, row, relay: row.relay }, ports)
          : told && reportWrite(about, told, row)
      if (report !== undefined) addTo(writing, report)
      const [isWritten] = await store.database.commit([
        { ...writing, isRelaxed: isRelaxed && report === undefined },
      ])
      return isWritten === true || undefined
    })
  }

  /** That a relay has to say something until then. */
  function owedRows({ id, domain }: About, row: DeliveryRow): (readonly [string, string])[] {
    const atMs = row.settled?.findLast(({ outcome }) => outcome === 'relayed')?.atMs
    return atMs === undefined || isSilent(id) ? [] : [[keyOf.owed(atMs + limits.owedMs, id, domain), '']]
  }

  function isSilent(id: string): boolean {
    const object = store.findObject(id)
    return object === undefined || !traitsOf(object.kind).isTold
  }

  /** The report and where its author finds it, as one write with this one. */
  function reportWrite(
    { id: about, domain }: About,
    telling: Telling,
    { by }: DeliveryRow,
  ): Write | undefined {
    const author = ownerOf(about as ObjectId)
    const isOurs = isAddressName(author) && by === undefined && ports.hasUser(author)
    if (!isOurs || isSilent(about)) return undefined
    const home = domainOf(author)
    const id = reportId(about, domain, home)
    const before = store.findBefore(id)
    const nowMs = clock.now()
    const said = reportOf(about, domain, telling, before?.object as Report | undefined)
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
    return report
  }

  const placedAbout = ({ entry, domain }: Placed): About => ({ id: entry.id, domain })
  const tellOf = (
    placed: Placed,
    change: (row: DeliveryRow) => DeliveryRow,
    telling: (row: DeliveryRow) => Telling | undefined,
  ): Promise<void> => tell(placedAbout(placed), () => findRowOf(placed, store), change, telling)

  async function hear(heard: Heard): Promise<void> {
    const { about, domain, by } = heard
    const find = (): Known => {
      const known = findRowAt(about, domain, store)
      if (known === undefined) throw new FmtpError('FMTP_NOT_OWED', `${by} about ${about}`)
      return known
    }
    const change = (row: DeliveryRow): DeliveryRow => withHeard(row, heard, clock.now())
    const telling = (row: DeliveryRow): Telling | undefined => tellingOf(row, heard)
    // Who is told that it was heard forgets it.
    await tell({ id: about, domain }, find, change, telling, false)
  }

  return {
    refused: (placed, said, trail) =>
      tellOf(
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
      tellOf(
        placed,
        row =>
          withSettled(row, [{ outcome: 'failed', atMs: clock.now(), code, for: left(row, placed) }], true),
        row => ({ outcome: 'failed', recipients: left(row, placed), code, trail }),
      ),
    late: (placed, { code, trail }) =>
      tellOf(
        placed,
        row => (openIn(row).length === 0 ? row : { ...row, isLate: true }),
        row => ({ outcome: 'delayed', recipients: openIn(row), code: row.trying?.code ?? code, trail }),
      ),
    arrived: placed =>
      tellOf(
        placed,
        ({ isLate: _, ...row }) => row,
        row => {
          const hasFailed = row.settled?.some(({ outcome }) => outcome !== 'stored') === true
          return hasFailed ? undefined : { outcome: 'delivered', recipients: row.for }
        },
      ),
    relayed: (placed, said) =>
      tellOf(
        placed,
        row => withSettled(row, settledBy(said, clock.now()), false),
        () => undefined,
      ),
    passed: (placed, said) =>
      tellOf(
        placed,
        row => withSettled(row, settledBy(said, clock.now()), false),
        () => undefined,
      ),
    heard: hear,
    unheard: (id, domain) =>
      tell(
        { id, domain },
        () => findRowAt(id, domain, store),
        row => ({ ...row, settled: (row.settled ?? []).map(each => givenUp(each, clock.now())) }),
        row => {
          const given = (row.settled ?? []).filter(each => givenUp(each, clock.now()) !== each)
          const recipients = given.flatMap(each => each.for ?? row.for)
          return { outcome: 'failed', recipients, code: 'FMTP_NO_REPORT' }
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
