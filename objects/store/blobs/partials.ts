/**
 * Blobs that come in pieces (protocol §9.8), each in a file that grows until it is whole. What a crash or an absence cuts off
 * goes on from the bytes on the disk, which are hashed once more; all of them together take a bounded room, the last used
 * staying.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../../schemas/limits.ts'
import { sha256Text } from '../../seals/keys.ts'

/** The file of a blob that comes from a domain: what one gives is not mixed with what another does. */
export function partialName(blob: string, from: string): string {
  return sha256Text(`${blob} ${from}`)
}

export class Partials {
  readonly #folder: string
  readonly #open = new Set<string>()
  /** Removals under way: a file is not opened under them. */
  readonly #going = new Map<string, Promise<void>>()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Goes on with a file, or begins it; one of more than `bytesMost` begins anew. One at a time has a name. */
  async open(name: string, bytesMost: number): Promise<Partial> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const file = join(this.#folder, name)
    this.#open.add(name)
    const over = (): void => {
      this.#open.delete(name)
    }
    let handle: FileHandle | undefined
    try {
      await this.#going.get(name)
      handle = await open(file, 'a', 0o600)
      if ((await handle.stat()).size > bytesMost) await truncate(file)
      const hash = createHash('sha256')
      let bytes = 0
      for await (const chunk of createReadStream(file)) {
        hash.update(chunk as Buffer)
        bytes += (chunk as Buffer).length
      }
      return new Partial({ file, handle, hash, bytes, over: () => this.#close(over) })
    } catch (thrown) {
      await handle?.close()
      over()
      throw thrown
    }
  }

  async #close(over: () => void): Promise<void> {
    over()
    const files = await this.#list()
    files.sort((one, other) => other.usedAtMs - one.usedAtMs)
    let bytes = 0
    for (const file of files) {
      bytes += file.bytes
      if (bytes > limits.partialBytes) await this.#remove(file.name)
    }
  }

  /** Removes all files but those of these names and those that are open. */
  async keepOnly(names: ReadonlySet<string>): Promise<void> {
    for (const { name } of await this.#list()) if (!names.has(name)) await this.#remove(name)
  }

  async #remove(name: string): Promise<void> {
    if (this.#open.has(name)) return
    const before = this.#going.get(name)
    if (before !== undefined) return before
    const going = rm(join(this.#folder, name), { force: true }).finally(() => this.#going.delete(name))
    this.#going.set(name, going)
    await going
  }

  async #list() {
    const names = await readdir(this.#folder).catch(() => [])
    const found = await Promise.all(
      names.map(async name => {
        const file = await stat(join(this.#folder, name)).catch(() => undefined)
        return file && { name, bytes: file.size, usedAtMs: file.mtimeMs }
      }),
    )
    return found.filter(file => file !== undefined)
  }
}

interface PartialParts {
  readonly file: string
  readonly handle: FileHandle
  readonly hash: Hash
  readonly bytes: number
  over(): Promise<void>
}

/** One file that grows. To be closed, also when it was moved or removed. */
export class Partial implements AsyncDisposable {
  readonly file: string
  readonly #parts: PartialParts
  #bytes: number

  constructor(parts: PartialParts) {
    this.file = parts.file
    this.#parts = parts
    this.#bytes = parts.bytes
  }

  /** How many are here. */
  get bytes(): number {
    return this.#bytes
  }

  async append(piece: Uint8Array): Promise<void> {
    await this.#parts.handle.appendFile(piece)
    this.#parts.hash.update(piece)
    this.#bytes += piece.length
  }

  /** SHA-256 of all that is here, in base64url, with the bytes on the disk. Nothing can be appended any more. */
  async close(): Promise<string> {
    await this.#parts.handle.sync()
    return this.#parts.hash.digest('base64url')
  }

  async remove(): Promise<void> {
    await rm(this.file, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.handle.close()
    await this.#parts.over()
  }
}
