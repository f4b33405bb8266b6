/**
 * One attempt to hand an entry over (protocol §10.4), over the connection that is open: to devices, which is only sooner,
 * and to the home. It tells where it failed, at the domain or at this one object, which decides what waits.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { type Concern, findFailure, toFmtpError } from '../../schemas/failures.ts'
import type { Result } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Address, Domain } from '../../schemas/text/names.ts'
import type { Answer } from '../../wire/pairing.ts'
import type { ReachDirect } from './direct.ts'
import { callerOf, type OutboxEntry, type Settled } from './outbox.ts'

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

/** What a peer has said of one recipient, for good; `relayed`: `by` has it, and says the rest later. */
export interface Said {
  readonly for: Address
  readonly outcome: Settled['outcome']
  readonly code?: string
  readonly by?: Domain
}

export type Delivery =
  /** Taken or refused for good; nothing is said where a newer version took its place. */
  | { readonly outcome: 'settled'; readonly said: readonly Said[] }
  /** These recipients want it later, and not before `retryAfterMs`; of the others it is said what they did. */
  | {
      readonly outcome: 'left'
      readonly said: readonly Said[]
      readonly for: readonly Address[]
      readonly code: string
      readonly reason: string
      readonly retryAfterMs: number
    }
  /** No connection is open: nothing was sent. */
  | { readonly outcome: 'unreached' }
  /** The connection ended under it. */
  | { readonly outcome: 'lost'; readonly code: string; readonly reason: string }

const replaced: Delivery = { outcome: 'settled', said: [] }
const unreached: Delivery = { outcome: 'unreached' }

/** Hands an entry to its domain; `cursor` says where it stands among the messages. Never throws. */
export async function deliver(
  domain: Domain,
  entry: OutboxEntry,
  ports: DeliverPorts,
  cursor: string | undefined,
): Promise<Delivery> {
  try {
    const object = ports.findOutgoing(entry.id, entry.version)
    // A newer version follows in the list, or took this one's place.
    if (object === undefined) return replaced
    const as = callerOf(entry)
    // What is passed on goes to the home alone.
    if (entry.relay === undefined)
      await ports.reachDirect(entry.for, as, peer => void describeDirect(peer, object, entry, ports))
    const peer = ports.findOpen(domain, as)
    return peer === undefined ? unreached : await describe(peer, domain, { object, entry, cursor }, ports)
  } catch (thrown) {
    return leftAll(entry, thrown)
  }
}

async function describe(
  peer: Peer,
  domain: Domain,
  { object, entry, cursor }: { object: FmtpObject; entry: OutboxEntry; cursor: string | undefined },
  ports: DeliverPorts,
): Promise<Delivery> {
  const startMs = ports.clock.now()
  if (ports.isWatched) noteSent(peer, object, entry, ports)
  try {
    const results: Result[] = []
    for (let at = 0; at < entry.for.length; at += limits.recipients) {
      const some = entry.for.slice(at, at + limits.recipients)
      // Where something stands is the domain's own affair.
      const place = cursor !== undefined && peer.name === domain ? { cursor } : {}
      const hops = entry.relay === undefined ? {} : { hops: [...entry.relay.hops, peer.as] }
      const answer = await peer.describe({ object, for: some, ...place, ...hops })
      for (const to of some) results.push(resultIn(answer, to))
    }
    if (ports.isWatched)
      ports.onEvent('deliver.answer', {
        ...recordOf(peer, object),
        results,
        ms: ports.clock.now() - startMs,
      })
    return deliveryOf(results, peer, { domain, isPassedOn: entry.relay !== undefined })
  } catch (thrown) {
    // What the other side answers is no error: this is about the connection, unless that still stands.
    if (peer.isOpen) return leftAll(entry, thrown)
    const { code, message } = toFmtpError(thrown)
    return { outcome: 'lost', code, reason: message }
  }
}

function leftAll(entry: OutboxEntry, thrown: unknown): Delivery {
  const { code, message, retryAfterMs = 0 } = toFmtpError(thrown)
  return { outcome: 'left', said: [], for: entry.for, code, reason: message, retryAfterMs }
}

/** What an answer says of one recipient; one that is left out may come to be named next time. */
function resultIn(answer: Answer, to: Address): Result {
  if (answer.results === undefined) return { ...answer, for: to }
  return (
    answer.results.find(each => each.for === to) ?? { for: to, outcome: 'busy', text: 'no result was given' }
  )
}

/**
 * What a failure says about the way through a server that is not the recipient's. `some`: another way, or another day, may
 * work. `endless`: the way leads nowhere, and only a person can mend it: whoever brought what is passed on is told.
 */
const waysOf: { readonly [C in Concern]: 'none' | 'some' | 'endless' } = {
  request: 'none',
  way: 'some',
  'dead-end': 'endless',
  never: 'none',
  lie: 'none',
  lost: 'none',
  shutdown: 'none',
  rest: 'none',
}

/** A code that is not known here says nothing about the way. */
function wayOf({ code }: Result): 'none' | 'some' | 'endless' {
  return code === undefined ? 'none' : waysOf[findFailure(code)?.concern ?? 'request']
}

/** `busy` is tried again, the slowest recipient deciding when. Whatever else a peer says is for good. */
function deliveryOf(
  results: readonly Result[],
  { name }: Peer,
  { domain, isPassedOn }: { readonly domain: Domain; readonly isPassedOn: boolean },
): Delivery {
  const said: Said[] = []
  const left: Result[] = []
  for (const result of results) {
    const way = name === domain ? 'none' : wayOf(result)
    if (isPassedOn && way === 'endless') said.push({ ...saidOf(result, name as Domain), outcome: 'failed' })
    else if (result.outcome === 'busy' || way !== 'none') left.push(result)
    else said.push(saidOf(result, name as Domain))
  }
  const [first] = left
  if (first === undefined) return { outcome: 'settled', said }
  return {
    outcome: 'left',
    said,
    for: left.map(each => each.for as Address),
    code: first.code ?? 'FMTP_BUSY',
    reason: first.text ?? first.code ?? 'busy',
    retryAfterMs: Math.max(...left.map(each => each.retryAfterMs ?? 0)),
  }
}

/** Only four words count: a peer that says another one has not said that it has the object. */
function saidOf({ for: to, outcome, code }: Result, by: Domain): Said {
  const recipient = to as Address
  if (outcome === 'relayed') return { for: recipient, outcome, by }
  if (outcome === 'stored' || outcome === 'duplicate') return { for: recipient, outcome: 'stored' }
  const why = code === undefined ? {} : { code }
  return { for: recipient, outcome: outcome === 'absent' ? 'absent' : 'refused', ...why }
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
  const record = { id, kind, owner, host: peer.host, to: peer.name }
  const note = (outcome: string): void =>
    ports.onEvent('deliver.direct-answer', { ...record, outcome, ms: ports.clock.now() - startMs })
  if (ports.isWatched) ports.onEvent('deliver.direct', record)
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
