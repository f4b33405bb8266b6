/** The Clock port: everything that waits or asks for the time is handed one, so that tests can move it. */
import { setTimeout as wait } from 'node:timers/promises'

export interface Clock {
  /** Unix milliseconds. */
  now(): number
  /** Resolves after `ms`, or at once when the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    try {
      await wait(ms, undefined, signal === undefined ? {} : { signal })
    } catch {
      // Aborted: the waiter looks at its signal itself.
    }
  },
}
