/**
 * The connections to our parents (protocol §10.7): opened from inside, kept open, and made again by a schedule, so that a
 * parent can reach what may not be called. Who looks something up never waits for one that failed.
 */
import { once } from 'node:events'
import type { Clock } from '../../objects/clock.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import type { Peer } from '../connect/peer.ts'
import type { Note } from '../ladder.ts'
import type { Uplinks } from './hierarchy.ts'

/** A connection that tells when it ends. */
export interface LinkedPeer extends Peer {
  /** Aborted when the connection has ended. */
  readonly signal: AbortSignal
}

export interface ParentLinksOptions {
  readonly parents: readonly Domain[]
  /** Domains of ours; a parent knows each by a connection of its own. What we look up goes in the name of the first. */
  readonly names: readonly Domain[]
  readonly clock: Clock
  /** At least 0, below 1. */
  random(): number
  /** Gives the open connection, or makes one. @throws {FmtpError} */
  call(parent: Domain, as: Domain): Promise<LinkedPeer>
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

/** Waits before the next attempt, after so many that failed. */
const waitsMs = [1000, 2000, 5000, 10_000, 30_000, 60_000] as const
/** A connection that ends sooner counts as one that failed. */
const steadyMs = 10_000

interface Link {
  readonly parent: Domain
  readonly as: Domain
  peer: LinkedPeer | undefined
  /** The attempt under way, while nobody was disappointed yet. */
  first: Promise<LinkedPeer> | undefined
  failures: number
  /** Unix ms of the next attempt. */
  nextAtMs: number
  /** Unix ms until which it is not asked. */
  restUntilMs: number
}

export class ParentLinks implements Uplinks, AsyncDisposable {
  readonly #options: ParentLinksOptions
  readonly #links: readonly Link[]
  readonly #over = new AbortController()
  #running: readonly Promise<void>[] = []

  constructor(options: ParentLinksOptions) {
    this.#options = options
    const { parents, names } = options
    const idle = { peer: undefined, first: undefined, failures: 0, nextAtMs: 0, restUntilMs: 0 }
    this.#links = parents.flatMap(parent => names.map(as => ({ parent, as, ...idle })))
  }

  /** Begins to call; ends when it is disposed of. */
  start(): void {
    this.#running = this.#links.map(link => this.#keep(link))
  }

  async reach(parent: Domain, note: Note): Promise<Peer> {
    const link = this.#find(parent)
    const nowMs = this.#options.clock.now()
    const isOpen = link?.peer?.isOpen === true
    const untilMs = Math.max(link?.restUntilMs ?? 0, isOpen ? 0 : (link?.nextAtMs ?? 0))
    if (link !== undefined && link.restUntilMs <= nowMs) {
      if (link.peer !== undefined && isOpen) {
        note.add('reuse', 'ok', { parent, host: link.peer.host })
        return link.peer
      }
      const { first } = link
      if (first !== undefined) return note.step('connect', { parent }, () => first)
    }
    const retryAfterMs = Math.max(0, untilMs - nowMs)
    note.add('held', 'FMTP_RESTING', { parent, retryAfterMs })
    throw new FmtpError('FMTP_RESTING', `the parent ${parent} rests`, { retryAfterMs })
  }

  rest(parent: Domain): void {
    const link = this.#find(parent)
    if (link !== undefined) link.restUntilMs = this.#options.clock.now() + limits.parentRestMs
  }

  #find(parent: Domain): Link | undefined {
    return this.#links.find(link => link.parent === parent)
  }

  async #keep(link: Link): Promise<void> {
    const { clock, onEvent } = this.#options
    const { parent, as } = link
    while (!this.#over.signal.aborted) {
      const sinceMs = clock.now()
      try {
        const peer = await this.#call(link)
        onEvent('parent.linked', { parent, as, host: peer.host })
        await this.#watch(peer)
        onEvent('parent.lost', { parent, as })
        link.failures = clock.now() - sinceMs < steadyMs ? link.failures + 1 : 0
      } catch (thrown) {
        const error = toFmtpError(thrown)
        link.failures++
        if (error.code !== 'FMTP_SHUTTING_DOWN')
          onEvent('parent.failed', { parent, as, code: error.code, reason: error.message })
      }
      link.peer = undefined
      await this.#pause(link)
    }
  }

  async #call(link: Link): Promise<LinkedPeer> {
    const calling = this.#options.call(link.parent, link.as)
    calling.catch(() => undefined)
    link.first = link.failures === 0 ? calling : undefined
    const { signal } = this.#over
    let end = (): void => undefined
    try {
      // Nobody waits for a call when all ends.
      const ended = new Promise<never>((_, reject) => {
        end = () => reject(new FmtpError('FMTP_SHUTTING_DOWN'))
        signal.addEventListener('abort', end)
      })
      link.peer = await Promise.race([calling, ended])
      return link.peer
    } finally {
      signal.removeEventListener('abort', end)
      link.first = undefined
    }
  }

  async #pause(link: Link): Promise<void> {
    if (link.failures === 0 || this.#over.signal.aborted) return
    const { clock, random } = this.#options
    const waitMs = waitsMs[Math.min(link.failures, waitsMs.length) - 1] ?? 0
    const pauseMs = Math.round(waitMs * (1 + random() / 10))
    link.nextAtMs = clock.now() + pauseMs
    await clock.sleep(pauseMs, this.#over.signal)
  }

  /** Resolves when the connection has ended: one that stands still is found out by pings, as all are. */
  async #watch({ signal }: LinkedPeer): Promise<void> {
    const over = AbortSignal.any([signal, this.#over.signal])
    if (!over.aborted) await once(over, 'abort')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort()
    await Promise.allSettled(this.#running)
  }
}
