/**
 * What limits refused (protocol §12.2), for the operator: how often each, and whom most; a line of the log now and then.
 * Since the start, in memory that does not grow with what strangers do.
 */
import type { Clock } from '../../objects/clock.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'

/** Every limit that refuses for a while, with what it counts. */
export const limitNames = {
  peerObjects: 'objects of a domain that nobody here knows',
  newPeerObjects: 'the same, on the first day of the domain',
  networkObjects: 'objects of all such domains of a network',
  peerSessions: 'sessions of such a domain',
  hostConnections: 'connections of a host',
  connections: 'connections of domains while all others are at work',
  datagrams: 'requests by UDP from a network',
  guestRequests: 'requests of guests from a host',
  tries: 'false tries with a token from a host',
  newRecipients: 'first-time recipients of a user of this server',
  resend: 'older cursors of a domain that pulls its outbox',
} as const

export type LimitName = keyof typeof limitNames

export interface LimitReport {
  readonly limit: LimitName
  readonly counts: string
  readonly refused: number
  /** Who was refused most. A count may be too high where very many were refused, never too low. */
  readonly top: readonly { readonly who: string; readonly refused: number }[]
}

export interface RefusalsPorts {
  readonly clock: Clock
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

/** Of each limit so many are counted apart. */
const countedMost = 256
const topMost = 10
const loggedMost = 10_000
const logMs = 60_000

interface Count {
  refused: number
  readonly by: Map<string, number>
}

export class Refusals {
  readonly #ports: RefusalsPorts
  readonly #counts = new Map<LimitName, Count>()
  /** When a limit was logged for somebody, and how often it refused since. */
  readonly #logged = new BoundedMap<string, { readonly atMs: number; since: number }>(loggedMost)
  readonly sinceMs: number

  constructor(ports: RefusalsPorts) {
    this.#ports = ports
    this.sinceMs = ports.clock.now()
  }

  note(limit: LimitName, who: string): void {
    const count = this.#counts.get(limit) ?? { refused: 0, by: new Map() }
    this.#counts.set(limit, count)
    count.refused++
    countFor(count.by, who)
    this.#log(limit, who)
  }

  #log(limit: LimitName, who: string): void {
    const key = `${limit} ${who}`
    const nowMs = this.#ports.clock.now()
    const logged = this.#logged.get(key)
    const sinceMs = logged === undefined ? logMs : nowMs - logged.atMs
    if (logged !== undefined && sinceMs >= 0 && sinceMs < logMs) {
      logged.since++
      return
    }
    this.#logged.set(key, { atMs: nowMs, since: 0 })
    this.#ports.onEvent('limit.refused', { limit, who, refused: 1 + (logged?.since ?? 0) })
  }

  /** All limits that refused, the busiest first. */
  report(): readonly LimitReport[] {
    return [...this.#counts]
      .map(([limit, { refused, by }]) => ({ limit, counts: limitNames[limit], refused, top: topOf(by) }))
      .sort((left, right) => right.refused - left.refused)
  }
}

/** Who comes anew takes the place, and the count, of the least: nobody who is refused often is missed. */
function countFor(by: Map<string, number>, who: string): void {
  const before = by.get(who)
  if (before !== undefined || by.size < countedMost) {
    by.set(who, (before ?? 0) + 1)
    return
  }
  let least: [string, number] = ['', Number.POSITIVE_INFINITY]
  for (const each of by) if (each[1] < least[1]) least = each
  by.delete(least[0])
  by.set(who, least[1] + 1)
}

function topOf(by: ReadonlyMap<string, number>): LimitReport['top'] {
  return [...by]
    .sort(([, left], [, right]) => right - left)
    .slice(0, topMost)
    .map(([who, refused]) => ({ who, refused }))
}
