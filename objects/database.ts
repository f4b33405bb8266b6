/**
 * LevelDB behind one door: reads, range scans, and the one way to write, `commit` (docs/architecture.md). Whatever waits
 * is written as one synced batch, so that hundreds of concurrent requests share one fdatasync. The only file that
 * assumes to be the only process on its folder.
 */
import { mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Level } from 'level'
import { FmtpError } from '../schemas/failures.ts'
import { BoundedMap } from '../wire/bounded-map.ts'
import { readDamage } from './damage.ts'
import { GroupBatch } from './group-batch.ts'
import { entriesAfter, keyOf, type ListName, lastPart, type Range } from './layout.ts'
import { ListMemos } from './list-memos.ts'
import { Tails } from './tails.ts'
import type { Entry, Head, Write } from './write.ts'

export interface ScanOptions {
  readonly limit?: number
  readonly isReverse?: boolean
}

export type Row = readonly [key: string, value: string]

/** All rows of the store as they were at one moment, whatever is written meanwhile. */
export interface Snapshot extends AsyncDisposable {
  count(signal: AbortSignal): Promise<number>
  /** In order of keys. */
  batches(): AsyncGenerator<readonly Row[], void>
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
// Most are about 1 KB, so that all stay within some MiB.
const valuesMost = 5000
const valueChars = 4096
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
  /** Values that were read: this process is the only one that changes them. */
  readonly #values = new BoundedMap<string, string>(valuesMost)
  readonly #tails = new Tails()
  readonly #memos = new ListMemos()
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
      makeFolder(join(path, 'store'))
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

  /** What is read again and again, such as the objects of a blog's first page, comes from memory. */
  get(key: string): string | undefined {
    const known = this.#values.get(key)
    if (known !== undefined) return known
    const value = this.#level.getSync(key)
    if (value !== undefined && value.length <= valueChars) this.#values.set(key, value)
    return value
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
    return await this.#level.iterator({ ...range, limit, reverse: isReverse, highWaterMarkBytes }).all()
  }

  /**
   * Entries of a list after a number, oldest first, at most `limit`. Those that were appended a moment ago come from
   * memory: most readers wait at the end of their list, and are woken by the very append.
   */
  async entries(list: ListName, after: number, limit: number): Promise<readonly Entry[]> {
    const known = this.#tails.find(list, after, limit)
    if (known !== undefined) return known
    const rows = await this.scan(entriesAfter(list, after), { limit })
    return rows.map(([key, value]) => ({ number: Number(lastPart(key)), value }))
  }

  /** What `read` gives for the list as it stands, read once while that does not change. */
  remember<T>(list: ListName, what: string, read: () => Promise<T>): Promise<T> {
    return this.#memos.remember(list, what, read)
  }

  /** The store as it is now, with all that was acknowledged; to be disposed of, as LevelDB keeps it as long. */
  snapshot(): Snapshot {
    const level = this.#level
    const snapshot = level.snapshot()
    return {
      async count(signal) {
        await using keys = level.keys({ snapshot, highWaterMarkBytes })
        let count = 0
        for (let batch = await keys.nextv(batchRows); batch.length > 0; batch = await keys.nextv(batchRows)) {
          signal.throwIfAborted()
          count += batch.length
        }
        return count
      },
      async *batches() {
        await using rows = level.iterator({ snapshot, highWaterMarkBytes })
        for (let batch = await rows.nextv(batchRows); batch.length > 0; batch = await rows.nextv(batchRows))
          yield batch
      },
      [Symbol.asyncDispose]: () => snapshot.close(),
    }
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
      for (const key of batch.changedKeys) this.#values.delete(key)
      for (const [list, head] of batch.heads) {
        this.#heads.set(list, head)
        this.#values.delete(keyOf.head(list))
      }
      for (const [list, change] of batch.lists) {
        this.#tails.keep(list, change)
        this.#memos.forget(list)
      }
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

/** True for what `Database.open` throws while another process has the folder. */
export function isLocked(thrown: unknown): boolean {
  const inner = innermost(thrown)
  return inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED'
}

function reasonOf(cause: unknown): string {
  if (isLocked(cause)) return 'is another server running on it?'
  const inner = innermost(cause)
  return inner instanceof Error ? inner.message : String(inner)
}

function innermost(thrown: unknown): unknown {
  return thrown instanceof Error && thrown.cause !== undefined ? innermost(thrown.cause) : thrown
}

function parseHead(text: string | undefined): Head {
  const [number = '0', bytes = '0'] = text?.split(' ') ?? []
  return { number: Number(number), bytes: Number(bytes) }
}
