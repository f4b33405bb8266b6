/**
 * What was read a moment ago: users and views that every message needs and that change seldom. Another process may have
 * written since, so a reading is believed for a few seconds only; who writes here forgets what is not true any more.
 */
import type { Clock } from '../../objects/clock.ts'
import { limits } from '../../schemas/limits.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'

interface Reading<V> {
  readonly value: V
  readonly untilMs: number
}

// User objects of at most half a MiB, commonly one KiB.
const readingsMost = 1000

export class ShortMemory<V> {
  readonly #clock: Clock
  #readings = new BoundedMap<string, Reading<V>>(readingsMost)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(key: string): V | undefined {
    const reading = this.#readings.get(key)
    return reading !== undefined && reading.untilMs > this.#clock.now() ? reading.value : undefined
  }

  keep(key: string, value: V): V {
    this.#readings.set(key, { value, untilMs: this.#clock.now() + limits.accountMemoryMs })
    return value
  }

  forget(key: string): void {
    this.#readings.delete(key)
  }

  forgetAll(): void {
    this.#readings = new BoundedMap(readingsMost)
  }
}
