/**
 * LevelDB behind one door: reads, range scans, and the one way to write, `commit` (docs/architecture.md). Whatever waits
 * is written as one synced batch, so that hundreds of concurrent requests share one fdatasync. The only file that
 * assumes to be the only process on its folder.
 */
import { mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type ChainedBatch, Level } from 'level'
import { FmtpError } from '../schemas/failures.ts'
import { BoundedMap } from '../wire/bounded-map.ts'
import { readDamage, repairAdvice, requireCurrent } from './damage.ts'
import { entriesAfter, entryOf, keyOf, type ListName, lastPart, type Range } from './layout.ts'

/** All or nothing: when a condition fails, nothing of it is written. Later writes of a group see earlier ones. */
export interface Write {
  /** Keys that must not exist. */
  readonly absent?: readonly string[]
  /** Keys that must have this value. */
  readonly equals?: readonly (readonly [key: string, value: string])[]
  readonly puts?: readonly (readonly [key: string, value: string])[]
  readonly dels?: readonly string[]
  /** Entries that take the next numbers of their lists. */
  readonly appends?: readonly Append[]
  /** Bytes that lists have more or less, without a new entry. */
  readonly adjusts?: readonly Adjust[]
  /** May be lost in a crash: does not cause a sync by itself, but rides along with one. */
  readonly isRelaxed?: boolean
}

export interface Append {
  readonly list: ListName
  readonly value: string
  /** What the entry adds to the bytes of its list, for quotas. */
  readonly bytes: number
  /** A key whose value is made from the number that the entry takes. */
  readonly record?: { readonly key: string; readonly valueAt: (number: number) => string }
}

export interface Adjust {
  readonly list: ListName
  readonly bytes: number
}

export interface Head {
  /** Number of the last entry that was made, 0 in a new list. */
  readonly number: number
  /** Of the entries that are there. */
  readonly bytes: number
}

/** One entry of a list. */
export interface Entry {
  readonly number: number
  readonly value: string
}

/** The last entries of a list: all with a number above `after` that were not taken out. */
interface Tail {
  readonly after: number
  readonly entries: readonly Entry[]
}

export interface ScanOptions {
  readonly limit?: number
  readonly isReverse?: boolean
}

/** What a batch does to the entries of one list. */
interface ListChange {
  readonly appended: Entry[]
  readonly removed: Set<number>
}

export type Row = readonly [key: string, value: string]

/** All rows of the store as they were at one moment, whatever is written meanwhile. */
export interface Snapshot extends AsyncDisposable {
  /** How many rows a range has; without one, all. */
  count(signal: AbortSignal, range?: Range): Promise<number>
  /** In order of keys. */
  batches(range?: Range): AsyncGenerator<readonly Row[], void>
  /** @throws {FmtpError} FMTP_STORE where the disk gives something unreadable */
  get(key: string): string | undefined
}

interface Waiting {
  readonly writes: readonly Write[]
  readonly resolve: (results: boolean[]) => void
  readonly reject: (error: Error) => void
}

export const storeVersion = '1'
const groupWrites = 512
/** What an iterator reads ahead in one go. */
const highWaterMarkBytes = 256 * 1024
/** Rows that are read from a snapshot at once. */
const batchRows = 1000
const headsMost = 100_000
// Entries are about 100 bytes, so that all tails stay within some MiB.
const tailsMost = 1000
const tailEntries = 256
/** Real paths: another name of a folder is no other folder. */
const openFolders = new Set<string>()

export class Database implements AsyncDisposable {
  readonly #level: Level<string, string>
  readonly #lock: Level<string, string>
  readonly #folder: string
  readonly #onAppended: (lists: ReadonlySet<ListName>) => void
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  /** Heads that were read or written: this process is the only one that moves them. */
  readonly #heads = new BoundedMap<ListName, Head>(headsMost)
  readonly #tails = new BoundedMap<ListName, Tail>(tailsMost)
  #isClosed = false
  #epoch = ''
  #damage: readonly string[] = []

  private constructor(
    folder: string,
    lock: Level<string, string>,
    onAppended: (lists: ReadonlySet<ListName>) => void,
  ) {
    this.#folder = folder
    this.#lock = lock
    this.#onAppended = onAppended
    this.#level = new Level(join(folder, 'store'), { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  }

  /**
   * Opens or makes the store of a data folder: `store/`, behind a lock of its own in `lock/`. `onAppended` is called after
   * each commit with the lists that grew.
   * @throws {FmtpError} FMTP_STORE when another process has it, or its version is not known here
   */
  static async open(
    folder: string,
    onAppended: (lists: ReadonlySet<ListName>) => void,
    newEpoch: () => string,
  ): Promise<Database> {
    const path = makeFolder(folder)
    if (openFolders.has(path)) throw new FmtpError('FMTP_STORE', `${path} is open in this process already`)
    openFolders.add(path)
    let lock: Level<string, string> | undefined
    let level: Level<string, string> | undefined
    try {
      lock = await takeLock(makeFolder(join(path, 'lock')))
      requireCurrent(makeFolder(join(path, 'store')))
      const database = new Database(path, lock, onAppended)
      level = database.#level
      await level.open()
      database.#damage = await readDamage(join(path, 'store'))
      await database.#begin(newEpoch)
      return database
    } catch (cause) {
      await level?.close()
      await lock?.close()
      openFolders.delete(path)
      if (cause instanceof FmtpError) throw cause
      throw new FmtpError('FMTP_STORE', `${path} can not be opened: ${reasonOf(cause)}`, { cause })
    }
  }

  async #begin(newEpoch: () => string): Promise<void> {
    const version = this.get(keyOf.meta('version'))
    if (version !== undefined && version !== storeVersion)
      throw new FmtpError('FMTP_STORE', `the store has version ${version}, this server knows ${storeVersion}`)
    if (version === undefined) {
      await this.commit([
        {
          puts: [
            [keyOf.meta('version'), storeVersion],
            [keyOf.meta('epoch'), newEpoch()],
          ],
        },
      ])
    }
    this.#epoch = this.get(keyOf.meta('epoch')) ?? ''
  }

  /** What LevelDB said of damage when it opened the store; empty when all is well. */
  get damage(): readonly string[] {
    return this.#damage
  }

  /** Stands in every cursor: a restored store has another one. */
  get epoch(): string {
    return this.#epoch
  }

  /** @throws {FmtpError} FMTP_STORE where the disk gives something unreadable */
  get(key: string): string | undefined {
    try {
      return this.#level.getSync(key)
    } catch (cause) {
      throw unreadable(cause)
    }
  }

  head(list: ListName): Head {
    let head = this.#heads.get(list)
    if (head === undefined) {
      head = parseHead(this.get(keyOf.head(list)))
      this.#heads.set(list, head)
    }
    return head
  }

  /** Keys and values of a range in order of keys. `limit` is a page: ask again after the last key. */
  async scan(
    range: Range,
    options: ScanOptions = {},
  ): Promise<readonly (readonly [key: string, value: string])[]> {
    const { limit = 1000, isReverse = false } = options
    // All, because one `nextv` ends at `highWaterMarkBytes`, and a short page would look like the last.
    try {
      return await this.#level.iterator({ ...range, limit, reverse: isReverse, highWaterMarkBytes }).all()
    } catch (cause) {
      throw unreadable(cause)
    }
  }

  /**
   * Entries of a list after a number, oldest first, at most `limit`. Those that were appended a moment ago come from
   * memory: most readers wait at the end of their list, and are woken by the very append.
   */
  async entries(list: ListName, after: number, limit: number): Promise<readonly Entry[]> {
    const tail = this.#tails.get(list)
    if (tail !== undefined && after >= tail.after) {
      let start = tail.entries.length
      while (start > 0 && (tail.entries[start - 1]?.number ?? 0) > after) start--
      return tail.entries.slice(start, start + limit)
    }
    const rows = await this.scan(entriesAfter(list, after), { limit })
    return rows.map(([key, value]) => ({ number: Number(lastPart(key)), value }))
  }

  /** The store as it is now, with all that was acknowledged; to be disposed of, as LevelDB keeps it as long. */
  snapshot(): Snapshot {
    const level = this.#level
    const snapshot = level.snapshot()
    return {
      async count(signal, range = {} as Range) {
        await using keys = level.keys({ ...range, snapshot, highWaterMarkBytes })
        let count = 0
        for (let batch = await readOn(keys); batch.length > 0; batch = await readOn(keys)) {
          signal.throwIfAborted()
          count += batch.length
        }
        return count
      },
      async *batches(range = {} as Range) {
        await using rows = level.iterator({ ...range, snapshot, highWaterMarkBytes })
        for (let batch = await readOn(rows); batch.length > 0; batch = await readOn(rows)) yield batch
      },
      get(key) {
        try {
          return level.getSync(key, { snapshot })
        } catch (cause) {
          throw unreadable(cause)
        }
      },
      [Symbol.asyncDispose]: () => snapshot.close(),
    }
  }

  #keepTail(list: ListName, { appended, removed }: ListChange): void {
    const before = this.#tails.get(list)
    const [first] = appended
    const start = first === undefined ? undefined : first.number - 1
    if (before === undefined && start === undefined) return
    const all = [...(before?.entries ?? []), ...appended].filter(({ number }) => !removed.has(number))
    const dropped = Math.max(0, all.length - tailEntries)
    const after = dropped > 0 ? (all[dropped - 1]?.number ?? 0) : (before?.after ?? start ?? 0)
    this.#tails.set(list, { after, entries: all.slice(dropped) })
  }

  /**
   * Writes all that are possible, each as a whole, and resolves when they are on the disk: true for written, false where
   * a condition failed.
   * @throws {FmtpError} FMTP_STORE when the disk did not take the batch; nothing of it is acknowledged
   */
  commit(writes: readonly Write[]): Promise<boolean[]> {
    if (this.#isClosed) return Promise.reject(new FmtpError('FMTP_SHUTTING_DOWN', 'the store is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject })
      this.#writing ??= this.#writeAll()
    })
  }

  async #writeAll(): Promise<void> {
    // The requests that arrived in the same turn of the event loop go together.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#writeGroup(this.#takeGroup())
    this.#writing = undefined
  }

  #takeGroup(): Waiting[] {
    let count = 0
    let end = 0
    while (end < this.#waiting.length && count < groupWrites)
      count += this.#waiting[end++]?.writes.length ?? 0
    return this.#waiting.splice(0, end)
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const batch = new GroupBatch(this.#level.batch(), this)
    try {
      const results = group.map(({ writes }) => writes.map(write => batch.add(write)))
      await batch.write()
      for (const [list, head] of batch.heads) this.#heads.set(list, head)
      for (const [list, change] of batch.lists) this.#keepTail(list, change)
      const grown = [...batch.lists].filter(([, { appended }]) => appended.length > 0)
      if (grown.length > 0) this.#onAppended(new Set(grown.map(([list]) => list)))
      for (const [index, waiting] of group.entries()) waiting.resolve(results[index] ?? [])
    } catch (cause) {
      const error = new FmtpError('FMTP_STORE', 'a batch could not be written', { cause })
      for (const waiting of group) waiting.reject(error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#writing
    await this.#level.close()
    await this.#lock.close()
    openFolders.delete(this.#folder)
  }
}

/** One synced batch in the making, and what a reader would see after it. */
class GroupBatch {
  readonly #batch: ChainedBatch<Level<string, string>, string, string>
  readonly #disk: Pick<Database, 'get' | 'head'>
  readonly #changed = new Map<string, string | undefined>()
  readonly heads = new Map<ListName, Head>()
  readonly lists = new Map<ListName, ListChange>()
  #isSynced = false

  constructor(
    batch: ChainedBatch<Level<string, string>, string, string>,
    disk: Pick<Database, 'get' | 'head'>,
  ) {
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

  async write(): Promise<void> {
    for (const [list, { number, bytes }] of this.heads)
      this.#batch.put(keyOf.head(list), `${number} ${bytes}`)
    if (this.#batch.length === 0) return this.#batch.close()
    await this.#batch.write({ sync: this.#isSynced })
  }

  #get(key: string): string | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#disk.get(key)
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

/** The real path of a folder that is made where there is none. @throws {FmtpError} FMTP_STORE */
function makeFolder(folder: string): string {
  const path = resolve(folder)
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return realpathSync(path)
  } catch (cause) {
    throw new FmtpError('FMTP_STORE', `${path} can not be opened: ${reasonOf(cause)}`, { cause })
  }
}

/**
 * Takes the lock of a data folder, which the kernel releases when this process ends, however it ends. LevelDB locks its
 * folder, but the lock of the store is lost as soon as its own process reads the file `LOCK`, copies the folder or opens
 * it twice. So a second, empty LevelDB is locked that nobody has a reason to touch.
 */
async function takeLock(path: string): Promise<Level<string, string>> {
  const open = async (): Promise<Level<string, string>> => {
    const lock = new Level<string, string>(path)
    await lock.open()
    return lock
  }
  try {
    return await open()
  } catch (cause) {
    if (isLocked(cause)) throw cause
    // A power cut may have left half a file. There is nothing in it; only `LOCK` must stay what others have open.
    for (const name of readdirSync(path)) if (name !== 'LOCK') rmSync(join(path, name), { recursive: true })
    return await open()
  }
}

/** Makes a store of these rows in a folder that is not there yet, and closes it; to have it on the disk is the caller's. */
export async function writeStore(folder: string, batches: AsyncIterable<readonly Row[]>): Promise<void> {
  mkdirSync(folder, { mode: 0o700 })
  const level = new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8', errorIfExists: true })
  await level.open()
  try {
    for await (const rows of batches) {
      const batch = level.batch()
      for (const [key, value] of rows) batch.put(key, value)
      await batch.write()
    }
  } finally {
    await level.close()
  }
}

/**
 * Has LevelDB make the store of a data folder anew from what it can read of its files, while no process has it.
 * @throws {FmtpError} FMTP_STORE
 */
export async function rebuildStore(folder: string): Promise<void> {
  let lock: Level<string, string> | undefined
  try {
    lock = await takeLock(makeFolder(join(folder, 'lock')))
    // Declared of its other name only.
    await (Level as unknown as { repair(location: string): Promise<void> }).repair(join(folder, 'store'))
  } catch (cause) {
    throw new FmtpError('FMTP_STORE', `${folder} can not be repaired: ${reasonOf(cause)}`, { cause })
  } finally {
    await lock?.close()
  }
}

/** True for what `Database.open` throws while another process has the folder. */
export function isLocked(thrown: unknown): boolean {
  const inner = innermost(thrown)
  return inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED'
}

/** @throws {FmtpError} FMTP_STORE where the disk gives something unreadable */
async function readOn<T>(iterator: { nextv(size: number): Promise<T[]> }): Promise<T[]> {
  try {
    return await iterator.nextv(batchRows)
  } catch (cause) {
    throw unreadable(cause)
  }
}

function unreadable(cause: unknown): FmtpError {
  return new FmtpError('FMTP_STORE', `the store can not be read: ${reasonOf(cause)}`, { cause })
}

/** True for what is thrown where files of the store are missing, or hold what LevelDB did not write. */
export function isDamaged(thrown: unknown): boolean {
  const inner = innermost(thrown)
  return inner instanceof Error && /corrupt|missing|CURRENT|MANIFEST|No such file/i.test(inner.message)
}

function reasonOf(cause: unknown): string {
  if (isLocked(cause)) return 'is another server running on it?'
  const inner = innermost(cause)
  const told = inner instanceof Error ? inner.message : String(inner)
  return isDamaged(cause) ? `${told}.\n${repairAdvice}` : told
}

function innermost(thrown: unknown): unknown {
  return thrown instanceof Error && thrown.cause !== undefined ? innermost(thrown.cause) : thrown
}

function parseHead(text: string | undefined): Head {
  const [number = '0', bytes = '0'] = text?.split(' ') ?? []
  return { number: Number(number), bytes: Number(bytes) }
}
