/** A server that was away says hello to those it talks with, so that what waits for it comes at once (protocol §10.3). */
import type { Clock } from '../../../objects/clock.ts'
import type { Database } from '../../../objects/store/engine/database.ts'
import { lastPart, rangeOf } from '../../../objects/store/layout.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Domain } from '../../../schemas/text/names.ts'

const peersMost = 10_000

export interface GreetingPorts {
  readonly database: Database
  readonly clock: Clock
  /** Who was heard from since then is called; missing: in the last days. */
  readonly sinceMs?: number
}

/** Calls the domains that were heard from in the last days, the latest first, some at a time. Whom it misses comes by itself. */
export async function greetPeers(
  call: (domain: Domain) => Promise<unknown>,
  { database, clock, sinceMs = clock.now() - limits.peersMs }: GreetingPorts,
): Promise<void> {
  const rows = await database.scan(rangeOf('peer'), { limit: peersMost })
  const recent = rows
    .filter(([, heardAt]) => Number(heardAt) >= sinceMs)
    .sort(([, left], [, right]) => Number(right) - Number(left))
    .map(([key]) => lastPart(key) as Domain)
  for (let at = 0; at < recent.length; at += limits.peersAtOnce) {
    await Promise.allSettled(recent.slice(at, at + limits.peersAtOnce).map(call))
  }
}
