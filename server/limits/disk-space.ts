/**
 * Looks how much room the disk of the data folder has, every few seconds and never for a request. Below a floor nothing new
 * is taken (protocol §8.1, §9.5), so that what makes room, and what is under way, can still be written.
 */
import { statfs } from 'node:fs/promises'
import type { Clock } from '../../objects/clock.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'

export interface DiskWatchPorts {
  readonly folder: string
  /** The floor; 0: none. */
  readonly leastBytes: number
  readonly clock: Clock
  /** How many bytes are free, where it is not the disk that is asked. */
  measure?(): Promise<number>
  /** Called with `disk.full` and `disk.free`, once each time. */
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

/** It is free again with a little more than the floor, so that it does not go to and fro. */
const freeShare = 1.05

export class DiskWatch implements AsyncDisposable {
  readonly #ports: DiskWatchPorts
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #freeBytes = Number.POSITIVE_INFINITY
  #isFull = false

  private constructor(ports: DiskWatchPorts) {
    this.#ports = ports
  }

  /** Looks once. */
  static async open(ports: DiskWatchPorts): Promise<DiskWatch> {
    const watch = new DiskWatch(ports)
    if (ports.leastBytes > 0) await watch.#look()
    return watch
  }

  /** From now on it looks every few seconds. */
  start(): void {
    if (this.#ports.leastBytes > 0) this.#running = this.#run()
  }

  get hasRoom(): boolean {
    return !this.#isFull
  }

  /** @throws {FmtpError} FMTP_FULL where so many bytes more would leave less than the floor */
  requireRoom(bytes = 0): void {
    const { leastBytes } = this.#ports
    if (!this.#isFull && this.#freeBytes - bytes >= leastBytes) return
    throw new FmtpError('FMTP_FULL', `${this.#freeBytes} bytes are free, the floor is ${leastBytes}`, {
      retryAfterMs: limits.fullMs,
    })
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#ports.clock.sleep(limits.diskLookMs, signal)
      if (!signal.aborted) await this.#look()
    }
  }

  async #look(): Promise<void> {
    const { folder, leastBytes, measure = () => freeBytesOf(folder), onEvent } = this.#ports
    try {
      this.#freeBytes = await measure()
    } catch {
      // A disk that says nothing is not full; a store that can not be written says so itself.
      this.#freeBytes = Number.POSITIVE_INFINITY
    }
    const wasFull = this.#isFull
    this.#isFull = this.#freeBytes < leastBytes * (wasFull ? freeShare : 1)
    if (this.#isFull !== wasFull)
      onEvent(this.#isFull ? 'disk.full' : 'disk.free', { freeBytes: this.#freeBytes, leastBytes })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
