/**
 * Clients that send with a window that is always full, and what the live clients of the recipients are given of it: every
 * message that was sent must have arrived, once.
 */
import type { Connection } from '../client/connection.ts'
import { mintId } from '../objects/id.ts'
import type { DescribeFrame } from '../schemas/frame.ts'
import type { Address } from '../schemas/text/names.ts'
import { answerError } from '../wire/pairing.ts'

/** Messages under way in all. */
export const window = 256
const body = 'nevermore '.repeat(20)
/** Longer than any queue may take to empty. */
const arrivalLimitMs = 30_000

export interface Sender {
  readonly address: Address
  readonly connection: Connection
}

/** What the recipients' live clients were given from their boxes. */
export class Arrivals {
  readonly #atMs = new Map<string, number>()
  readonly #sent = new Set<string>()
  #lastMs = 0
  #onWhole: (() => void) | undefined

  /** Watches what comes into the box of a client. */
  follow(recipient: Connection): Promise<void> {
    return followBox(recipient, frame => this.take(frame))
  }

  take({ object }: DescribeFrame): void {
    const { id, kind } = object as { id: string; kind: string }
    // A domain is told once who writes: that is no message.
    if (kind !== 'message') return
    if (this.#atMs.has(id)) throw new Error(`${id} arrived twice`)
    this.#lastMs = performance.now()
    this.#atMs.set(id, this.#lastMs)
    if (this.isWhole) this.#onWhole?.()
  }

  /** Notes that a message was promised. */
  noteSent(id: string): void {
    this.#sent.add(id)
  }

  atMs(id: string): number | undefined {
    return this.#atMs.get(id)
  }

  get count(): number {
    return this.#atMs.size
  }

  get isWhole(): boolean {
    return this.#atMs.size >= this.#sent.size
  }

  /** Waits until all that was sent has arrived, and resolves with when the last did. @throws where it has not in time */
  async whole(): Promise<number> {
    if (!this.isWhole) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(this.#missing()), arrivalLimitMs)
        this.#onWhole = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#onWhole = undefined
    }
    this.check()
    return this.#lastMs
  }

  #missing(): Error {
    return new Error(`${this.#sent.size} messages were sent, ${this.#atMs.size} arrived`)
  }

  /** @throws where what arrived is not exactly what was sent */
  check(): void {
    if (this.#atMs.size !== this.#sent.size || [...this.#sent].some(id => !this.#atMs.has(id)))
      throw this.#missing()
  }
}

export async function followBox(
  recipient: Connection,
  onDescribe: (frame: DescribeFrame) => void,
): Promise<void> {
  const { answer } = await recipient.request({ list: { of: 'box' }, follow: true }, onDescribe)
  if (answer.outcome !== 'found') throw answerError(answer)
}

/** Resolves with the id when the home has it. */
export async function publish({ address, connection }: Sender, to: readonly Address[]): Promise<string> {
  const id = mintId(address, Date.now())
  const answer = await connection.describe({
    object: { body, format: 'text/plain', id, kind: 'message', to: [...to] },
  })
  if (answer.outcome !== 'stored') throw answerError(answer)
  return id
}

/** For as long, each sender in turn with its share of the window; gives how many were promised. */
export async function sendAll(
  senders: readonly Sender[],
  ms: number,
  send: (sender: Sender) => Promise<unknown>,
): Promise<number> {
  const endMs = performance.now() + ms
  let count = 0
  const worker = async (at: number): Promise<void> => {
    const sender = senders[at % senders.length] as Sender
    while (performance.now() < endMs) {
      await send(sender)
      count++
    }
  }
  await Promise.all(Array.from({ length: window }, (_, at) => worker(at)))
  return count
}
