/**
 * What is done now and then so that the store holds what it should (protocol §6.6, §10.2): objects that have ended go, and
 * messages that their user does not keep any longer, and what the cache has no room for. Each is a range scan of just that.
 */

import type { Clock } from '../../objects/clock.ts'
import { dropCarried } from '../../objects/store/blobs/blob-cache.ts'
import type { Placed } from '../../objects/store/change.ts'
import {
  expiresUntil,
  keyOf,
  lastPart,
  listOf,
  madeBefore,
  owedUntil,
  rangeOf,
} from '../../objects/store/layout.ts'
import { finishRemovals, leaveBox, removeUnheld } from '../../objects/store/removal.ts'
import type { Store } from '../../objects/store/store.ts'
import { kindsWhere } from '../../schemas/kinds/kinds.ts'
import { limits } from '../../schemas/limits.ts'
import { type Name, type ObjectId, ownerOf } from '../../schemas/text/names.ts'

export interface UpkeepPorts {
  readonly store: Store
  readonly clock: Clock
  readonly cacheBytes: number
  isOwn(name: Name): boolean
  /** Notes that a relay did not say in time what became of something. */
  giveUp(id: string, domain: string): Promise<void>
  /** Removes blobs that no object names. Resolves with how many. */
  sweepBlobs(): Promise<number>
  onDone(record: UpkeepRecord): void
  onFailed(thrown: unknown): void
}

/** How many objects went, and why. */
export interface UpkeepRecord {
  readonly ended: number
  readonly retired: number
  readonly evicted: number
  readonly blobs: number
}

const page = 500
const dayMs = 86_400_000
const retiredKinds = kindsWhere(({ isRetired }) => isRetired)
/** What the cache is emptied to, so that not every object that comes makes another go. */
const roomShare = 0.95

export class Upkeep implements AsyncDisposable {
  readonly #ports: UpkeepPorts
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #last: Promise<unknown> = Promise.resolve()
  #evicting: Promise<number> | undefined

  constructor(ports: UpkeepPorts) {
    this.#ports = ports
  }

  /** From now on all of it is done now and then. */
  start(): void {
    this.#running = this.#run()
  }

  async #run(): Promise<void> {
    const { clock, onFailed } = this.#ports
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.once().catch(onFailed)
      if (!signal.aborted) await clock.sleep(limits.upkeepMs, signal)
    }
  }

  /** All of it once, after what is under way. */
  once(): Promise<UpkeepRecord> {
    const next = this.#last.then(() => this.#work())
    this.#last = next.catch(() => undefined)
    return next
  }

  async #work(): Promise<UpkeepRecord> {
    const { store, onDone } = this.#ports
    await finishRemovals(store)
    const record = {
      ended: await this.#end(),
      retired: await this.#retire(),
      evicted: await this.evict(),
      blobs: await this.#ports.sweepBlobs(),
    }
    await this.#forgetAbsent(store)
    await this.#giveUp()
    if (Object.values(record).some(count => count > 0)) onDone(record)
    return record
  }

  /** Objects that say themselves when they end: out of every box but of those who keep them. */
  async #end(): Promise<number> {
    const { store, clock } = this.#ports
    let ended = 0
    for await (const [key] of this.#rows(() => expiresUntil(clock.now()))) {
      const id = lastPart(key)
      for (const { address } of await store.findHolders(id))
        if (!store.isKept(id, address)) await leaveBox(store, id, address)
      if (await removeUnheld(store, id)) ended++
    }
    return ended
  }

  /** Messages that are older than their user keeps them. What a user of ours wrote may still be on its way. */
  async #retire(): Promise<number> {
    const { store, clock, isOwn } = this.#ports
    let retired = 0
    for await (const [key, days] of this.#rows(() => rangeOf('retention'))) {
      const address = lastPart(key)
      const untilMs = clock.now() - Number(days) * dayMs
      for await (const [, value] of this.#retirable(address, untilMs)) {
        const { id, version } = JSON.parse(value) as Placed
        const boxed = store.findBoxed(address, id)
        const isOwnObject = isOwn(ownerOf(id as ObjectId))
        const isUnderWay = isOwnObject && version > clock.now() - limits.keepLeastMs
        // It may have been made long before it came.
        if (boxed === undefined || boxed.atMs >= untilMs || isUnderWay || store.isKept(id, address)) continue
        if (!(await leaveBox(store, id, address))) continue
        retired++
        await removeUnheld(store, id)
      }
    }
    return retired
  }

  /** What of a box a user keeps only so long: messages, and what was told of them. */
  async *#retirable(address: string, untilMs: number): AsyncGenerator<readonly [string, string]> {
    for (const kind of retiredKinds) yield* this.#rows(() => madeBefore(listOf.box(address), kind, untilMs))
  }

  /** Makes room in the cache, the least recently used first; one at a time. */
  evict(): Promise<number> {
    this.#evicting ??= this.#evict().finally(() => {
      this.#evicting = undefined
    })
    return this.#evicting
  }

  async #evict(): Promise<number> {
    const { store, clock, cacheBytes } = this.#ports
    const { database } = store
    if (database.head(listOf.cache).bytes <= cacheBytes) return 0
    let evicted = 0
    let carried = 0
    for await (const key of this.#leastUsed()) {
      if (database.head(listOf.cache).bytes <= cacheBytes * roomShare) break
      if (key.startsWith('idle ')) {
        if (await dropCarried(key, database)) carried++
        continue
      }
      const id = lastPart(key)
      if (await removeUnheld(store, id)) evicted++
      // Somebody keeps it: it is looked at again when all others were.
      else await this.#putOff(key, id, clock.now())
    }
    // What they take is on the disk until then.
    if (carried > 0) await this.#ports.sweepBlobs()
    return evicted + carried
  }

  /** Objects and blobs of the cache together, by the time of their last use. */
  async *#leastUsed(): AsyncGenerator<string> {
    const sorts = [this.#rows(() => rangeOf('used')), this.#rows(() => rangeOf('idle'))] as const
    const heads = await Promise.all(sorts.map(rows => rows.next()))
    const timeOf = (at: number): string => {
      const head = heads[at]
      return head === undefined || head.done === true ? '~' : (head.value[0].split(' ')[1] ?? '')
    }
    for (;;) {
      const at = timeOf(0) <= timeOf(1) ? 0 : 1
      const [head, rows] = [heads[at], sorts[at]]
      if (head === undefined || head.done === true) return
      yield head.value[0]
      heads[at] = await rows.next()
    }
  }

  async #putOff(key: string, id: string, nowMs: number): Promise<void> {
    const { database } = this.#ports.store
    const text = database.get(keyOf.cached(id))
    if (text === undefined) {
      await database.commit([{ dels: [key], isRelaxed: true }])
      return
    }
    const record = JSON.stringify({ ...JSON.parse(text), usedAtMs: nowMs })
    const puts = [[keyOf.cached(id), record] as const, [keyOf.used(nowMs, id), ''] as const]
    await database.commit([{ equals: [[keyOf.cached(id), text]], puts, dels: [key], isRelaxed: true }])
  }

  /** That a name was absent is believed for a minute only. */
  async #forgetAbsent(store: Store): Promise<void> {
    const nowMs = this.#ports.clock.now()
    for await (const [key, atMs] of this.#rows(() => rangeOf('absent')))
      if (Number(atMs) + limits.absentMs < nowMs)
        await store.database.commit([{ equals: [[key, atMs]], dels: [key], isRelaxed: true }])
  }

  /** What relays had to say by now. */
  async #giveUp(): Promise<void> {
    const { store, clock, giveUp } = this.#ports
    for await (const [key] of this.#rows(() => owedUntil(clock.now()))) {
      const [, , id = '', domain = ''] = key.split(' ')
      await giveUp(id, domain)
      await store.database.commit([{ dels: [key], isRelaxed: true }])
    }
  }

  /** Each row of a range once, page by page, until the end or the server's. */
  async *#rows(range: () => { gt: string; lt: string }): AsyncGenerator<readonly [string, string]> {
    const { database } = this.#ports.store
    for (let { gt, lt } = range(); !this.#stopping.signal.aborted; ) {
      const rows = await database.scan({ gt, lt }, { limit: page })
      for (const row of rows) {
        if (this.#stopping.signal.aborted) return
        yield row
      }
      const [last] = rows.at(-1) ?? []
      if (last === undefined || rows.length < page) return
      gt = last
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await this.#evicting
  }
}
