/**
 * How far the outbox list of a domain is delivered (docs/architecture.md): what comes next, and the cursor, which moves
 * over all that is settled without a gap and reaches the disk a little later.
 */

import type { Entry, Write } from '../../objects/store/engine/write.ts'
import { keyOf, type ListName } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { noEntry, type OutboxEntry } from './outbox.ts'

/** What is to be written of an entry, looked at when it is written; nothing where it is said already. */
export type MakeWrites = () => readonly Write[]

export interface NumberedEntry {
  readonly number: number
  readonly entry: OutboxEntry
}

const pageEntries = 256
const saveMs = 50
const newsTries = 5

/** Number of the last entry that is known on disk to be settled. */
export function settledNumber(list: ListName, store: Store): number {
  return Number(store.database.get(keyOf.courier(list)) ?? 0)
}

export class Cursor {
  readonly #list: ListName
  readonly #store: Store
  readonly #onError: (thrown: unknown) => void
  /** Numbers up to this one are settled, on disk. */
  #saved: number
  /** The same in memory, ahead of the disk. */
  #done: number
  /** The last number that was taken. */
  #next: number
  readonly #finished = new Set<number>()
  #page: readonly Entry[] = []
  #at = 0
  /** Counts how often it was moved back, for what was begun before. */
  #moves = 0
  #saving: ReturnType<typeof setTimeout> | undefined
  #flushing: Promise<void> = Promise.resolve()
  /** What is to be written of settled entries with the cursor, made when it is. */
  #news: MakeWrites[] = []

  constructor(list: ListName, store: Store, onError: (thrown: unknown) => void) {
    this.#list = list
    this.#store = store
    this.#onError = onError
    this.#saved = settledNumber(list, store)
    this.#done = this.#saved
    this.#next = this.#saved
  }

  /** Where an entry stands in its list, for the other side (protocol §10.6). */
  textOf(number: number): string {
    return `${this.#store.database.epoch}.${number}`
  }

  /** True when all is settled, also on disk. */
  get isSettled(): boolean {
    return this.#news.length === 0 && this.#saved === this.#store.database.head(this.#list).number
  }

  /** Number up to which all is settled. */
  get done(): number {
    return this.#done
  }

  /** True while there is something that was not taken. */
  get hasNext(): boolean {
    return this.#at < this.#page.length || this.#store.database.head(this.#list).number > this.#next
  }

  /** The next entry that is not settled, of those that are in memory. */
  take(): NumberedEntry | undefined {
    for (let row = this.#page[this.#at]; row !== undefined; row = this.#page[this.#at]) {
      this.#at++
      this.#next = row.number
      // Settled already, before an earlier one was given back.
      if (!this.#finished.has(this.#next))
        return { number: this.#next, entry: findRow<OutboxEntry>(row.value) ?? noEntry }
    }
    return undefined
  }

  /** Reads on. False when there is nothing more. */
  async fill(): Promise<boolean> {
    if (!this.hasNext) return false
    const moves = this.#moves
    const page = await this.#store.database.entries(this.#list, this.#next, pageEntries)
    // What is next is somewhere else now.
    if (moves !== this.#moves) return this.hasNext
    this.#page = page
    this.#at = 0
    return this.#page.length > 0
  }

  /** What was taken and not settled comes again. */
  rewind(): void {
    this.#next = this.#done
    this.#page = []
    this.#at = 0
  }

  /** `news` is what is to be known of it from then on. */
  settle(number: number, news?: MakeWrites): void {
    if (news !== undefined) this.#news.push(news)
    // What was under way when the cursor was moved back may be settled twice.
    if (number > this.#done) this.#finished.add(number)
    while (this.#finished.delete(this.#done + 1)) this.#done++
    this.save()
  }

  /** Settles from the front what is over; stops at the first that is not. Nothing may be under way. */
  async drop(
    isOver: (entry: OutboxEntry) => boolean,
    onDropped: (dropped: NumberedEntry) => Promise<void>,
  ): Promise<void> {
    this.rewind()
    for (;;) {
      const taken = this.take()
      if (taken === undefined && (await this.fill())) continue
      if (taken === undefined || !isOver(taken.entry)) break
      await onDropped(taken)
      this.settle(taken.number)
    }
    this.rewind()
  }

  /**
   * What stands behind this number comes once more, also after a crash: resolves when that is on the disk.
   * @throws {FmtpError} FMTP_STORE; then it comes once more all the same, but for a crash
   */
  async moveBack(number: number): Promise<void> {
    if (number >= this.#done) return
    this.#moves++
    clearTimeout(this.#saving)
    this.#saving = undefined
    this.#finished.clear()
    this.#saved = number
    this.#done = number
    this.rewind()
    await this.#store.database.commit([{ puts: [[keyOf.courier(this.#list), String(number)]] }])
  }

  /** A little later, so that many entries share one write. What a crash forgets is delivered again, and recognised there. */
  save(): void {
    if (this.#saving !== undefined || (this.#done === this.#saved && this.#news.length === 0)) return
    this.#saving = setTimeout(() => void this.flush(), saveMs)
  }

  /** Saves now what is settled: all of which that was said is on the disk when it resolves. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush())
    return this.#flushing
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#saving)
    this.#saving = undefined
    const done = this.#done
    const moves = this.#moves
    const news = this.#news.splice(0)
    const cursor: Write = { puts: [[keyOf.courier(this.#list), String(done)]], isRelaxed: true }
    try {
      let writes = news.flatMap(make => make())
      if (done > this.#saved) writes.push(cursor)
      // A newer version may take an entry's place while this is written: then there is no news of it.
      for (let tries = 0; writes.length > 0 && tries < newsTries; tries++) {
        const areWritten = await this.#store.database.commit(writes)
        writes = areWritten.includes(false) ? news.flatMap(make => make()) : []
      }
      if (moves === this.#moves) this.#saved = Math.max(this.#saved, done)
    } catch (thrown) {
      this.#news.unshift(...news)
      this.#onError(thrown)
    }
  }
}
