/**
 * A clock that tests move. It runs with the machine's, so that parts which wait a moment for each other go on; or stands
 * still, for what is to be seen to the millisecond. Whoever it has passed wakes at once, in the order of their times.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Timer } from '../../wire/steady-clock.ts'

interface Alarm {
  dueMs: number
  readonly everyMs: number | undefined
  readonly work: () => void
  /** Of the machine, where the clock runs with it. */
  timeout?: ReturnType<typeof setTimeout>
}

/** The longest time that a timer of Node takes. */
const timeoutMostMs = 2 ** 31 - 1

export class MovableClock implements Clock {
  readonly #machine: Pick<Clock, 'now' | 'steadyMs'>
  readonly #isStill: boolean
  #aheadMs = 0
  #steadyAheadMs = 0
  readonly #sleepers = new Set<() => void>()
  readonly #alarms = new Set<Alarm>()

  constructor({ isStill = false }: { readonly isStill?: boolean } = {}) {
    // Whole, so that sums are exact.
    const [dayMs, steadyMs] = [Date.now(), Math.round(performance.now())]
    this.#isStill = isStill
    this.#machine = isStill
      ? { now: () => dayMs, steadyMs: () => steadyMs }
      : { now: () => Date.now(), steadyMs: () => performance.now() }
  }

  /** Whole, as a time of day is. */
  now(): number {
    return Math.floor(this.#machine.now() + this.#aheadMs)
  }

  steadyMs(): number {
    return this.#machine.steadyMs() + this.#steadyAheadMs
  }

  /** How many sleep until some time. */
  get sleepers(): number {
    return this.#sleepers.size
  }

  /** How many timers go by steady time. */
  get timers(): number {
    return this.#alarms.size
  }

  /**
   * Moves the time of day, and whoever sleeps. Steady time stays: connections, whose answers come over real sockets, do not
   * take this for silence.
   */
  advance(ms: number): void {
    this.#aheadMs += ms
    this.#wakeSleepers()
  }

  /** Time passes for all: each timer is called as often as it would be, at the very time at which it is due. */
  elapse(ms: number): void {
    const untilMs = this.steadyMs() + ms
    for (;;) {
      const next = this.#findFirst()
      if (next === undefined || next.dueMs > untilMs) break
      this.#pass(next.dueMs)
      this.#ring(next)
    }
    this.#pass(untilMs)
    for (const alarm of this.#alarms) this.#wind(alarm)
    this.#wakeSleepers()
  }

  after(ms: number, work: () => void): Timer {
    return this.#set({ dueMs: this.steadyMs() + ms, everyMs: undefined, work })
  }

  every(ms: number, work: () => void): Timer {
    return this.#set({ dueMs: this.steadyMs() + ms, everyMs: ms, work })
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const untilMs = this.now() + ms
    while (this.now() < untilMs && signal?.aborted !== true) await this.#nap(untilMs - this.now(), signal)
  }

  #set(alarm: Alarm): Timer {
    this.#alarms.add(alarm)
    this.#wind(alarm)
    return { stop: () => this.#drop(alarm) }
  }

  #drop(alarm: Alarm): void {
    this.#alarms.delete(alarm)
    clearTimeout(alarm.timeout)
  }

  #wind(alarm: Alarm): void {
    if (this.#isStill) return
    clearTimeout(alarm.timeout)
    const ms = Math.min(Math.max(0, alarm.dueMs - this.steadyMs()), timeoutMostMs)
    alarm.timeout = setTimeout(() => this.#ring(alarm), ms).unref()
  }

  #ring(alarm: Alarm): void {
    if (alarm.everyMs === undefined) this.#drop(alarm)
    else {
      // One that comes late is not made up for, as with the timers of the machine.
      alarm.dueMs = Math.max(alarm.dueMs, this.steadyMs() - alarm.everyMs) + alarm.everyMs
      this.#wind(alarm)
    }
    alarm.work()
  }

  #findFirst(): Alarm | undefined {
    let first: Alarm | undefined
    for (const alarm of this.#alarms)
      if (alarm.dueMs < (first?.dueMs ?? Number.POSITIVE_INFINITY)) first = alarm
    return first
  }

  #pass(untilMs: number): void {
    const ms = Math.max(0, untilMs - this.steadyMs())
    this.#steadyAheadMs += ms
    this.#aheadMs += ms
  }

  #wakeSleepers(): void {
    for (const wake of [...this.#sleepers]) wake()
  }

  #nap(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#sleepers.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const timer = this.#isStill ? undefined : setTimeout(wake, Math.min(ms, timeoutMostMs))
      signal?.addEventListener('abort', wake, { once: true })
      this.#sleepers.add(wake)
    })
  }
}
