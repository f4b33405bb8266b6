/**
 * Blobs of other domains come here (protocol §9.9): those of objects that somebody here took, in the background, from some
 * domains at a time; and at once what a user asks for. What is to come stands in the store, written with the objects.
 */
import { rangeOf } from '../../objects/store/layout.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { within } from '../../routing/with-timeout.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain, ObjectId } from '../../schemas/text/names.ts'
import { type LinePorts, PullLine } from './domain-queue.ts'
import { createPulling, type PullingPorts } from './fetch.ts'
import { Lanes, ownLane } from './slots.ts'

export interface PullerPorts extends PullingPorts, Omit<LinePorts, 'lanes' | 'pull'> {}

/** How often the queue is looked at where nobody said that it has grown. */
const lookMs = 60_000
const bringAgainMs = 5_000

export class Puller implements AsyncDisposable {
  readonly #ports: LinePorts
  readonly #lines = new Map<Domain, PullLine>()
  readonly #closing = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(ports: PullerPorts) {
    const { signal } = this.#closing
    const lanes = new Lanes(limits.pullsAtOnce, signal, ports.clock)
    this.#ports = { ...ports, lanes, pull: createPulling(ports) }
  }

  /** Takes up what is to come, now and again. */
  start(): void {
    this.#running = this.#run()
  }

  /** There may be something to come from this domain. `isBack`: it was heard from, so waiting for it ends. */
  wake(domain: Domain, isBack = false): void {
    const line = this.#lines.get(domain)
    if (line !== undefined) line.wake(isBack)
    // What was to come before has a line as long as it waits.
    else if (!isBack) this.#work(domain)
  }

  /** A parent is back, which reaches others for us: waiting for these ends. */
  wakeAll(): void {
    for (const line of this.#lines.values()) line.wake(true)
  }

  /**
   * Has a blob come now, also one that was given up. Resolves when it is here, or nobody wants it.
   * @throws {FmtpError} why it does not come; FMTP_BUSY where it takes long, and goes on
   */
  async bring(sha256: string, id: ObjectId): Promise<void> {
    const { clock } = this.#ports
    const ask = (query: PieceQuery, as: Domain): Promise<Piece> => this.#ports.ask(query, { as })
    const pulling = this.#ports.pull(sha256, id, { lane: ownLane(this.#closing.signal), ask })
    const tooLong = (): FmtpError =>
      new FmtpError('FMTP_BUSY', `${sha256} is on its way`, { retryAfterMs: bringAgainMs })
    await within(pulling, limits.bringMs, clock, tooLong)
  }

  #work(domain: Domain): void {
    if (this.#closing.signal.aborted || this.#lines.has(domain)) return
    const rest = (): boolean => this.#lines.delete(domain)
    this.#lines.set(domain, new PullLine(domain, this.#ports, this.#closing.signal, rest))
  }

  async #run(): Promise<void> {
    const { clock, onEvent } = this.#ports
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#look().catch(thrown => onEvent('pull.error', { reason: String(thrown) }))
      await clock.sleep(lookMs, signal)
    }
  }

  /** From domain to domain: what is to come from each is its line's affair. */
  async #look(): Promise<void> {
    const { database } = this.#ports.store
    for (let range = rangeOf('pull'); !this.#closing.signal.aborted; ) {
      const [first] = await database.scan(range, { limit: 1 })
      if (first === undefined) return
      const [, domain = ''] = first[0].split(' ')
      this.#work(domain as Domain)
      range = { ...range, gt: rangeOf('pull', domain).lt }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#running
    await Promise.all([...this.#lines.values()].map(line => line.close()))
  }
}

/** How many bytes a piece may have, so that the frame with it is within a limit. */
export function pieceBytesOf(frameBytes: number): number {
  return Math.min(limits.blobPieceBytes, Math.floor(((frameBytes - frameRestBytes) * 3) / 4))
}

/** Around the bytes of a piece. */
const frameRestBytes = 1024
