/**
 * How long hosts take to answer, measured in passing and kept in memory: what breaks ties between contacts of the same
 * priority (protocol §10.3).
 */
import type { Contact } from '../../schemas/kinds/contact.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'

export interface RoundTrips {
  /** `place`: `host:port` as it was dialled. */
  measure(place: string, ms: number): void
  /** Milliseconds, smoothed over the last answers. */
  find(place: string): number | undefined
  /** The quickest first; those that were never measured behind them, as they stand. */
  sort(contacts: readonly Contact[]): readonly Contact[]
}

const placesMost = 10_000
/** What a new measurement counts for, as TCP has it (RFC 6298). */
const share = 1 / 8

export function createRoundTrips(): RoundTrips {
  const smoothed = new BoundedMap<string, number>(placesMost)
  const of = (contact: Contact): number => smoothed.get(placeOf(contact)) ?? Number.MAX_VALUE
  return {
    measure(place, ms) {
      const before = smoothed.get(place)
      smoothed.set(place, before === undefined ? ms : before + share * (ms - before))
    },
    find: place => smoothed.get(place),
    sort: contacts => contacts.toSorted((left, right) => of(left) - of(right)),
  }
}

/** `host:port` of a contact. */
export function placeOf({ host, port }: Contact): string {
  return hostPort(host, port)
}

/** For people and as a key: an IPv6 address in brackets. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
