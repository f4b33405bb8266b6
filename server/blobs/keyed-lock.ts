/** One after the other by name: who comes second looks again when the first is through. */
export class Turns {
  readonly #turns = new Map<string, Promise<unknown>>()

  /** `before`: the turn that is to be waited for, which never rejects; `undefined`: nobody's. */
  async run<T>(name: string, work: (before: Promise<unknown> | undefined) => Promise<T>): Promise<T> {
    const before = this.#turns.get(name)?.catch(() => undefined)
    const turn = work(before)
    this.#turns.set(name, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    }
  }
}

/** The name of who brings a blob of a domain. */
export function turnOf(sha256: string, domain: string): string {
  return `${sha256} ${domain}`
}
