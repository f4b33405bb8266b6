/**
 * Bytes by their SHA-256 (protocol §9.8): the port, and files. What is kept was hashed while it was written and is on the
 * disk with its name. A file is read and hashed once more before it is first given out, and whenever it changed since; one
 * that does not match its name any more is put aside.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import { BoundedMap } from '../../../wire/bounded-map.ts'
import { Partials, partialName } from './partials.ts'

export interface BlobRange {
  readonly start: number
  /** Of the last byte. */
  readonly end: number
}

export interface Blobs {
  /**
   * Takes bytes under a name. `keep` is called when they are on the disk, before anybody may remove them again.
   * @returns how many bytes
   * @throws {FmtpError} FMTP_BLOB_HASH, FMTP_BLOB_TOO_LARGE; FMTP_FULL when the disk is full, FMTP_STORE when the disk did not take them
   */
  put(name: string, source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<number>
  /** How many bytes, where they are here and are those of the name. */
  findBytes(name: string): Promise<number | undefined>
  /**
   * Goes on with a blob that comes from a domain in pieces, from the bytes of it that are on the disk. More than
   * `bytesMost` are never kept. One at a time may have a name from a domain. @throws {FmtpError} FMTP_FULL, FMTP_STORE
   */
  resume(name: string, from: string, bytesMost: number): Promise<Incoming>
  /** Removes what came of blobs but these, as `partialName` names them. */
  keepPartials(names: ReadonlySet<string>): Promise<void>
  read(name: string, range: BlobRange): AsyncIterable<Uint8Array>
  /** Removes what `mayGo` says may go, while nobody puts it. */
  remove(name: string, mayGo: () => Promise<boolean>): Promise<boolean>
}

/** A blob that comes in pieces. To be closed; what is there then stays for who goes on. */
export interface Incoming extends AsyncDisposable {
  /** How many are here. */
  readonly bytes: number
  append(piece: Uint8Array): Promise<void>
  /**
   * It is whole: gives it its name. `keep` is called when it is on the disk; false: nobody wants it any more, and it goes.
   * @throws {FmtpError} FMTP_BLOB_HASH, and all of it is thrown away
   */
  finish(keep: (bytes: number) => Promise<boolean>): Promise<void>
  /** Throws away what came. */
  drop(): Promise<void>
}

export interface PutOptions {
  readonly bytesMost: number
  keep(bytes: number): Promise<void>
}

const verifiedMost = 10_000

export class FileBlobs implements Blobs {
  readonly #folder: string
  readonly #onDamage: (name: string) => void
  readonly #partials: Partials
  /** Files that were found right, by what tells that they are still the same. */
  readonly #verified = new BoundedMap<string, string>(verifiedMost)
  readonly #looking = new Map<string, Promise<boolean>>()
  /** One at a time puts or removes a name. */
  readonly #turns = new Map<string, Promise<unknown>>()

  private constructor(folder: string, onDamage: (name: string) => void) {
    this.#folder = folder
    this.#onDamage = onDamage
    this.#partials = new Partials(join(folder, 'partials'))
  }

  static async open(folder: string, onDamage: (name: string) => void): Promise<FileBlobs> {
    const blobs = new FileBlobs(folder, onDamage)
    // Half of a file, of a server that was killed.
    await rm(blobs.#drafts, { recursive: true, force: true })
    await mkdir(blobs.#drafts, { recursive: true, mode: 0o700 })
    return blobs
  }

  async put(name: string, source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<number> {
    const draft = join(this.#drafts, randomBytes(12).toString('hex'))
    try {
      const bytes = await write(draft, name, source, options.bytesMost)
      return await this.#inTurn(name, async () => {
        await this.#move(draft, name)
        await options.keep(bytes)
        return bytes
      })
    } catch (thrown) {
      await rm(draft, { force: true })
      throw thrown instanceof FmtpError ? thrown : storeError(name, thrown)
    }
  }

  async resume(name: string, from: string, bytesMost: number): Promise<Incoming> {
    const partial = await orStoreError(name, this.#partials.open(partialName(name, from), bytesMost))
    const finish = async (keep: (bytes: number) => Promise<boolean>): Promise<void> => {
      const found = await partial.close()
      if (found !== name) {
        await partial.remove()
        throw new FmtpError('FMTP_BLOB_HASH', `${name} is told, ${found} came`)
      }
      await this.#inTurn(name, async () => {
        await this.#move(partial.file, name)
        if (!(await keep(partial.bytes))) await rm(this.#fileOf(name), { force: true })
      })
    }
    return {
      get bytes() {
        return partial.bytes
      },
      append: async piece => {
        if (partial.bytes + piece.length > bytesMost)
          throw new FmtpError('FMTP_BLOB_TOO_LARGE', `more than ${bytesMost} bytes`)
        await orStoreError(name, partial.append(piece))
      },
      finish: keep => orStoreError(name, finish(keep)),
      drop: () => partial.remove(),
      [Symbol.asyncDispose]: () => partial[Symbol.asyncDispose](),
    }
  }

  keepPartials(names: ReadonlySet<string>): Promise<void> {
    return this.#partials.keepOnly(names)
  }

  /** Gives a file that is whole its name. */
  async #move(file: string, name: string): Promise<void> {
    await mkdir(join(this.#folder, folderOf(name)), { recursive: true, mode: 0o700 })
    await rename(file, this.#fileOf(name))
    await syncFolders(this.#folder, join(this.#folder, folderOf(name)))
  }

  async findBytes(name: string): Promise<number | undefined> {
    const file = this.#fileOf(name)
    const found = await findStat(file)
    if (found === undefined) return undefined
    const mark = `${found.ino} ${found.size} ${found.mtimeMs}`
    if (this.#verified.get(name) === mark) return found.size
    // Many may ask for what nobody has asked for before.
    const looking =
      this.#looking.get(name) ?? this.#look(name, file).finally(() => this.#looking.delete(name))
    this.#looking.set(name, looking)
    if (!(await looking)) return undefined
    this.#verified.set(name, mark)
    return found.size
  }

  /** Whether a file is what its name says; one that is not is put aside. */
  async #look(name: string, file: string): Promise<boolean> {
    if ((await hashOf(file)) === name) return true
    return this.#inTurn(name, async () => {
      // Somebody may have brought the right bytes meanwhile.
      if ((await hashOf(file)) === name) return true
      await this.#putAside(name)
      return false
    })
  }

  async *read(name: string, { start, end }: BlobRange): AsyncIterable<Uint8Array> {
    for await (const chunk of createReadStream(this.#fileOf(name), { start, end })) yield chunk as Buffer
  }

  async remove(name: string, mayGo: () => Promise<boolean>): Promise<boolean> {
    return this.#inTurn(name, async () => {
      if (!(await mayGo())) return false
      await rm(this.#fileOf(name), { force: true })
      return true
    })
  }

  /** Every name that is here, for who counts. */
  async *names(): AsyncIterable<string> {
    for (const folder of await readdir(this.#folder)) {
      if (folder.length !== 2) continue
      for (const rest of await readdir(join(this.#folder, folder))) yield `${folder}${rest}`
    }
  }

  async #putAside(name: string): Promise<void> {
    const aside = join(this.#folder, 'damaged')
    await mkdir(aside, { recursive: true, mode: 0o700 })
    await rename(this.#fileOf(name), join(aside, name))
    this.#verified.delete(name)
    this.#onDamage(name)
  }

  get #drafts(): string {
    return join(this.#folder, 'drafts')
  }

  #fileOf(name: string): string {
    return join(this.#folder, folderOf(name), name.slice(2))
  }

  #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work, work)
    const ended = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(name, ended)
    ended.then(() => {
      if (this.#turns.get(name) === ended) this.#turns.delete(name)
    })
    return turn
  }
}

/** So that no folder has too many files. */
function folderOf(name: string): string {
  return name.slice(0, 2)
}

async function write(
  file: string,
  name: string,
  source: AsyncIterable<Uint8Array>,
  bytesMost: number,
): Promise<number> {
  const hash = createHash('sha256')
  const handle = await open(file, 'wx', 0o600)
  let bytes = 0
  try {
    for await (const chunk of source) {
      bytes += chunk.length
      if (bytes > bytesMost) throw new FmtpError('FMTP_BLOB_TOO_LARGE', `more than ${bytesMost} bytes`)
      hash.update(chunk)
      await handle.writeFile(chunk)
    }
    const found = hash.digest('base64url')
    if (found !== name) throw new FmtpError('FMTP_BLOB_HASH', `${name} is told, ${found} came`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return bytes
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('base64url')
}

async function findStat(file: string) {
  try {
    return await stat(file)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw storeError(file, cause)
  }
}

async function syncFolders(...folders: readonly string[]): Promise<void> {
  // Windows opens no folders, and has its renames in a journal.
  if (process.platform === 'win32') return
  for (const folder of folders) {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}

/** What a disk without room says, or one on which its user may have no more. */
const fullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])

async function orStoreError<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (thrown) {
    throw thrown instanceof FmtpError ? thrown : storeError(what, thrown)
  }
}

function storeError(what: string, cause: unknown): FmtpError {
  if (cause instanceof Error && 'code' in cause && fullCodes.has(cause.code))
    return new FmtpError('FMTP_FULL', what, { cause, retryAfterMs: limits.fullMs })
  return new FmtpError('FMTP_STORE', `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  })
}
