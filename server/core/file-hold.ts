/**
 * Removal of files of the data folder that objects or DNS name no more: it waits while somebody copies them. A copy is made of
 * one moment, and must have what was named then.
 */
export class Removals {
  #holders = 0
  readonly #running = new Set<Promise<unknown>>()

  /** True while nothing may be removed. */
  get areHeld(): boolean {
    return this.#holders > 0
  }

  /** Nothing is removed from now on, until what this resolves with is disposed of; resolves when nothing is under way. */
  async hold(): Promise<Disposable> {
    this.#holders++
    let isHeld = true
    await Promise.allSettled(this.#running)
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#holders--
        isHeld = false
      },
    }
  }

  /** Does something that removes files; `undefined` where they are held: it is for a later time. */
  async run<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.areHeld) return undefined
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}
