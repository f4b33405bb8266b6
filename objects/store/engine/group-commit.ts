/**
 * One batch for all writes that wait: each with its conditions, looked at as if those before it in the group were on the
 * disk already. LevelDB is behind two small ports.
 */
import { entryOf, keyOf, type ListName, rangeOf } from '../layout.ts'
import type { Append, Entry, Head, Write } from './write.ts'

/** A batch of the engine. */
export interface RawBatch {
  readonly length: number
  put(key: string, value: string): unknown
  del(key: string): unknown
  write(options: { readonly sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** What is on the disk, or will be when the batch is written. */
export interface Disk {
  get(key: string): string | undefined
  head(list: ListName): Head
}

/** What a batch does to the entries of one list. */
export interface ListChange {
  readonly appended: Entry[]
  readonly removed: Set<number>
}

const headStart = rangeOf('head').gt

function headText({ number, bytes }: Head): string {
  return `${number} ${bytes}`
}

/** One synced batch in the making, and what a reader would see after it. */
export class GroupBatch {
  readonly #batch: RawBatch
  readonly #disk: Disk
  readonly #changed = new Map<string, string | undefined>()
  readonly heads = new Map<ListName, Head>()
  readonly lists = new Map<ListName, ListChange>()
  #isSynced = false

  constructor(batch: RawBatch, disk: Disk) {
    this.#batch = batch
    this.#disk = disk
  }

  add(write: Write): boolean {
    for (const key of write.absent ?? []) if (this.#get(key) !== undefined) return false
    for (const [key, value] of write.equals ?? []) if (this.#get(key) !== value) return false
    for (const [key, value] of write.puts ?? []) this.#put(key, value)
    for (const key of write.dels ?? []) this.#del(key)
    for (const append of write.appends ?? []) this.#append(append)
    for (const { list, bytes } of write.adjusts ?? []) {
      const last = this.#head(list)
      this.heads.set(list, { number: last.number, bytes: last.bytes + bytes })
    }
    if (write.isRelaxed !== true) this.#isSynced = true
    return true
  }

  /** True where nothing is to be written. */
  get isEmpty(): boolean {
    return this.#changed.size === 0 && this.heads.size === 0
  }

  /** Keys that were put or deleted, but entries and heads. */
  get changedKeys(): Iterable<string> {
    return this.#changed.keys()
  }

  #append({ list, value, bytes, record }: Append): void {
    const last = this.#head(list)
    const number = last.number + 1
    this.heads.set(list, { number, bytes: last.bytes + bytes })
    this.#batch.put(keyOf.entry(list, number), value)
    if (record !== undefined) this.#put(record.key, record.valueAt(number))
    this.#list(list).appended.push({ number, value })
  }

  #list(list: ListName): ListChange {
    const known = this.lists.get(list)
    if (known !== undefined) return known
    const change = { appended: [], removed: new Set<number>() }
    this.lists.set(list, change)
    return change
  }

  #head(list: ListName): Head {
    return this.heads.get(list) ?? this.#disk.head(list)
  }

  /** Ends a batch that is not written. */
  close(): Promise<void> {
    return this.#batch.close()
  }

  async write(): Promise<void> {
    for (const [list, head] of this.heads) this.#batch.put(keyOf.head(list), headText(head))
    if (this.isEmpty) return this.#batch.close()
    await this.#batch.write({ sync: this.#isSynced })
  }

  /** What it makes of a key: null where it deletes it, `undefined` where it leaves it as it is. */
  findChanged(key: string): string | null | undefined {
    if (this.#changed.has(key)) return this.#changed.get(key) ?? null
    const head = key.startsWith(headStart)
      ? this.heads.get(key.slice(headStart.length) as ListName)
      : undefined
    return head && headText(head)
  }

  #get(key: string): string | undefined {
    const changed = this.findChanged(key)
    return changed === undefined ? this.#disk.get(key) : (changed ?? undefined)
  }

  #del(key: string): void {
    this.#changed.set(key, undefined)
    this.#batch.del(key)
    const entry = entryOf(key)
    if (entry !== undefined) this.#list(entry.list).removed.add(entry.number)
  }

  #put(key: string, value: string): void {
    this.#changed.set(key, value)
    this.#batch.put(key, value)
  }
}
