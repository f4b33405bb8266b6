/**
 * Deletes accounts (protocol §6.14), behind everything else and over restarts: first all that is here gives way to tombstones, then
 * those are waited for until each other home has confirmed them or was given up, then what is left of the account goes.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Store } from '../../objects/store/store.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address, ObjectId } from '../../schemas/text/names.ts'
import type { Leaver, Leavers } from '../accounts/leavers.ts'
import { countAllCopies, countCopies, tombstonesOf } from '../delivery/status/copies.ts'
import { clearAll } from './clear.ts'
import { eraseAll } from './erase.ts'

export interface LeavingPorts {
  readonly store: Store
  readonly clock: Clock
  readonly leavers: Leavers
  /** Puts a tombstone in the place of an object; true where it is new. */
  erase(id: ObjectId, author: Address): Promise<boolean>
  /** Removes blobs that no object names any more. */
  sweepBlobs(): Promise<unknown>
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

const againMs = 60_000
const firstLookMs = 250
const lookMostMs = 60_000

/** Where a leaver's tombstones are confirmed up to, and when they are looked at again. */
interface Watch {
  readonly number: number
  readonly pauseMs: number
  /** Unix ms at which this process looked for the first time. */
  readonly sinceMs: number
}

export class Leaving implements AsyncDisposable {
  readonly #ports: LeavingPorts
  readonly #ended = new AbortController()
  #running: Promise<void> = Promise.resolve()
  readonly #watches = new Map<Address, Watch>()
  readonly #erased = new Map<Address, number>()
  #woken = new AbortController()

  constructor(ports: LeavingPorts) {
    this.#ports = ports
    this.#ended.signal.addEventListener('abort', () => this.wake())
  }

  /** Begins with what a process before left undone. */
  start(): void {
    this.#running = this.#run()
  }

  /** Another account goes. */
  wake(): void {
    this.#woken.abort()
  }

  /** How many objects of a user were erased by this process. */
  erasedOf(address: Address): number {
    return this.#erased.get(address) ?? 0
  }

  async #run(): Promise<void> {
    const { clock } = this.#ports
    while (!this.#ended.signal.aborted) {
      this.#woken = new AbortController()
      const pauseMs = await this.#workAll()
      if (!this.#ended.signal.aborted) await clock.sleep(pauseMs, this.#woken.signal)
    }
  }

  /** Gives how long nothing is to do. */
  async #workAll(): Promise<number> {
    let pauseMs = limits.upkeepMs
    try {
      for (const leaver of await this.#ports.leavers.listOpen())
        pauseMs = Math.min(pauseMs, await this.#workOn(leaver))
    } catch (thrown) {
      return this.#noteFailed(undefined, thrown)
    }
    return pauseMs
  }

  /** One that fails keeps none of the others. */
  async #workOn(leaver: Leaver): Promise<number> {
    try {
      return await this.#advance(leaver)
    } catch (thrown) {
      return this.#noteFailed(leaver.address, thrown)
    }
  }

  #noteFailed(address: Address | undefined, thrown: unknown): number {
    const { code, message: reason } = toFmtpError(thrown)
    if (!this.#ended.signal.aborted) this.#ports.onEvent('account.failed', { address, code, reason })
    return againMs
  }

  async #advance({ address, record }: Leaver): Promise<number> {
    const { clock, leavers, onEvent, sweepBlobs } = this.#ports
    if (record.erasedAtMs === undefined) {
      await this.#erase(address, record.groups)
      await sweepBlobs()
      await leavers.note(address, { erasedAtMs: clock.now() })
      onEvent('account.erased', { address, objects: this.erasedOf(address) })
    }
    const watch = await this.#look(address)
    // Deliveries end before that by themselves, counted from when they could be tried: what does not, never will.
    if (watch !== undefined && clock.now() < watch.sinceMs + limits.keepLeastMs) return watch.pauseMs
    await this.#end(address)
    return limits.upkeepMs
  }

  async #erase(address: Address, groups: readonly Address[]): Promise<void> {
    const { store, erase, leavers } = this.#ports
    await eraseAll(address, groups, {
      ...{ store, erase, signal: this.#ended.signal },
      logInKeys: user => leavers.logInKeys(user),
      onErased: () => this.#erased.set(address, this.erasedOf(address) + 1),
    })
  }

  /** `undefined` when it is known of every copy what became of it. What was confirmed is not looked at again. */
  async #look(address: Address): Promise<Watch | undefined> {
    const { store, clock } = this.#ports
    const before = this.#watches.get(address)
    let number = before?.number ?? 0
    for await (const tombstone of tombstonesOf(address, store, number)) {
      if ((await countCopies(tombstone.id, store)).waiting > 0) {
        const pauseMs = Math.min((before?.pauseMs ?? firstLookMs / 2) * 2, lookMostMs)
        const watch = { number, pauseMs, sinceMs: before?.sinceMs ?? clock.now() }
        this.#watches.set(address, watch)
        return watch
      }
      number = tombstone.number
    }
    return undefined
  }

  async #end(address: Address): Promise<void> {
    const { store, clock, leavers, onEvent } = this.#ports
    // Before what they are counted by is removed; a start in the middle does not count again.
    if (leavers.find(address)?.copies === undefined)
      await leavers.note(address, { copies: await countAllCopies(address, store) })
    await clearAll(address, store, this.#ended.signal)
    await leavers.note(address, { endedAtMs: clock.now() })
    this.#watches.delete(address)
    this.#erased.delete(address)
    onEvent('account.gone', { address, ...leavers.find(address)?.copies })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#running
  }
}
