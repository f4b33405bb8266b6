/**
 * Whether the other end of a connection is still there, and since when the connection was of no use (protocol §4.7). A host
 * that went without a word leaves a connection that looks open: after a silence it is asked for a sign of life.
 */
import type { SteadyClock } from '../../wire/steady-clock.ts'

export interface LivenessOptions {
  /** Silence after which the other side is pinged, in ms. */
  readonly pingAfterMs: number
  /** How long it may then stay silent, in ms. */
  readonly pongMs: number
}

/** The part of `pongMs` that an answer takes at most where all is well: a second of fifteen. */
const momentShare = 15

export class Liveness {
  readonly #options: LivenessOptions
  readonly #clock: SteadyClock
  #heardMs: number
  #usedMs: number
  #pingedMs: number | undefined
  #isDoubted = false
  #isSuspected = false

  constructor(options: LivenessOptions, clock: SteadyClock) {
    this.#options = options
    this.#clock = clock
    this.#heardMs = clock.steadyMs()
    this.#usedMs = this.#heardMs
  }

  /** How often `findDue` must be asked, in ms. */
  static tickMs({ pingAfterMs, pongMs }: LivenessOptions): number {
    return Math.min(pingAfterMs, pongMs) / 4
  }

  /** True from a doubt, or from a moment after a ping, until something is heard. */
  get isDoubtful(): boolean {
    if (this.#isDoubted) return true
    return (
      this.#pingedMs !== undefined &&
      this.#clock.steadyMs() - this.#pingedMs >= this.#options.pongMs / momentShare
    )
  }

  /** True from a doubt or a suspicion until something is heard. */
  get isDoubted(): boolean {
    return this.#isDoubted
  }

  /** True from a suspicion until something is heard. */
  get isSuspected(): boolean {
    return this.#isSuspected
  }

  /** How long nothing but pings went either way, in ms. */
  get unusedMs(): number {
    return this.#clock.steadyMs() - this.#usedMs
  }

  /** Whatever came is a sign of life. */
  heard(): void {
    this.#heardMs = this.#clock.steadyMs()
    this.#pingedMs = undefined
    this.#isDoubted = false
    this.#isSuspected = false
  }

  used(): void {
    this.#usedMs = this.#clock.steadyMs()
  }

  /** There is reason to think that nobody is there: it is pinged soon, and counts as unused since long. */
  doubt(): void {
    this.#isDoubted = true
    this.#usedMs = Number.NEGATIVE_INFINITY
  }

  /** Another connection with the same side was given up: nothing more is risked on this one until something is heard. */
  suspect(): void {
    this.#isDoubted = true
    this.#isSuspected = true
  }

  /** What is to be done now. After `ping` the caller says with `pinged` that it was sent. */
  findDue(): 'ping' | 'dead' | undefined {
    const nowMs = this.#clock.steadyMs()
    if (this.#pingedMs !== undefined)
      return nowMs - this.#pingedMs >= this.#options.pongMs ? 'dead' : undefined
    return this.#isDoubted || nowMs - this.#heardMs >= this.#options.pingAfterMs ? 'ping' : undefined
  }

  pinged(): void {
    this.#pingedMs = this.#clock.steadyMs()
  }
}
