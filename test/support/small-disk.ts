/**
 * A disk of a few MiB that can really be full: a tmpfs in a mount namespace of its own, which ends with the process that
 * holds it. Needs Linux and root; whoever uses it skips with a clear word elsewhere, but never in CI.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const canMount =
  process.platform === 'linux' &&
  spawnSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs -o size=1m none /mnt && command -v nsenter'])
    .status === 0

/** True where tests are left out: nobody looks, and no disk can be made. */
export const isWithoutDisk = !canMount && process.env.CI === undefined

/** What a suite adds to its name. */
export const diskMark = isWithoutDisk ? ' (SKIPPED: needs root, unshare and nsenter)' : ''

const fillerName = 'filler'
const chunk = Buffer.alloc(64 * 1024, 0x21)

export class SmallDisk implements AsyncDisposable {
  readonly #holder: ChildProcess
  readonly #folder: string

  private constructor(holder: ChildProcess, folder: string) {
    this.#holder = holder
    this.#folder = folder
  }

  /** Mounts a disk of this size at a folder, which is made. Processes see it that run under `under`. */
  static async mount(folder: string, bytes: number): Promise<SmallDisk> {
    mkdirSync(folder, { recursive: true })
    const script = 'mount -t tmpfs -o mode=700,size="$1" none "$2" && echo mounted && exec sleep 600'
    const args = ['-m', 'sh', '-c', script, 'sh', String(bytes), folder]
    const holder = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(holder, 'exit').then(([code]) => Promise.reject(new Error(`no disk: ${code}`)))
    await Promise.race([once(holder.stdout, 'data'), ended])
    ended.catch(() => undefined)
    return new SmallDisk(holder, folder)
  }

  /** What a program is run under to see the disk. */
  get under(): readonly string[] {
    return ['nsenter', '-m', '-t', String(this.#holder.pid)]
  }

  /** The disk as this process sees it. */
  get path(): string {
    return `/proc/${this.#holder.pid}/root${this.#folder}`
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }

  /** Fills it up until no more than so many bytes are free. */
  fill(leftBytes: number): void {
    const file = openSync(join(this.path, fillerName), 'a')
    try {
      for (let more = this.freeBytes - leftBytes; more > 0; more = this.freeBytes - leftBytes)
        if (writeSync(file, chunk, 0, Math.min(more, chunk.length)) === 0) return
    } finally {
      closeSync(file)
    }
  }

  /** Takes away what `fill` wrote. */
  free(): void {
    rmSync(join(this.path, fillerName), { force: true })
  }

  /** Copies all that is on it, but what fills it, to where no disk is full. */
  copyTo(folder: string): void {
    const { status, stderr } = spawnSync('cp', ['-a', `${this.path}/.`, folder])
    if (status !== 0) throw new Error(String(stderr))
    rmSync(join(folder, fillerName), { force: true })
  }

  /** Names below a folder of it. */
  list(path: string): string[] {
    return readdirSync(join(this.path, path), { recursive: true }).map(String)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#holder, 'exit')
    this.#holder.kill('SIGKILL')
    await exited
  }
}
