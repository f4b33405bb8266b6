/**
 * The report that a relay owes to who handed something over (protocol §10.9): an object of its own, queued in the commit that
 * settles what it speaks of. A later version of it takes its place in the outbox.
 */

import type { Clock } from '../../../objects/clock.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import { addTo, type Change, newChange } from '../../../objects/store/change.ts'
import type { Write } from '../../../objects/store/engine/write.ts'
import { keyOf, listOf } from '../../../objects/store/layout.ts'
import { describe } from '../../../objects/store/new-version.ts'
import { isHeld } from '../../../objects/store/removal.ts'
import type { Store } from '../../../objects/store/store.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Report } from '../../../schemas/kinds/report.ts'
import { limits } from '../../../schemas/limits.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { type Address, type Domain, type Name, type ObjectId, ownerOf } from '../../../schemas/text/names.ts'
import type { HomeSealingKey } from '../../accounts/credentials.ts'
import { openIn } from '../delivery-rows.ts'
import type { DeliveryRow, OutboxEntry, Relay } from '../outbox.ts'
import { release } from '../relay.ts'
import { type About, reportId } from './report-id.ts'

export interface RelayReportPorts {
  readonly store: Store
  readonly clock: Clock
  homeKey(domain: Domain): HomeSealingKey
}

interface Passed extends About {
  /** As it is written now. */
  readonly row: DeliveryRow
  readonly relay: Relay
}

/** So many recipients one report speaks of: the longest addresses and codes are within the limit of an object. */
const partMost = 500

/** What is written beside the row: the reports where they say something new, and that nothing more is owed. */
export async function relayReport(passed: Passed, ports: RelayReportPorts): Promise<Write | undefined> {
  const { id: about, domain, row } = passed
  const { store, clock } = ports
  const object = store.findObject(about)
  const isOwed = object !== undefined && traitsOf(object.kind).isTold
  const write = newChange()
  // By their places, in which recipients stay.
  for (let part = 0; isOwed && part * partMost < row.for.length; part++) {
    const report = partReport(passed, part, ports)
    if (report !== undefined) addTo(write, report)
  }
  // Of what nobody is told the next relay says nothing either.
  const isWithRelay = isOwed && row.settled?.some(({ outcome }) => outcome === 'relayed') === true
  // When all is said the object need not stay.
  if (openIn(row).length === 0 && !isWithRelay)
    release(write, about, domain, { isHeld: await isHeld(store, about), nowMs: clock.now(), store })
  return write.puts.length + write.dels.length === 0 ? undefined : write
}

function partReport(
  { id: about, domain, row, relay }: Passed,
  part: number,
  { store, clock, homeKey }: RelayReportPorts,
): Write | undefined {
  const said = saidIn(about, domain, row, new Set(row.for.slice(part * partMost, (part + 1) * partMost)))
  if (said === undefined) return undefined
  const id = reportId(about, part === 0 ? domain : `${domain} ${part}`, relay.as)
  const before = store.findBefore(id)
  if (before !== undefined && isSame(before.object as Report, said)) return undefined
  const nowMs = clock.now()
  const sealed = sealObject(
    {
      ...said,
      createdAt: before?.object.createdAt ?? new Date(nowMs).toISOString(),
      expiresAt: new Date(nowMs + limits.owedMs).toISOString(),
      ...{ id, kind: 'report', owner: relay.as },
      version: Math.max(nowMs, (before?.object.version ?? 0) + 1),
    } as Unsealed<Report>,
    homeKey(relay.as),
  )
  const change = describe(sealed, before, 'made', store)
  queue(change, sealed.object as FmtpObject, relay.from, { author: ownerOf(about as ObjectId), atMs: nowMs })
  return change
}

/** `undefined`: nothing is to be said yet. */
function saidIn(about: string, domain: Domain, row: DeliveryRow, part: ReadonlySet<Address>) {
  const results = (row.settled ?? [])
    .filter(({ outcome }) => outcome !== 'relayed')
    .flatMap(({ for: to = row.for, outcome, code }) =>
      to
        .filter(each => part.has(each))
        .map(each => ({ for: each, outcome, ...(code === undefined ? {} : { code }) })),
    )
  if (results.length === 0 && row.isLate !== true) return undefined
  const failed = results.find(({ outcome }) => outcome !== 'stored')
  const outcome = failed !== undefined ? 'failed' : results.length > 0 ? 'delivered' : 'delayed'
  return { about, aboutVersion: row.version, outcome, recipient: domain, results }
}

function isSame({ about, aboutVersion, outcome, recipient, results }: Report, said: object): boolean {
  return canonicalText({ about, aboutVersion, outcome, recipient, results } as object) === canonicalText(said)
}

/** For the author, by way of who handed it over. */
function queue(
  change: Change,
  { id, version }: FmtpObject,
  to: Domain,
  { author, atMs }: { readonly author: Name; readonly atMs: number },
): void {
  const recipients = [author as Address]
  const entry: OutboxEntry = { id, version, for: recipients, atMs }
  const valueAt = (number: number): string =>
    JSON.stringify({ version, list: 'outbox', number, for: recipients, atMs } satisfies DeliveryRow)
  const record = { key: keyOf.delivery(id, to), valueAt }
  change.appends.push({ list: listOf.outbox(to), value: JSON.stringify(entry), bytes: 0, record })
}
