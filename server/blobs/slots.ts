/**
 * Places for work that waits for others: some at a time. Who keeps us waiting gives the place to the next and goes on beside,
 * as long as there are not too many such; so those who are slow delay each other only.
 */
import { FmtpError } from '../../schemas/failures.ts'
import type { SteadyClock, Timer } from '../../wire/steady-clock.ts'

const slowMs = 2000
const slowMost = 16
const slowAgainMs = 60_000

export class Lanes {
  readonly #most: number
  readonly #signal: AbortSignal
  readonly #clock: SteadyClock
  readonly #waiting: (() => void)[] = []
  #taken = 0
  #slow = 0

  /** `signal` ends all waiting, with FMTP_SHUTTING_DOWN. */
  constructor(most: number, signal: AbortSignal, clock: SteadyClock) {
    this.#most = most
    this.#signal = signal
    this.#clock = clock
    signal.addEventListener('abort', () => {
      for (const wake of this.#waiting.splice(0)) wake()
    })
  }

  /** Resolves when there is a place. To be left. */
  async enter(): Promise<Lane> {
    while (this.#taken >= this.#most && !this.#signal.aborted)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    this.#taken++
    let place: 'quick' | 'slow' | 'none' = 'quick'
    const leave = (): void => {
      if (place === 'slow') this.#slow--
      if (place === 'quick') this.#free()
      place = 'none'
    }
    const slowDown = (): boolean => {
      if (place !== 'quick') return true
      if (this.#slow >= slowMost) return false
      leave()
      this.#slow++
      place = 'slow'
      return true
    }
    return { leave, wait: work => this.#wait(work, slowDown) }
  }

  #wait<T>(work: Promise<T>, slowDown: () => boolean): Promise<T> {
    const tooMany = (): FmtpError =>
      new FmtpError('FMTP_BUSY', 'too many are slow', { retryAfterMs: slowAgainMs })
    let timer: Timer | undefined
    const late = new Promise<never>((_, reject) => {
      timer = this.#clock.after(slowMs, () => {
        if (!slowDown()) reject(tooMany())
      })
    })
    return Promise.race([untilEnd(work, this.#signal), late]).finally(() => timer?.stop())
  }

  #free(): void {
    this.#taken--
    this.#waiting.shift()?.()
  }
}

export interface Lane {
  /** What `work` gives. @throws {FmtpError} FMTP_SHUTTING_DOWN; FMTP_BUSY where it is slow, and too many others are */
  wait<T>(work: Promise<T>): Promise<T>
  leave(): void
}

/** For work that somebody waits for: it takes no place from others. */
export function ownLane(signal: AbortSignal): Lane {
  return { leave: () => undefined, wait: work => untilEnd(work, signal) }
}

function untilEnd<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(new FmtpError('FMTP_SHUTTING_DOWN'))
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end))
  })
}
