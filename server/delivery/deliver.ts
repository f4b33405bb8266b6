/**
 * One attempt to hand an entry over (protocol §10.4), over the connection that is open: to devices, which is only sooner,
 * and to the home. It tells where it failed, at the domain or at this one object, which decides what waits.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Peer } from '../../routing/peer.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import type { Result } from '../../schemas/frame.ts'
import type { Address, Domain } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Answer } from '../../wire/pairing.ts'
import type { ReachDirect } from './direct.ts'
import { callerOf, type OutboxEntry } from './outbox.ts'

export interface DeliverPorts {
  readonly clock: Clock
  /** The object in this version as it goes out, its credential renewed. */
  findOutgoing(id: string, version: number): FmtpObject | undefined
  /** The connection to the domain in the name of one of ours, where one is open. */
  findOpen(domain: Domain, as: Domain): Peer | undefined
  /** Gives connections to the recipients' own devices, where their objects recommend any; waits a moment at most. */
  readonly reachDirect: ReachDirect
  /** False where nobody looks at what happens with every message: its records are not even made. */
  readonly isWatched: boolean
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

export type Delivery =
  /** Taken, refused for good, or replaced by a newer version. */
  | { readonly outcome: 'settled' }
  /** These recipients want it later, and not before `retryAfterMs`. */
  | {
      readonly outcome: 'left'
      readonly for: readonly Address[]
      readonly reason: string
      readonly retryAfterMs: number
    }
  /** No connection is open: nothing was sent. */
  | { readonly outcome: 'unreached' }
  /** The connection ended under it. */
  | { readonly outcome: 'lost'; readonly reason: string }

const settled: Delivery = { outcome: 'settled' }
const unreached: Delivery = { outcome: 'unreached' }

/** Hands an entry to its domain; `cursor` says where it stands in its list. Never throws. */
export async function deliver(
  domain: Domain,
  entry: OutboxEntry,
  ports: DeliverPorts,
  cursor: string,
): Promise<Delivery> {
  try {
    const object = ports.findOutgoing(entry.id, entry.version)
    // A newer version follows in the list, or took this one's place.
    if (object === undefined) return settled
    const as = callerOf(entry)
    await ports.reachDirect(entry.for, as, peer => void describeDirect(peer, object, entry, ports))
    const peer = ports.findOpen(domain, as)
    return peer === undefined ? unreached : await describe(peer, { object, entry, cursor }, ports)
  } catch (thrown) {
    return leftAll(entry, thrown)
  }
}

async function describe(
  peer: Peer,
  { object, entry, cursor }: { object: FmtpObject; entry: OutboxEntry; cursor: string },
  ports: DeliverPorts,
): Promise<Delivery> {
  const startMs = ports.clock.now()
  if (ports.isWatched) noteSent(peer, object, entry, ports)
  try {
    const answer = await peer.describe({ object, for: entry.for as Address[], cursor })
    if (ports.isWatched) {
      const results: readonly Result[] = answer.results ?? entry.for.map(to => ({ ...answer, for: to }))
      ports.onEvent('deliver.answer', {
        ...recordOf(peer, object),
        results,
        ms: ports.clock.now() - startMs,
      })
    }
    return deliveryOf(entry, answer)
  } catch (thrown) {
    // What the other side answers is no error: this is about the connection, unless that still stands.
    return peer.isOpen ? leftAll(entry, thrown) : { outcome: 'lost', reason: toFmtpError(thrown).message }
  }
}

function leftAll(entry: OutboxEntry, thrown: unknown): Delivery {
  const { message, retryAfterMs = 0 } = toFmtpError(thrown)
  return { outcome: 'left', for: entry.for, reason: message, retryAfterMs }
}

/** `busy` and no result at all are tried again, the slowest recipient deciding when. */
function deliveryOf(entry: OutboxEntry, answer: Answer): Delivery {
  let left: Address[] | undefined
  let reason = ''
  let retryAfterMs = 0
  for (const to of entry.for) {
    const result = answer.results === undefined ? answer : answer.results.find(each => each.for === to)
    if (result !== undefined && result.outcome !== 'busy') continue
    left ??= []
    left.push(to)
    reason = result === undefined ? 'no result' : (result.code ?? 'busy')
    retryAfterMs = Math.max(retryAfterMs, result?.retryAfterMs ?? 0)
  }
  return left === undefined ? settled : { outcome: 'left', for: left, reason, retryAfterMs }
}

/** Sooner, and nothing more: the home gets the object whatever comes of this. */
async function describeDirect(
  peer: Peer,
  object: FmtpObject,
  entry: OutboxEntry,
  ports: DeliverPorts,
): Promise<void> {
  const startMs = ports.clock.now()
  const { id, kind, owner } = object
  const note = (outcome: string): void =>
    ports.onEvent('deliver.direct', {
      ...{ id, kind, owner, host: peer.host, to: peer.name, outcome },
      ms: ports.clock.now() - startMs,
    })
  try {
    const { outcome } = await peer.describe({ object, for: entry.for.filter(to => to === peer.name) })
    note(outcome)
  } catch (thrown) {
    note(toFmtpError(thrown).code)
  }
}

function noteSent(peer: Peer, object: FmtpObject, entry: OutboxEntry, ports: DeliverPorts): void {
  const detail = { domain: peer.name, host: peer.host }
  const step = { climb: 'contact', about: entry.for[0], rung: 'domain', what: 'reuse', outcome: 'ok', ms: 0 }
  ports.onEvent('route', { ...step, detail })
  ports.onEvent('deliver.sent', recordOf(peer, object))
}

function recordOf(peer: Peer, { id, kind, owner }: FmtpObject): Readonly<Record<string, unknown>> {
  return { id, kind, owner, domain: peer.name, host: peer.host }
}
