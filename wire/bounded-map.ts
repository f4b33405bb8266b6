/** A map that forgets what was put in first when it is full: for memos that must not grow with what strangers send. */
export class BoundedMap<K, V> {
  readonly #most: number
  readonly #values = new Map<K, V>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: K): V | undefined {
    return this.#values.get(key)
  }

  set(key: K, value: V): void {
    if (this.#values.size >= this.#most && !this.#values.has(key)) {
      const [oldest] = this.#values.keys()
      if (oldest !== undefined) this.#values.delete(oldest)
    }
    this.#values.set(key, value)
  }

  delete(key: K): void {
    this.#values.delete(key)
  }
}
