/**
 * What is passed on for another server (protocol §10.9): it stands in the outbox of its recipients' domain as what is ours,
 * takes the room of the child for whom or to whom it goes, and its object stays while somebody waits for word of it.
 */
import { cache } from '../../objects/store/cached.ts'
import { type Change, holdAs } from '../../objects/store/change.ts'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Result } from '../../schemas/frame.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Address, type Domain, domainOf, type Name } from '../../schemas/text/names.ts'
import { withMore } from './forwards.ts'
import { byDomain, type DeliveryRow, type OutboxEntry, type Relay, type Settled, sortOf } from './outbox.ts'

/** Of the row `relayed`: whose room it takes. */
export interface Relayed {
  readonly child: Domain
  readonly bytes: number
}

export interface Relaying {
  readonly relay: Relay
  /** The child for whose sake one domain's recipients are relayed to. */
  childOf(domain: Domain): Domain
  readonly bytes: number
  readonly nowMs: number
}

/** After which another server may bring the same. */
const againMs = 60_000
const final: ReadonlySet<string> = new Set(['stored', 'refused', 'absent'])

/**
 * What is said of a recipient to who brings it: what its home has said where that is known.
 * @throws {FmtpError} FMTP_BUSY while it is passed on for another server
 */
export function relayedResult(object: FmtpObject, to: Address, from: Domain, store: Store): Result {
  const { row } = findRow(object.id, domainOf(to as Name), from, store)
  const said = row?.version === object.version ? settledOf(row, to) : undefined
  if (said === undefined || !final.has(said.outcome)) return { for: to, outcome: 'relayed' }
  if (said.outcome === 'stored') return { for: to, outcome: 'duplicate' }
  return { for: to, outcome: said.outcome, ...(said.code === undefined ? {} : { code: said.code }) }
}

/** Adds what is queued for these recipients of other domains. Who waits for it, or has it, is not queued again. */
export function relay(
  change: Change,
  object: FmtpObject,
  recipients: readonly Address[],
  relaying: Relaying,
  store: Store,
): void {
  const { id, version } = object
  const { relay, nowMs, bytes } = relaying
  const sort = sortOf(object)
  for (const [domain, named] of byDomain(recipients)) {
    const { key, text, row: before } = findRow(id, domain, relay.from, store)
    const isSame = before?.version === version
    const to = isSame ? named.filter(each => isToQueue(before, each)) : named
    if (to.length === 0) continue
    holdAs(change, key, text)
    const all = before === undefined ? to : [...new Set([...before.for, ...to])]
    const entry: OutboxEntry = { id, version, for: isSame ? to : all, relay, atMs: nowMs }
    const append = { list: listOf[sort](domain), value: JSON.stringify(entry), bytes: 0 }
    if (isSame) {
      change.puts.push([key, JSON.stringify({ ...withMore(before, to, all), relay })])
      change.appends.push(append)
    } else {
      const valueAt = (number: number): string =>
        JSON.stringify({ version, list: sort, number, for: all, relay, atMs: nowMs } satisfies DeliveryRow)
      change.appends.push({ ...append, record: { key, valueAt } })
    }
    hold(change, id, domain, { child: relaying.childOf(domain), bytes }, store)
  }
}

function isToQueue(row: DeliveryRow, to: Address): boolean {
  if (!row.for.includes(to)) return true
  const said = settledOf(row, to)
  return said !== undefined && (said.outcome === 'failed' || said.outcome === 'unknown')
}

function settledOf(row: DeliveryRow, to: Address): Settled | undefined {
  return row.settled?.find(each => (each.for ?? row.for).includes(to))
}

/** The row at a domain, unless it is about what another server brought: that one is told, and this one of its own alone. */
function findRow(id: string, domain: Domain, from: Domain, { database }: Store) {
  const key = keyOf.delivery(id, domain)
  const text = database.get(key)
  const row = text === undefined ? undefined : parseRow<DeliveryRow>(text)
  if (row?.relay === undefined || row.relay.from === from) return { key, text, row }
  if (database.get(keyOf.relayed(id, domain)) !== undefined)
    throw new FmtpError('FMTP_BUSY', `${id} is passed on for ${row.relay.from}`, { retryAfterMs: againMs })
  return { key, text, row: undefined }
}

/** The object stays, and its bytes count, until all is said. */
function hold(change: Change, id: string, domain: Domain, relayed: Relayed, { database }: Store): void {
  const key = keyOf.relayed(id, domain)
  const text = database.get(key)
  const before = text === undefined ? undefined : parseRow<Relayed>(text)
  holdAs(change, key, text)
  change.puts.push([key, JSON.stringify(relayed)])
  if (before !== undefined) change.adjusts.push({ list: listOf.relay(before.child), bytes: -before.bytes })
  change.adjusts.push({ list: listOf.relay(relayed.child), bytes: relayed.bytes })
}

/**
 * Adds that nothing more is owed for an object at a domain: it gives its room back, and may go when the cache has no room
 * for it. `isHeld`: somebody here has it on purpose.
 */
export function release(
  change: Change,
  id: string,
  domain: Domain,
  { isHeld, nowMs, store }: { readonly isHeld: boolean; readonly nowMs: number; readonly store: Store },
): void {
  const { database } = store
  const key = keyOf.relayed(id, domain)
  const text = database.get(key)
  if (text === undefined) return
  const { child, bytes } = parseRow<Relayed>(text)
  change.equals.push([key, text])
  change.dels.push(key)
  change.adjusts.push({ list: listOf.relay(child), bytes: -bytes })
  const before = store.findBefore(id)
  if (isHeld || before === undefined) return
  change.equals.push([keyOf.object(id), before.text])
  cache(change, id, { bytes: before.text.length, nowMs }, database)
  if (database.get(keyOf.foreign(id)) === undefined) change.puts.push([keyOf.foreign(id), '0'])
}
