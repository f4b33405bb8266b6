/**
 * LevelDB behind one door: reads, range scans, and the one way to write, `commit` (docs/architecture.md). Whatever waits
 * is written as one synced batch, so that hundreds of concurrent requests share one fdatasync. A store whose disk did not
 * take a batch is opened again before it takes another (`reopen.ts`).
 */
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { FmtpError, toFmtpError } from '../../../schemas/failures.ts'
import { entriesAfter, keyOf, type ListName, lastPart, type Range } from '../layout.ts'
import { readDamage, requireCurrent } from './damage.ts'
import { type Disk, GroupBatch } from './group-commit.ts'
import {
  createEngine,
  type Engine,
  makeFolder,
  type Row,
  readOn,
  reasonOf,
  takeLock,
  unreadable,
} from './leveldb.ts'
import { Memory } from './read-cache.ts'
import { firstPauseMs, removeProbe, reopen } from './reopen.ts'
import type { Entry, Head, Write } from './write.ts'

export interface ScanOptions {
  readonly limit?: number
  readonly isReverse?: boolean
}

/** All rows of the store as they were at one moment, whatever is written meanwhile. */
export interface Snapshot extends AsyncDisposable {
  /** How many rows a range has; without one, all. */
  count(signal: AbortSignal, range?: Range): Promise<number>
  /** In order of keys. */
  batches(range?: Range): AsyncGenerator<readonly Row[], void>
  /** @throws {FmtpError} FMTP_STORE where the disk gives something unreadable */
  get(key: string): string | undefined
}

/** The layouts of rows that are known here. */
export interface Versions {
  /** The one that is written and read. */
  readonly current: string
  /** True for an older one that `upgrade` brings to the current one. */
  isUpgradable(version: string): boolean
  upgrade(database: Database): Promise<void>
}

/** What happens to a store, for who logs it. */
export interface DatabaseWatch {
  /** A batch was not written: nothing is, until the store was opened again. */
  onFailed?(cause: unknown): void
  /** It takes writes again. */
  onReopened?(record: Reopened): void
}

export interface Reopened {
  readonly attempts: number
  /** Since the batch that failed. */
  readonly ms: number
  /** Of this opening, as `damage`. */
  readonly damage: readonly string[]
}

export interface DatabaseOptions {
  /** Called after each commit with the lists that grew. */
  readonly onAppended: (lists: ReadonlySet<ListName>) => void
  readonly newEpoch: () => string
  readonly versions: Versions
  /** True: an older one is opened as it is, by who only copies it. */
  readonly keepsVersion?: boolean
  readonly watch?: DatabaseWatch
}

interface Waiting {
  readonly writes: readonly Write[]
  readonly resolve: (results: boolean[]) => void
  readonly reject: (error: Error) => void
}

/** What is written at once: a batch, and who waits for it with the results of their writes. */
interface Group {
  readonly batch: GroupBatch
  readonly members: { readonly waiting: Waiting; readonly results: boolean[] }[]
  writes: number
}

const groupWrites = 512
/** What an iterator reads ahead in one go. */
const highWaterMarkBytes = 256 * 1024
/** How long a reader waits for a store that is being opened again. */
const readWaitMs = 2000
/** A writer that is told to come back does not come sooner. */
const leastRetryMs = 1000
/** Real paths: another name of a folder is no other folder. */
const openFolders = new Set<string>()

export class Database implements AsyncDisposable {
  readonly #level: Engine
  readonly #lock: Engine
  readonly #folder: string
  readonly #onAppended: (lists: ReadonlySet<ListName>) => void
  #waiting: Waiting[] = []
  /** What is looked at while the disk takes the batch before it. */
  #next: Group | undefined
  /** What the disk takes now: later writes see it as if it were there. */
  #underWay: GroupBatch | undefined
  #writing: Promise<void> | undefined
  /** Heads that were read or written: this process is the only one that moves them. */
  #memory = new Memory()
  readonly #closing = new AbortController()
  readonly #watch: DatabaseWatch
  /** Set while nothing can be written. */
  #reopening: Promise<void> | undefined
  /** When a writer may try again, in ms. */
  #retryAfterMs = firstPauseMs
  /** How often it was opened. */
  #openings = 1
  #epoch = ''
  #version: string
  #damage: readonly string[] = []

  private constructor(folder: string, lock: Engine, { onAppended, versions, watch = {} }: DatabaseOptions) {
    this.#folder = folder
    this.#lock = lock
    this.#watch = watch
    this.#version = versions.current
    this.#onAppended = onAppended
    this.#level = createEngine(join(folder, 'store'))
  }

  /**
   * Opens or makes the store of a data folder: `store/`, behind a lock of its own in `lock/`.
   * @throws {FmtpError} FMTP_STORE when another process has it, or its version is not known here
   */
  static async open(folder: string, options: DatabaseOptions): Promise<Database> {
    const path = makeFolder(folder)
    if (openFolders.has(path)) throw new FmtpError('FMTP_STORE', `${path} is open in this process already`)
    openFolders.add(path)
    let lock: Engine | undefined
    let database: Database | undefined
    try {
      lock = await takeLock(makeFolder(join(path, 'lock')))
      requireCurrent(makeFolder(join(path, 'store')))
      removeProbe(path)
      database = new Database(path, lock, options)
      await database.#level.open()
      database.#damage = await readDamage(join(path, 'store'))
      await database.#begin(options)
      return database
    } catch (cause) {
      if (database !== undefined) await database.#end()
      await lock?.close()
      openFolders.delete(path)
      if (cause instanceof FmtpError) throw cause
      throw new FmtpError('FMTP_STORE', `${path} can not be opened: ${reasonOf(cause)}`, { cause })
    }
  }

  async #begin({ newEpoch, versions, keepsVersion = false }: DatabaseOptions): Promise<void> {
    const version = this.get(keyOf.meta('version'))
    const isOld = version !== undefined && versions.isUpgradable(version)
    if (version !== undefined && version !== versions.current && !isOld)
      throw new FmtpError(
        'FMTP_STORE',
        `the store has version ${version}, this server knows ${versions.current}: start the newer server that made it, or restore a backup`,
      )
    if (isOld && keepsVersion) this.#version = version
    else if (isOld) await versions.upgrade(this)
    if (version === undefined) {
      await this.commit([
        {
          puts: [
            [keyOf.meta('version'), versions.current],
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

  /** The present one, but of a store that was opened as it is. */
  get version(): string {
    return this.#version
  }

  /** Stands in every cursor: a restored store has another one. */
  get epoch(): string {
    return this.#epoch
  }

  /**
   * What is read again and again, such as the objects of a blog's first page, comes from memory.
   * @throws {FmtpError} FMTP_BUSY in the moment in which the store is opened again, FMTP_STORE where the disk gives something
   * unreadable
   */
  get(key: string): string | undefined {
    const known = this.#memory.findValue(key)
    if (known !== undefined) return known ?? undefined
    this.#requireOpen()
    const value = this.#read(key)
    this.#memory.keepValue(key, value)
    return value
  }

  #read(key: string): string | undefined {
    try {
      return this.#level.getSync(key)
    } catch (cause) {
      throw unreadable(cause)
    }
  }

  head(list: ListName): Head {
    let head = this.#memory.heads.get(list)
    if (head === undefined) {
      head = parseHead(this.get(keyOf.head(list)))
      this.#memory.heads.set(list, head)
    }
    return head
  }

  #requireOpen(): void {
    if (this.#level.status === 'open') return
    if (this.#isClosed) throw new FmtpError('FMTP_SHUTTING_DOWN', 'the store is closed')
    throw new FmtpError('FMTP_BUSY', 'the store is being opened again', { retryAfterMs: this.#retryAfterMs })
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Reads, once more where the store was opened again meanwhile, and waits a moment where it is being opened. */
  async #steadily<T>(read: () => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#level.status !== 'open' && this.#reopening !== undefined)
        await Promise.race([this.#reopening, sleep(readWaitMs, undefined, { ref: false })])
      this.#requireOpen()
      const openings = this.#openings
      try {
        return await read()
      } catch (cause) {
        if (this.#isClosed || (this.#level.status === 'open' && openings === this.#openings)) throw cause
      }
    }
  }

  /** Keys and values of a range in order of keys. `limit` is a page: ask again after the last key. */
  async scan(
    range: Range,
    options: ScanOptions = {},
  ): Promise<readonly (readonly [key: string, value: string])[]> {
    const { limit = 1000, isReverse = false } = options
    // All, because one `nextv` ends at `highWaterMarkBytes`, and a short page would look like the last.
    const all = { ...range, limit, reverse: isReverse, highWaterMarkBytes }
    return this.#steadily(() => this.#level.iterator(all).all())
  }

  /**
   * Entries of a list after a number, oldest first, at most `limit`. Those that were appended a moment ago come from
   * memory: most readers wait at the end of their list, and are woken by the very append.
   */
  async entries(list: ListName, after: number, limit: number): Promise<readonly Entry[]> {
    const known = this.#memory.tails.find(list, after, limit)
    if (known !== undefined) return known
    const rows = await this.scan(entriesAfter(list, after), { limit })
    return rows.map(([key, value]) => ({ number: Number(lastPart(key)), value }))
  }

  /** What `read` gives for the list as it stands, read once while that does not change. */
  remember<T>(list: ListName, what: string, read: () => Promise<T>): Promise<T> {
    return this.#memory.memos.remember(list, what, read)
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

  /**
   * Writes all that are possible, each as a whole, and resolves when they are on the disk: true for written, false where
   * a condition failed.
   * @throws {FmtpError} FMTP_STORE when the disk did not take the batch: nothing of it is acknowledged, and it may be
   * written all the same. From then on at once, until the store was opened again.
   */
  commit(writes: readonly Write[]): Promise<boolean[]> {
    if (this.#isClosed) return Promise.reject(new FmtpError('FMTP_SHUTTING_DOWN', 'the store is closed'))
    if (this.#reopening !== undefined) return Promise.reject(this.#storeError())
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject })
      if (this.#writing === undefined) this.#writing = this.#writeAll()
      else if (this.#underWay !== undefined) this.#lookAtWaiting()
    })
  }

  async #writeAll(): Promise<void> {
    // The requests that arrived in the same turn of the event loop go together.
    await Promise.resolve()
    for (let group = this.#takeNext(); group !== undefined; group = this.#takeNext())
      await this.#writeGroup(group)
    this.#writing = undefined
  }

  #takeNext(): Group | undefined {
    this.#lookAtWaiting()
    const group = this.#next
    this.#next = undefined
    return group
  }

  /** Who waits gets into the next batch as soon as it comes, so that nothing is left to do when the disk has time again. */
  #lookAtWaiting(): void {
    let taken = 0
    for (; taken < this.#waiting.length; taken++) {
      if (this.#next !== undefined && this.#next.writes >= groupWrites) break
      this.#join(this.#waiting[taken] as Waiting)
    }
    if (taken > 0) this.#waiting.splice(0, taken)
  }

  #join(waiting: Waiting): void {
    const members = this.#next?.members ?? []
    try {
      this.#next ??= { batch: new GroupBatch(this.#level.batch(), this.#disk), members, writes: 0 }
      const { batch } = this.#next
      members.push({ waiting, results: waiting.writes.map(write => batch.add(write)) })
      this.#next.writes += waiting.writes.length
    } catch (thrown) {
      // Half of it may be in the batch.
      const error = toFmtpError(thrown)
      for (const rejected of [...this.#dropNext(), waiting]) rejected.reject(error)
    }
  }

  /** Gives up the batch that is not written yet; who waits for it is still to be told. */
  #dropNext(): Waiting[] {
    const group = this.#next
    this.#next = undefined
    // It is closed with the store at the latest.
    group?.batch.close().catch(() => undefined)
    return group?.members.map(({ waiting }) => waiting) ?? []
  }

  /** The store as it is when the batch under way is written: where that fails, nobody who looked here is written. */
  readonly #disk: Disk = {
    get: key => {
      const changed = this.#underWay?.findChanged(key)
      return changed === undefined ? this.get(key) : (changed ?? undefined)
    },
    head: list => this.#underWay?.heads.get(list) ?? this.head(list),
  }

  async #writeGroup({ batch, members }: Group): Promise<void> {
    this.#underWay = batch
    try {
      await batch.write()
      // Who looks again where a condition failed would keep everybody else from going on.
      if (batch.isEmpty) await nextTurn()
    } catch (cause) {
      const waiting = members.map(member => member.waiting)
      this.#fail(waiting, [...batch.lists.keys()], cause)
      return
    } finally {
      this.#underWay = undefined
    }
    this.#memory.follow(batch)
    const grown = [...batch.lists].filter(([, { appended }]) => appended.length > 0)
    if (grown.length > 0) this.#onAppended(new Set(grown.map(([list]) => list)))
    for (const { waiting, results } of members) waiting.resolve(results)
  }

  /** Nothing that waits is written, and nothing more is taken until the store was opened again. */
  #fail(group: readonly Waiting[], lists: readonly ListName[], cause: unknown): void {
    this.#retryAfterMs = firstPauseMs
    this.#reopening = this.#reopen(lists).catch(() => undefined)
    this.#watch.onFailed?.(cause)
    const all = [...group, ...this.#dropNext(), ...this.#waiting.splice(0)]
    for (const waiting of all) waiting.reject(this.#storeError(cause))
  }

  async #reopen(lists: readonly ListName[]): Promise<void> {
    const startMs = performance.now()
    const onPause = (pauseMs: number): void => {
      this.#retryAfterMs = pauseMs
    }
    const { signal } = this.#closing
    const attempts = await reopen(this.#level, { folder: this.#folder, signal, onPause })
    this.#openings++
    // The batch that failed may be on the disk, as a whole, or may not.
    this.#memory = new Memory()
    this.#reopening = undefined
    const damage = await readDamage(join(this.#folder, 'store'))
    this.#watch.onReopened?.({ attempts, ms: Math.round(performance.now() - startMs), damage })
    this.#onAppended(new Set(lists))
  }

  #storeError(cause?: unknown): FmtpError {
    const retryAfterMs = Math.max(this.#retryAfterMs, leastRetryMs)
    return new FmtpError('FMTP_STORE', `a batch could not be written: ${reasonOf(cause)}`, {
      cause,
      retryAfterMs,
    })
  }

  async #end(): Promise<void> {
    this.#closing.abort()
    await this.#writing
    await this.#reopening
    await this.#level.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return
    await this.#end()
    await this.#lock.close()
    openFolders.delete(this.#folder)
  }
}

function parseHead(text: string | undefined): Head {
  const [number = '0', bytes = '0'] = text?.split(' ') ?? []
  return { number: Number(number), bytes: Number(bytes) }
}
