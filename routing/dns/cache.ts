/**
 * Answers of DNS by age (protocol §10): presence and absence alike, each for its TTL between a second and
 * a day. Bounded in number and in bytes, so that nobody's zone fills our memory.
 */

import type { Clock } from '../../objects/clock.ts'

const leastMs = 1000
const mostMs = 24 * 60 * 60 * 1000
const mostAnswers = 10_000
/** Of messages as received; the decoded records take about ten times that. */
const mostBytes = 4 * 1024 * 1024

interface Kept<T> {
  readonly answer: T
  readonly bytes: number
  /** Unix ms at which it came. */
  readonly at: number
}

export class AnswerCache<T extends { readonly ttlMs: number }> {
  readonly #clock: Clock
  /** In the order they came, so that the first is the oldest. */
  readonly #kept = new Map<string, Kept<T>>()
  #bytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The kept answer with what is left of its TTL; `undefined` when there is none or it has expired. */
  find(key: string): T | undefined {
    const found = this.#kept.get(key)
    if (found === undefined) return undefined
    const ageMs = this.#clock.now() - found.at
    // A clock that was set back must not keep an answer for ever.
    if (ageMs >= 0 && ageMs < Math.min(Math.max(found.answer.ttlMs, leastMs), mostMs)) {
      return { ...found.answer, ttlMs: Math.max(0, found.answer.ttlMs - ageMs) }
    }
    this.#drop(key)
    return undefined
  }

  /** Keeps an answer that came as a message of `bytes` octets, in place of the older one. */
  keep(key: string, answer: T, bytes: number): void {
    this.#drop(key)
    this.#kept.set(key, { answer, bytes, at: this.#clock.now() })
    this.#bytes += bytes
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= mostAnswers && this.#bytes <= mostBytes) break
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0
    this.#kept.delete(key)
  }
}
