/**
 * A clock that runs with the machine's and can be moved ahead: who sleeps until then wakes at once. Time never stands
 * still in it, so that parts which wait a moment for each other go on.
 */
import type { Clock } from '../../objects/clock.ts'

export class MovableClock implements Clock {
  #aheadMs = 0
  readonly #sleepers = new Set<() => void>()

  now(): number {
    return Date.now() + this.#aheadMs
  }

  /** How many sleep until some time. */
  get sleepers(): number {
    return this.#sleepers.size
  }

  advance(ms: number): void {
    this.#aheadMs += ms
    for (const wake of [...this.#sleepers]) wake()
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const untilMs = this.now() + ms
    while (this.now() < untilMs && signal?.aborted !== true) await this.#nap(untilMs - this.now(), signal)
  }

  #nap(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#sleepers.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, Math.min(ms, 2 ** 31 - 1))
      signal?.addEventListener('abort', wake, { once: true })
      this.#sleepers.add(wake)
    })
  }
}
