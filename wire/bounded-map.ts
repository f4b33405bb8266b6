/**
 * A map that forgets what was not used lately when it is full: for memos that must not grow with what strangers send. It has
 * two halves; a full one takes the place of the other, so that nothing is ever looked for to be thrown out.
 */
export class BoundedMap<K, V> {
  readonly #halfMost: number
  #young = new Map<K, V>()
  #old = new Map<K, V>()

  /** `most`: how many it holds at most; at least half as many of the last that were set or got. */
  constructor(most: number) {
    this.#halfMost = Math.max(1, Math.floor(most / 2))
  }

  get(key: K): V | undefined {
    const value = this.#young.get(key)
    if (value !== undefined) return value
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: K, value: V): void {
    if (this.#young.size >= this.#halfMost && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }

  delete(key: K): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }
}
