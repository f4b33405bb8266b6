/**
 * Time that only goes on, and timers by it. What is due after a while goes by this and not by the time of day, which jumps
 * when somebody sets it. A port, so that tests can move it; the one that is here runs in a browser and in Node.
 */

export interface Timer {
  /** From now on it calls nothing. */
  stop(): void
}

export interface SteadyClock {
  /** Milliseconds since a moment that is always the same; it never goes back and never jumps. */
  steadyMs(): number
  /** Calls `work` once, after `ms`. No process is kept alive for it. */
  after(ms: number, work: () => void): Timer
  /** Calls `work` every `ms` until it is stopped. No process is kept alive for it. */
  every(ms: number, work: () => void): Timer
}

export const systemSteadyClock: SteadyClock = {
  steadyMs: () => performance.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms)
    letGo(timer)
    return { stop: () => clearTimeout(timer) }
  },
  every: (ms, work) => {
    const timer = setInterval(work, ms)
    letGo(timer)
    return { stop: () => clearInterval(timer) }
  },
}

/** A timer of Node keeps the process alive unless it is told not to; one of a browser is a number. */
function letGo(timer: { unref?(): unknown } | number): void {
  if (typeof timer !== 'number') timer.unref?.()
}
