/** What was opened, to be closed in reverse. Node 20 has no AsyncDisposableStack of its own. */
export class Closing implements AsyncDisposable {
  readonly #closes: (() => unknown)[] = []

  /** Keeps something that can be disposed of, and gives it back. */
  use<T extends AsyncDisposable>(part: T): T {
    this.defer(() => part[Symbol.asyncDispose]())
    return part
  }

  defer(close: () => unknown): void {
    this.#closes.push(close)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let close = this.#closes.pop(); close !== undefined; close = this.#closes.pop()) await close()
  }
}
