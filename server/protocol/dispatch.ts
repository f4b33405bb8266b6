/**
 * What a session answers (protocol §4.4, §8, §9): takes a describe or a request to its door, by what the session proved to
 * be, and remembers what concerns this connection alone.
 */
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { askedLists } from '../../schemas/lists.ts'
import type { Address } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import { nameOf, type Standing } from '../accounts/principal.ts'
import type { Log } from '../core/log.ts'
import type { Admit } from '../exchange/admit.ts'
import type { Publish } from '../exchange/publish.ts'
import type { Reveal } from '../exchange/reveal.ts'

export interface DeskPorts {
  readonly admit: Admit
  readonly publish: Publish
  readonly reveal: Reveal
  readonly log: Log
}

const publishedMost = 4096
const blobsMost = 4

export class Desk {
  readonly #ports: DeskPorts
  readonly #remote: string
  /** Versions of the objects that came over this connection; `coming` while one is being written. */
  readonly #published = new BoundedMap<string, number | 'coming'>(publishedMost)
  #turn: Promise<unknown> = Promise.resolve()
  #follows = 0
  #boxFollows = 0
  #blobs = 0
  readonly #blobWaiters: (() => void)[] = []

  constructor(ports: DeskPorts, remote: string) {
    this.#ports = ports
    this.#remote = remote
  }

  /** True while the client reads its box itself, so that nothing is passed to it twice. */
  get isFollowingBox(): boolean {
    return this.#boxFollows > 0
  }

  /** True for a version of an object that came over this very connection a moment ago. */
  hasPublished(id: string, version: number): boolean {
    const published = this.#published.get(id)
    return published === 'coming' || published === version
  }

  /** `chars`: length of the frame's text. */
  async describe(frame: DescribeFrame, standing: Standing, chars?: number): Promise<Answer> {
    try {
      if (standing.role !== 'client') return await this.#ports.admit(frame, standing, chars)
      return await this.#publish(frame, standing.name, chars)
    } catch (thrown) {
      return this.#refuse('describe', thrown)
    }
  }

  async #publish(frame: DescribeFrame, author: Address, chars: number | undefined): Promise<Answer> {
    const { id } = frame.object as { id?: unknown }
    const from = { remote: this.#remote, chars }
    if (typeof id !== 'string') return this.#ports.publish(frame, author, from)
    // The box grows before the answer is here, and the version of a draft is known only from that.
    this.#published.set(id, 'coming')
    try {
      const answer = await this.#ports.publish(frame, author, from)
      if (answer.version !== undefined) this.#published.set(id, answer.version)
      return answer
    } catch (thrown) {
      this.#published.delete(id)
      throw thrown
    }
  }

  async request(inquiry: Inquiry, standing: Standing): Promise<Answer> {
    try {
      const watched = this.#watched(inquiry, standing)
      const { list, blob } = inquiry.request
      if (list !== undefined) return await this.#list(watched, standing)
      if (blob !== undefined) return await this.#blob(watched, standing)
      return await this.#ports.reveal(watched, standing)
    } catch (thrown) {
      return this.#refuse('request', thrown)
    }
  }

  /** Pages one after the other, so that a thousand requests do not fill the memory with answers nobody reads. */
  #list(inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const { list, follow } = inquiry.request
    if (follow === true && this.#follows >= limits.follows)
      throw new FmtpError('FMTP_RATE', `${this.#follows} follows are open`)
    const turn = this.#turn.then(() => this.#ports.reveal(inquiry, standing))
    this.#turn = turn.catch(() => undefined)
    const isPushed = list !== undefined && askedLists[list.of].isPushed
    if (follow === true) this.#noteFollow(inquiry.signal, turn, isPushed)
    return turn
  }

  /** Few at once, for the same reason: each answer is large. */
  async #blob(inquiry: Inquiry, standing: Standing): Promise<Answer> {
    while (this.#blobs >= blobsMost) await new Promise<void>(resolve => this.#blobWaiters.push(resolve))
    this.#blobs++
    try {
      return await this.#ports.reveal(inquiry, standing)
    } finally {
      this.#blobs--
      this.#blobWaiters.shift()?.()
    }
  }

  /** From the question on, so that nothing comes twice; to its end, or to its refusal. */
  #noteFollow(signal: AbortSignal, turn: Promise<Answer>, isPushed: boolean): void {
    const count = (by: number): void => {
      this.#follows += by
      if (isPushed) this.#boxFollows += by
    }
    let isOver = false
    const end = (): void => {
      if (!isOver) count(-1)
      isOver = true
    }
    count(1)
    signal.addEventListener('abort', end)
    turn.then(({ outcome }) => outcome !== 'found' && end(), end)
  }

  /** The same inquiry, which leaves a record of what was handed over. */
  #watched(inquiry: Inquiry, standing: Standing): Inquiry {
    const { log } = this.#ports
    if (!log.isDebug) return inquiry
    const to = nameOf(standing) ?? 'guest'
    return {
      ...inquiry,
      describe: query => {
        const { id, kind, contacts } = query.object as { id?: string; kind?: string; contacts?: unknown }
        log.debug({ id, kind, to, ...(contacts === undefined ? {} : { contacts }) }, 'described')
        return inquiry.describe(query)
      },
    }
  }

  /** What went wrong is told by its code; what nobody foresaw is logged here, once. */
  #refuse(verb: string, thrown: unknown): Answer {
    const error = toFmtpError(thrown)
    const { code, message: reason, cause } = error
    const record = { verb, remote: this.#remote, code, reason }
    // Who is refused for coming too often must not fill the log: limits tell of themselves.
    if (code === 'FMTP_RATE') return failureAnswer(error)
    if (code !== 'FMTP_INTERNAL') this.#ports.log.info(record, 'answer.refused')
    else {
      const stack = cause instanceof Error ? cause.stack : undefined
      this.#ports.log.error({ ...record, stack }, 'answer.failed')
    }
    return failureAnswer(error)
  }
}

/** Before anybody has said who they are. @throws {FmtpError} FMTP_HELLO_FIRST */
export function requireStanding(standing: Standing | undefined): Standing {
  if (standing === undefined) throw new FmtpError('FMTP_HELLO_FIRST')
  return standing
}
