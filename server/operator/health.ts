/** What a running server knows of itself, behind `fmtp check`; and an operator's word about keys that changed. */

import { sealedDigest } from '../../objects/seals/seal.ts'
import { type ListName, listOf, rangeOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { acknowledgeKeys, type ChangedKeys, readChangedKeys } from '../../routing/dns/key-history.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, makeObjectId } from '../../schemas/text/names.ts'
import type { Core } from '../core/core.ts'
import { settledNumber } from '../delivery/cursor.ts'
import { findEntry, noEntry, type OutboxEntry, sorts } from '../delivery/outbox.ts'
import { findAttempts } from '../delivery/status/results.ts'
import type { ControlActions } from './action.ts'
import { requireText } from './args.ts'
import { waitingDomains } from './queue.ts'

export interface Place {
  readonly address: string
  readonly port: number
}

/** What only the running server can say. */
export interface RunningHealth {
  readonly software: { readonly name: string; readonly version: string }
  readonly listeners: {
    readonly tcp: readonly Place[]
    readonly udp: readonly Place[]
    readonly http: readonly Place[]
  }
  hasRoom(): boolean
  /** Children that have a connection open. */
  linkedChildren(): readonly Domain[]
  /** How each parent answers to each of our domains. Never rejects. */
  askParents(): Promise<readonly ParentHealth[]>
  /** True where a connection that others opened is bound by this. */
  hasBinding(binding: string): boolean
}

export interface ParentHealth {
  readonly parent: Domain
  readonly as: Domain
  /** `away`: no connection stands. `stranger`: it does not know us as its child. A code: its answer has failed. */
  readonly state: 'child' | 'away' | 'stranger' | 'failed'
  readonly code?: string
}

export interface HealthResult extends Pick<RunningHealth, 'software' | 'listeners'> {
  readonly pid: number
  /** Unix ms by the clock of the server. */
  readonly nowMs: number
  readonly hasRoom: boolean
  readonly linkedChildren: readonly Domain[]
  readonly servers: readonly {
    readonly domain: Domain
    /** Of its `server` object. */
    readonly version: number
    readonly digest: string
  }[]
}

/** A domain for which something has waited for longer than authors are let wait without a word. */
export interface LateDomain {
  readonly domain: string
  /** Unix ms at which the oldest of it was queued. */
  readonly sinceMs: number
  readonly code?: string
}

export interface StoreHealthResult {
  readonly waiting: number
  readonly late: readonly LateDomain[]
  /** What LevelDB said of damage when it opened the store. */
  readonly damage: readonly string[]
  /** Objects that were put aside; at most `asideMost` are counted. */
  readonly aside: number
  readonly changed: readonly ChangedKeys[]
}

export interface ParentsResult {
  readonly parents: readonly ParentHealth[]
}

export interface WitnessResult {
  readonly isKnown: boolean
}

const asideMost = 10_000
const retriesMost = 10_000

export function healthActions({ store, clock, domains }: Core, running?: RunningHealth): ControlActions {
  const { database } = store

  function requireRunning(): RunningHealth {
    if (running === undefined) throw new FmtpError('FMTP_NOT_FOUND', 'no server runs on this data folder')
    return running
  }

  return {
    health: async () => {
      const { software, listeners, hasRoom, linkedChildren } = requireRunning()
      const servers = [...domains.keys()].flatMap(domain => {
        const object = store.findObject(makeObjectId('server', domain))
        if (object === undefined) return []
        return [{ domain, version: object.version, digest: sealedDigest(object) }]
      })
      return {
        ...{ software, listeners, servers, pid: process.pid, nowMs: clock.now() },
        hasRoom: hasRoom(),
        linkedChildren: linkedChildren(),
      } satisfies HealthResult
    },
    'health store': async () => {
      const all = await waitingDomains(store)
      const waiting = (await Promise.all(all.map(domain => findLate(domain, store)))).flatMap(
        each => each ?? [],
      )
      const untilMs = clock.now() - limits.lateMs
      return {
        waiting: waiting.length,
        late: waiting.filter(({ sinceMs }) => sinceMs <= untilMs),
        damage: database.damage,
        aside: (await database.scan(rangeOf('damaged'), { limit: asideMost })).length,
        changed: await readChangedKeys(database, clock.now()),
      } satisfies StoreHealthResult
    },
    'health parents': async () => ({ parents: await requireRunning().askParents() }) satisfies ParentsResult,
    'health witness': async args => {
      const isKnown = requireRunning().hasBinding(requireText(args, 'binding'))
      return { isKnown } satisfies WitnessResult
    },
    'check seen': async args => {
      const pattern = requireText(args, 'pattern')
      const seen = await acknowledgeKeys(database, pattern)
      if (seen.length === 0)
        throw new FmtpError('FMTP_NOT_FOUND', `no change of keys of ${pattern} is to be acknowledged`)
      return { seen }
    },
  }
}

/** What has waited longest for a domain; `undefined`: nothing waits. */
async function findLate(domain: Domain, store: Store): Promise<LateDomain | undefined> {
  const ages = (await Promise.all(sorts.map(sort => agesIn(listOf[sort](domain), store)))).flat()
  if (ages.length === 0) return undefined
  const { code } = findAttempts(domain, store) ?? {}
  return { domain, sinceMs: Math.min(...ages), ...(code === undefined ? {} : { code }) }
}

/** Unix ms at which those were queued that may be the oldest of a list: the first that is not settled, and what was put off. */
async function agesIn(list: ListName, store: Store): Promise<number[]> {
  const { database } = store
  const settled = settledNumber(list, store)
  const first = database.head(list).number > settled ? findEntry(list, settled + 1, store) : noEntry
  const putOff = await database.scan(rangeOf('retry', list), { limit: retriesMost })
  const retried = putOff.map(([, text]) => findRow<{ entry?: OutboxEntry }>(text)?.entry ?? noEntry)
  // One that can not be read is settled at once.
  return [first, ...retried].flatMap(({ atMs }) => (atMs > 0 ? [atMs] : []))
}
