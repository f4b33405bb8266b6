/**
 * Pairs answers with what was asked, both ways over one connection (protocol §4.3): `n` and `re`, pipelining with
 * answers out of order, windows. Both ends use it, a server and a client alike.
 */
import { type FailureCode, FmtpError, findFailure, toFmtpError } from '../schemas/failures.ts'
import type { AnswerFrame, DescribeFrame, Frame, GoodbyeFrame, RequestFrame } from '../schemas/frame.ts'
import { limits } from '../schemas/limits.ts'
import { encodeFrame } from './codec.ts'
import type { SteadyClock, Timer } from './steady-clock.ts'

/** An answer without `verb` and `re`. */
export type Answer = Omit<AnswerFrame, 'verb' | 're'>
export type DescribeQuery = Omit<DescribeFrame, 'verb' | 'n' | 're'>
export type RequestQuery = Omit<RequestFrame, 'verb' | 'n'>

/** What came back for a request: the described objects in order, then the answer. */
export interface Reply {
  readonly answer: Answer
  readonly describes: readonly DescribeFrame[]
}

/** A request that is being answered here. */
export interface Inquiry {
  readonly request: RequestFrame
  /** Hands over one object for this request, and gives how many characters that took. */
  describe(query: DescribeQuery): number
  /** Says that the answer takes longer; it comes under the same number. */
  looking(): void
  /** Resolves when the asker has read most of what was sent. */
  drained(): Promise<void>
  /** Aborted when the asker ends the follow or the connection closes. */
  readonly signal: AbortSignal
}

/** The end of something that is being answered. Most answers never look, and a signal takes longer to make than they do. */
class Ending {
  #controller: AbortController | undefined
  isOver = false

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.isOver) this.#controller.abort()
    return this.#controller.signal
  }

  end(): void {
    this.isOver = true
    this.#controller?.abort()
  }
}

export interface PairingPorts {
  readonly clock: SteadyClock
  send(text: string): void
  /** The other side has more unanswered than the window allows: do not read it until `onRelief`. */
  onPressure(): void
  onRelief(): void
  drained(): Promise<void>
  /** `chars`: length of the frame's text. */
  answerDescribe(frame: DescribeFrame, chars: number): Promise<Answer>
  answerRequest(inquiry: Inquiry): Promise<Answer>
}

interface Pending {
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: FmtpError) => void
  readonly describes: DescribeFrame[]
  readonly onDescribe: ((frame: DescribeFrame) => void) | undefined
  readonly isFollow: boolean
  readonly bytes: number
  readonly sentAtMs: number
  isAnswered: boolean
  /** It was told that the answer takes longer. */
  readonly isLooking: boolean
}

export class Pairing {
  readonly #ports: PairingPorts
  readonly #pending = new Map<number, Pending>()
  readonly #inquiries = new Map<number, Ending>()
  readonly #answering = new Map<number, number>()
  readonly #waiters: (() => void)[] = []
  #lastN = 0
  #unanswered = 0
  #unansweredBytes = 0
  #theirFrames: number = limits.windowFrames
  #theirBytes: number = limits.windowBytes
  #ourFrames: number = limits.windowFrames
  #ourBytes: number = limits.windowBytes
  #incomingBytes = 0
  #isPressed = false
  #closed: FmtpError | undefined
  #sweep: Timer | undefined

  constructor(ports: PairingPorts, window: { readonly frames?: number; readonly bytes?: number } = {}) {
    this.#ports = ports
    this.#ourFrames = window.frames ?? limits.windowFrames
    this.#ourBytes = window.bytes ?? limits.windowBytes
  }

  /** What the other side's hello allows to stand unanswered. */
  setWindow(frames: number | undefined, bytes: number | undefined): void {
    this.#theirFrames = frames ?? limits.windowFrames
    this.#theirBytes = bytes ?? limits.windowBytes
  }

  /** Frames sent and not yet answered. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** True while something is unanswered, ours or theirs, or a follow is open. A ping is nothing of that. */
  get hasWork(): boolean {
    return this.#pending.size > 0 || this.#answering.size > 0 || this.#inquiries.size > 0
  }

  /** True where somebody waits for an answer, or follows, under this number. */
  awaits(re: number): boolean {
    return this.#pending.has(re)
  }

  /** Asks for a sign of life (protocol §4.7); nobody waits for the answer. False where the window is full. */
  ping(): boolean {
    if (this.#closed !== undefined || this.#unanswered >= this.#theirFrames) return false
    this.#ports.send(encodeFrame({ verb: 'request', n: ++this.#lastN }))
    return true
  }

  /** Hands over an object and resolves with what became of it. */
  async describe(query: DescribeQuery): Promise<Answer> {
    const { answer } = await this.#ask(n => encodeFrame({ verb: 'describe', n, ...query }))
    return answer
  }

  /**
   * Asks. With `onDescribe` the objects go there as they come, also after the answer where `follow` is set; then
   * `signal` ends the follow.
   */
  request(
    query: RequestQuery,
    onDescribe?: (frame: DescribeFrame) => void,
    signal?: AbortSignal,
  ): Promise<Reply> {
    let number = 0
    signal?.addEventListener('abort', () => this.#endFollow(number), { once: true })
    const encode = (n: number): string => {
      number = n
      return encodeFrame({ verb: 'request', n, ...query })
    }
    return this.#ask(encode, onDescribe, query.follow === true)
  }

  #endFollow(n: number): void {
    if (this.#pending.delete(n)) this.#ports.send(encodeFrame({ verb: 'request', n, follow: false }))
  }

  /** Takes a frame other than hello and goodbye. Text length stands for its bytes in the window. */
  take(frame: Frame, chars: number): void {
    switch (frame.verb) {
      case 'answer':
        return this.#takeAnswer(frame)
      case 'describe':
        if (frame.re !== undefined) return this.#takeDescribed(frame, frame.re)
        if (frame.n === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a describe needs n or re')
        return this.#serve(frame.n, chars, () => this.#ports.answerDescribe(frame, chars))
      case 'request':
        if (isPing(frame))
          return this.#ports.send(encodeFrame({ verb: 'answer', re: frame.n, outcome: 'found' }))
        if (frame.follow === false && this.#inquiries.has(frame.n)) {
          this.#inquiries.get(frame.n)?.end()
          // Its number is free again; one that is not answered yet is forgotten with its answer.
          if (!this.#answering.has(frame.n)) this.#inquiries.delete(frame.n)
          return
        }
        return this.#takeRequest(frame, chars)
      default:
        throw new FmtpError('FMTP_WRONG_STATE', frame.verb)
    }
  }

  /** Everything unanswered fails with this error, and everything being answered is aborted. */
  close(error = new FmtpError('FMTP_DISCONNECTED')): void {
    if (this.#closed !== undefined) return
    this.#closed = error
    this.#sweep?.stop()
    for (const pending of this.#pending.values()) if (!pending.isAnswered) pending.reject(error)
    this.#pending.clear()
    for (const ending of this.#inquiries.values()) ending.end()
    this.#inquiries.clear()
    for (const wake of this.#waiters.splice(0)) wake()
  }

  async #ask(
    encode: (n: number) => string,
    onDescribe?: (frame: DescribeFrame) => void,
    isFollow = false,
  ): Promise<Reply> {
    while (
      this.#closed === undefined &&
      (this.#unanswered >= this.#theirFrames || this.#unansweredBytes >= this.#theirBytes)
    ) {
      await new Promise<void>(resolve => this.#waiters.push(resolve))
    }
    if (this.#closed !== undefined) throw this.#closed
    const n = ++this.#lastN
    const text = encode(n)
    this.#sweep ??= this.#ports.clock.every(limits.answerMs / 10, () => this.#expire())
    return new Promise((resolve, reject) => {
      this.#unanswered++
      this.#unansweredBytes += text.length
      this.#pending.set(n, {
        resolve,
        reject,
        onDescribe,
        isFollow,
        describes: [],
        bytes: text.length,
        sentAtMs: this.#ports.clock.steadyMs(),
        isAnswered: false,
        isLooking: false,
      })
      this.#ports.send(text)
    })
  }

  #takeAnswer(frame: AnswerFrame): void {
    const pending = this.#pending.get(frame.re)
    // An answer to something that timed out here is late, not wrong.
    if (pending === undefined && frame.re <= this.#lastN) return
    if (pending === undefined) throw new FmtpError('FMTP_UNEXPECTED_ANSWER', `re ${frame.re}`)
    const { verb: _, re, ...answer } = frame
    if (answer.outcome === 'looking' && !pending.isAnswered) return this.#await(re, pending)
    if (!pending.isAnswered) this.#release(pending)
    pending.isAnswered = true
    if (!pending.isFollow || answer.outcome !== 'found') this.#pending.delete(re)
    pending.resolve({ answer, describes: pending.describes })
  }

  /** Told that it takes longer: waits as long once more, and not without end. */
  #await(n: number, pending: Pending): void {
    if (pending.isLooking) return
    // Pendings stand in the order of their times.
    this.#pending.delete(n)
    this.#pending.set(n, { ...pending, sentAtMs: this.#ports.clock.steadyMs(), isLooking: true })
  }

  #takeDescribed(frame: DescribeFrame, re: number): void {
    const pending = this.#pending.get(re)
    if (pending === undefined && re <= this.#lastN) return
    if (pending === undefined) throw new FmtpError('FMTP_UNEXPECTED_ANSWER', `re ${re}`)
    if (pending.onDescribe !== undefined) pending.onDescribe(frame)
    else if (pending.describes.length < limits.pageObjectsMost) pending.describes.push(frame)
  }

  #takeRequest(request: RequestFrame, chars: number): void {
    const { n } = request
    const ending = new Ending()
    this.#serve(
      n,
      chars,
      () => {
        this.#inquiries.set(n, ending)
        return this.#ports.answerRequest({
          request,
          get signal() {
            return ending.signal
          },
          drained: () => this.#ports.drained(),
          looking: () => {
            if (this.#closed === undefined && this.#answering.has(n))
              this.#ports.send(encodeFrame({ verb: 'answer', re: n, outcome: 'looking' }))
          },
          describe: query => {
            const text = encodeFrame({ verb: 'describe', re: n, ...query })
            this.#ports.send(text)
            return text.length
          },
        })
      },
      request.follow === true,
    )
  }

  #serve(n: number, chars: number, answer: () => Promise<Answer>, isFollow = false): void {
    if (this.#answering.has(n) || this.#inquiries.has(n)) throw new FmtpError('FMTP_DUPLICATE_N', `n ${n}`)
    this.#answering.set(n, chars)
    this.#incomingBytes += chars
    if (this.#answering.size >= this.#ourFrames || this.#incomingBytes >= this.#ourBytes) {
      this.#isPressed = true
      this.#ports.onPressure()
    }
    answer().then(
      found => this.#answered(n, found, isFollow && found.outcome === 'found'),
      thrown => this.#answered(n, failureAnswer(thrown), false),
    )
  }

  #answered(n: number, answer: Answer, staysOpen: boolean): void {
    this.#incomingBytes -= this.#answering.get(n) ?? 0
    this.#answering.delete(n)
    if (!staysOpen || this.#inquiries.get(n)?.isOver === true) this.#inquiries.delete(n)
    if (this.#closed !== undefined) return
    this.#ports.send(encodeFrame({ verb: 'answer', re: n, ...answer }))
    if (this.#isPressed && this.#answering.size < this.#ourFrames && this.#incomingBytes < this.#ourBytes) {
      this.#isPressed = false
      this.#ports.onRelief()
    }
  }

  #release(pending: Pending): void {
    this.#unanswered--
    this.#unansweredBytes -= pending.bytes
    this.#waiters.shift()?.()
  }

  #expire(): void {
    const dueMs = this.#ports.clock.steadyMs() - limits.answerMs
    // In the order of sending, so the first that is young enough ends the walk.
    for (const [n, pending] of this.#pending) {
      if (pending.isAnswered) continue
      if (pending.sentAtMs > dueMs) return
      this.#pending.delete(n)
      this.#release(pending)
      pending.reject(new FmtpError('FMTP_TIMEOUT', `no answer to ${n}`))
    }
  }
}

/** A request for nothing asks for nothing but an answer (protocol §4.7). */
export function isPing(frame: Frame): boolean {
  if (frame.verb !== 'request' || frame.follow !== undefined) return false
  return [frame.address, frame.id, frame.list, frame.blob].every(sought => sought === undefined)
}

const busy = 'busy'

/** The answer to something that failed: its code and public text, never its detail. */
export function failureAnswer(thrown: unknown): Answer {
  const error = toFmtpError(thrown)
  return {
    outcome: error.isTemporary ? busy : 'refused',
    code: error.code,
    text: error.text,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  }
}

/** The failure that an answer tells of, as an error; an unknown code of a peer stays temporary when it says busy. */
export function answerError(answer: Pick<Answer, 'outcome' | 'code' | 'text' | 'retryAfterMs'>): FmtpError {
  const known = answer.code !== undefined && findFailure(answer.code) !== undefined
  const code: FailureCode = known
    ? (answer.code as FailureCode)
    : answer.outcome === busy
      ? 'FMTP_BUSY'
      : 'FMTP_REFUSED'
  const options = answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }
  return new FmtpError(code, `answered ${answer.outcome} ${answer.code ?? ''}`, options)
}

/** Why the other side said goodbye; an unknown code is a disconnection like any other. */
export function goodbyeError({ code, retryAfterMs }: Pick<GoodbyeFrame, 'code' | 'retryAfterMs'>): FmtpError {
  const isKnown = code !== undefined && findFailure(code) !== undefined
  return new FmtpError(
    isKnown ? (code as FailureCode) : 'FMTP_DISCONNECTED',
    `the other side said goodbye ${code ?? ''}`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  )
}
