/**
 * The Clock port: everything that waits or asks for the time is handed one, so that tests can move it. The time of day is
 * for what others are told or stands on the disk; all else goes by steady time, which nobody can set.
 */
import { type SteadyClock, systemSteadyClock } from '../wire/steady-clock.ts'

export interface Clock extends SteadyClock {
  /** The time of day, in Unix milliseconds. It jumps when the machine's is set. */
  now(): number
  /** Resolves after `ms`, or at once when the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  ...systemSteadyClock,
  now: () => Date.now(),
  // Not the timer of `node:timers/promises`: an error for each sleeper that is woken takes longer than what it wakes for.
  sleep: (ms, signal) =>
    new Promise(resolve => {
      if (signal?.aborted === true) return resolve()
      const wake = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      signal?.addEventListener('abort', wake)
    }),
}
