/**
 * One connection and what it may do (protocol §4.4, §5): hello first, then describes and requests both ways. The same
 * for streams, WebSockets and the in-memory pair, whoever called whom.
 */
import type { Peer } from '../../routing/connect/peer.ts'
import { FmtpError, failures, toFmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame, Frame, GoodbyeFrame, HelloFrame, Verb } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { findNumber } from '../../schemas/parse.ts'
import type { Domain, Name } from '../../schemas/text/names.ts'
import type { Channel } from '../../wire/channel.ts'
import { decodeFrame, encodeFrame } from '../../wire/codec.ts'
import {
  type Answer,
  type DescribeQuery,
  failureAnswer,
  goodbyeError,
  isPing,
  Pairing,
  type Reply,
  type RequestQuery,
} from '../../wire/pairing.ts'
import type { Timer } from '../../wire/steady-clock.ts'
import { nameOf, type Standing } from '../accounts/principal.ts'
import { Desk, type DeskPorts, requireStanding } from './dispatch.ts'
import { type Call, Introduction, type IntroductionPorts } from './handshake.ts'
import { Liveness, type LivenessOptions } from './keepalive.ts'

export interface SessionPorts extends IntroductionPorts, DeskPorts {
  readonly frameBytes: number
  /** The host that we called (`host:port`) has answered after so long. */
  onRoundTrip(host: string, ms: number): void
  readonly liveness: LivenessOptions
  /** A server handed over what stands at this place of its outbox. */
  onReceived(session: Session, cursor: string): void
  /** Rejects where this standing may not have another session. */
  onIdentified(session: Session): Promise<void>
  onClosed(session: Session): void
}

type State = 'fresh' | 'calling' | Standing['role']

const known = ['guest', 'server', 'user', 'client'] as const

/** In which states a verb may come; every verb has its line. */
const allowed: { readonly [V in Verb]: readonly State[] } = {
  hello: ['fresh', 'calling', 'guest', 'user', 'client'],
  describe: ['server', 'user', 'client'],
  request: known,
  answer: known,
  goodbye: ['fresh', 'calling', ...known],
}

export class Session implements Peer {
  readonly #channel: Channel
  readonly #ports: SessionPorts
  readonly #pairing: Pairing
  readonly #ended = new AbortController()
  #standing: Standing | undefined
  #state: State
  readonly #introduction: Introduction
  readonly #desk: Desk
  #call: Call | undefined
  #as: Domain | undefined
  #called: { resolve: () => void; reject: (error: FmtpError) => void } | undefined
  readonly #helloTimer: Timer
  readonly #watch: Timer
  #unreadSinceMs: number
  #helloMs: number
  #isSilent = false
  readonly #liveness: Liveness
  #isPressed = false

  private constructor(channel: Channel, ports: SessionPorts, call: Call | undefined) {
    this.#channel = channel
    this.#ports = ports
    this.#call = call
    this.#as = call?.as
    this.#state = call === undefined ? 'fresh' : 'calling'
    this.#introduction = new Introduction(channel, ports)
    this.#desk = new Desk(ports, channel.remote)
    this.#pairing = new Pairing(
      {
        clock: ports.clock,
        send: text => this.#channel.send(text),
        onPressure: () => {
          this.#isPressed = true
          this.#channel.pause()
        },
        onRelief: () => {
          this.#isPressed = false
          this.#channel.resume()
        },
        drained: () => this.#drained(),
        answerDescribe: (frame, chars) => this.#answer(frame, chars),
        answerRequest: inquiry => this.#desk.request(inquiry, requireStanding(this.#standing)),
      },
      ports.window,
    )
    const late = (): void => this.#fail(new FmtpError('FMTP_HELLO_TIMEOUT'))
    this.#helloTimer = ports.clock.after(limits.helloMs, late)
    this.#unreadSinceMs = ports.clock.steadyMs()
    this.#helloMs = this.#unreadSinceMs
    this.#liveness = new Liveness(ports.liveness, ports.clock)
    const watchMs = Math.min(limits.unreadMs / 6, Liveness.tickMs(ports.liveness))
    this.#watch = ports.clock.every(watchMs, () => {
      this.#watchReader()
      this.#watchPeer()
    })
  }

  /** Serves somebody who connected to us. */
  static answer(channel: Channel, ports: SessionPorts): Session {
    const session = new Session(channel, ports, undefined)
    session.#open()
    if (channel.transport === 'websocket') session.#send(session.#introduction.greet())
    return session
  }

  /** Introduces us to whom we called, and resolves when both sides are proven. @throws {FmtpError} */
  static async call(channel: Channel, ports: SessionPorts, call: Call): Promise<Session> {
    const session = new Session(channel, ports, call)
    const end = (): void => session.#fail(new FmtpError('FMTP_DISCONNECTED', 'the call was ended'), true)
    call.signal.addEventListener('abort', end, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        session.#called = { resolve, reject }
        session.#open()
        // On a WebSocket the answerer speaks first.
        if (channel.transport !== 'websocket') session.#introduce(call, undefined)
        if (call.signal.aborted) end()
      })
    } finally {
      call.signal.removeEventListener('abort', end)
    }
    return session
  }

  get name(): Name {
    const name = this.#standing?.role === 'guest' ? undefined : this.#standing?.name
    if (name === undefined) throw new FmtpError('FMTP_INTERNAL', 'a session without a name')
    return name
  }

  get as(): Domain {
    if (this.#as === undefined) throw new FmtpError('FMTP_INTERNAL', 'a session before its hello')
    return this.#as
  }

  get standing(): Standing | undefined {
    return this.#standing
  }

  /** Address of the other side. */
  get remote(): string {
    return this.#channel.remote
  }

  /** What ties proofs to this very connection (protocol §5.3). */
  get binding(): string {
    return this.#channel.binding
  }

  get host(): string {
    return this.#call?.host ?? this.#channel.remote
  }

  get isOpen(): boolean {
    return !this.#ended.signal.aborted
  }

  /** Aborted when the connection has ended. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** True while it is not known whether the other side is still there. */
  get isDoubtful(): boolean {
    return this.#liveness.isDoubtful
  }

  /** True from when another connection with the same side was given up, until this one is heard from. */
  get isSuspected(): boolean {
    return this.#liveness.isSuspected
  }

  /** True when it was given up since the other side left a ping unanswered, and had no newer connection that explains it. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /** True while something is unanswered on either side, or a follow is open. */
  get hasWork(): boolean {
    return this.#pairing.hasWork
  }

  /** How long nothing but pings went over it, in ms. */
  get unusedMs(): number {
    return this.#liveness.unusedMs
  }

  /** The other side has a newer connection, and may have forgotten this one. */
  doubt(): void {
    this.#liveness.doubt()
  }

  /** The other side may be gone: it is pinged at once. */
  suspect(): void {
    this.#liveness.suspect()
    this.#watchPeer()
  }

  /** True while the client reads its box itself, so that nothing is passed to it twice. */
  get isFollowingBox(): boolean {
    return this.#desk.isFollowingBox
  }

  /** True for a version of an object that came over this very connection a moment ago. */
  hasPublished(id: string, version: number): boolean {
    return this.#desk.hasPublished(id, version)
  }

  describe(query: DescribeQuery): Promise<Answer> {
    this.#liveness.used()
    return this.#alive(this.#pairing.describe(query))
  }

  request(query: RequestQuery): Promise<Reply> {
    this.#liveness.used()
    return this.#alive(this.#pairing.request(query))
  }

  #answer(frame: DescribeFrame, chars: number | undefined): Promise<Answer> {
    const standing = requireStanding(this.#standing)
    if (frame.cursor !== undefined && standing.role === 'server') this.#ports.onReceived(this, frame.cursor)
    return this.#desk.describe(frame, standing, chars)
  }

  /** A connection that leaves something unanswered is half dead: the next one who needs the peer calls anew. */
  async #alive<T>(asking: Promise<T>): Promise<T> {
    const { clock, onRoundTrip } = this.#ports
    const startMs = clock.steadyMs()
    try {
      const answer = await asking
      if (this.#call !== undefined) onRoundTrip(this.#call.host, clock.steadyMs() - startMs)
      return answer
    } catch (thrown) {
      if (thrown instanceof FmtpError && thrown.code === 'FMTP_TIMEOUT') this.#fail(thrown, true)
      throw thrown
    }
  }

  drained(): Promise<void> {
    return this.#drained()
  }

  /** Ends the connection in good order. */
  close(error: FmtpError = new FmtpError('FMTP_SHUTTING_DOWN')): void {
    this.#fail(error)
  }

  /** Ends a connection that is of no use now: nothing failed, and whoever needs it again calls again. */
  leave(): void {
    if (!this.isOpen) return
    this.#send({ verb: 'goodbye' })
    this.#finish(undefined)
  }

  #open(): void {
    this.#channel.open({
      onText: text => this.#take(text),
      onClose: error => this.#end(error),
    })
  }

  #take(text: string): void {
    this.#liveness.heard()
    let frame: Frame
    try {
      frame = decodeFrame(text)
    } catch (thrown) {
      return this.#takeBroken(text, toFmtpError(thrown))
    }
    try {
      if (!allowed[frame.verb].includes(this.#state))
        throw new FmtpError(this.#refusalOf(frame.verb), `${frame.verb} in ${this.#state}`)
      if (frame.verb === 'hello') return this.#takeHello(frame)
      if (frame.verb === 'goodbye') return this.#takeGoodbye(frame)
      const isPong = frame.verb === 'answer' && !this.#pairing.awaits(frame.re)
      if (!isPong && !isPing(frame)) this.#liveness.used()
      this.#pairing.take(frame, text.length)
    } catch (thrown) {
      this.#refuse(toFmtpError(thrown), findNumber(frame))
    }
  }

  #refusalOf(verb: Verb): 'FMTP_HELLO_FIRST' | 'FMTP_NOT_ALLOWED' | 'FMTP_WRONG_STATE' {
    if (this.#state === 'fresh' || this.#state === 'calling') return 'FMTP_HELLO_FIRST'
    return verb === 'describe' ? 'FMTP_NOT_ALLOWED' : 'FMTP_WRONG_STATE'
  }

  /** A frame that no schema took: answered by its number where it had one and the failure lets the connection go on. */
  #takeBroken(text: string, error: FmtpError): void {
    this.#refuse(error, failures[error.code].closes ? undefined : findNumber(JSON.parse(text)))
  }

  #refuse(error: FmtpError, number: number | undefined): void {
    this.#ports.log.info(
      { remote: this.#channel.remote, code: error.code, reason: error.message },
      'frame.refused',
    )
    if (failures[error.code].closes || number === undefined) return this.#fail(error)
    this.#send({ verb: 'answer', re: number, ...failureAnswer(error) })
  }

  #takeHello(hello: HelloFrame): void {
    // Nothing else is read until it is known who speaks.
    this.#channel.pause()
    const call = this.#state === 'calling' ? this.#call : undefined
    const taking = call === undefined ? this.#takeOpening(hello) : this.#takeReply(hello, call)
    taking.then(
      () => this.#channel.resume(),
      thrown => {
        const error = toFmtpError(thrown)
        this.#ports.log.info(
          {
            as: hello.as,
            to: hello.to,
            remote: this.#channel.remote,
            code: error.code,
            reason: error.message,
            ms: this.#helloTookMs(),
          },
          'hello.failed',
        )
        this.#fail(error)
      },
    )
  }

  #helloTookMs(): number {
    return Math.round(this.#ports.clock.steadyMs() - this.#helloMs)
  }

  /** The opener's hello: who is it? */
  async #takeOpening(hello: HelloFrame): Promise<void> {
    const { clock, log } = this.#ports
    this.#helloMs = clock.steadyMs()
    const before = this.#standing === undefined ? undefined : nameOf(this.#standing)
    const { standing, reply } = await this.#introduction.take(hello, before)
    if (!this.isOpen) return
    this.#as = reply.as as Domain
    this.#rise(standing, hello)
    const [as, ms] = [hello.as ?? 'guest', this.#helloTookMs()]
    log.info({ as, to: hello.to, remote: this.#channel.remote, ms }, 'hello.verified')
    this.#send(reply)
    log.info({ as: reply.as, to: as, host: this.host }, 'hello.sent')
    await this.#ports.onIdentified(this)
  }

  #introduce(call: Call, peerNonce: string | undefined): void {
    this.#helloMs = this.#ports.clock.steadyMs()
    this.#send(this.#introduction.open(call, peerNonce))
    this.#ports.log.info({ as: call.as, to: call.to, host: call.host }, 'hello.sent')
  }

  /** The answerer's hello: is it who we called? */
  async #takeReply(hello: HelloFrame, call: Call): Promise<void> {
    if (this.#introduction.isGreeting(hello)) return this.#introduce(call, hello.nonce)
    const standing = await this.#introduction.takeReply(hello, call)
    if (!this.isOpen) return
    this.#rise(standing, hello)
    this.#ports.onRoundTrip(call.host, this.#ports.clock.steadyMs() - this.#helloMs)
    const ms = this.#helloTookMs()
    this.#ports.log.info({ as: this.name, to: call.as, host: call.host, ms }, 'hello.verified')
    await this.#ports.onIdentified(this)
    this.#called?.resolve()
    this.#called = undefined
  }

  #rise(standing: Standing, hello: HelloFrame): void {
    this.#helloTimer.stop()
    this.#standing = standing
    this.#state = standing.role
    this.#channel.setFrameLimit(this.#ports.frameBytes)
    this.#pairing.setWindow(hello.limits?.windowFrames, hello.limits?.windowBytes)
  }

  #send(frame: Frame): void {
    this.#channel.send(encodeFrame(frame))
  }

  async #drained(): Promise<void> {
    while (this.isOpen && this.#channel.unsentBytes >= limits.unreadBytes) {
      await this.#ports.clock.sleep(20, this.#ended.signal)
    }
  }

  /** Drops a reader that has left too much unread for too long. */
  #watchReader(): void {
    const nowMs = this.#ports.clock.steadyMs()
    if (this.#channel.unsentBytes < limits.unreadBytes) this.#unreadSinceMs = nowMs
    else if (nowMs - this.#unreadSinceMs >= limits.unreadMs)
      this.#fail(new FmtpError('FMTP_SLOW_READER'), true)
  }

  /** Finds out that the other side went without a word. A guest is not asked, and what we do not read says nothing. */
  #watchPeer(): void {
    const role = this.#standing?.role
    if (role === undefined || role === 'guest') return
    // There the transport has pings of its own, which browsers answer.
    if (this.#channel.transport === 'websocket' && this.#call === undefined) return
    if (this.#isPressed) return this.#liveness.heard()
    const due = this.#liveness.findDue()
    if (due === 'ping' && this.#pairing.ping()) this.#liveness.pinged()
    if (due !== 'dead') return
    this.#ports.log.info(
      { remote: this.#channel.remote, name: nameOf(this.#standing as Standing) },
      'session.silent',
    )
    this.#isSilent = !this.#liveness.isDoubted
    this.#fail(new FmtpError('FMTP_DISCONNECTED', 'no sign of life'), true)
  }

  #takeGoodbye(frame: GoodbyeFrame): void {
    this.#ports.log.info({ remote: this.#channel.remote, code: frame.code }, 'goodbye')
    this.#finish(goodbyeError(frame))
  }

  /** Says why, and closes. */
  #fail(error: FmtpError, isNow = false): void {
    if (!this.isOpen) return
    const { code, text, retryAfterMs } = error
    this.#send({ verb: 'goodbye', code, text, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
    this.#finish(error, isNow)
  }

  /** The channel has ended. What it could not read is told; it still sends. */
  #end(error: FmtpError | undefined): void {
    if (!this.isOpen) return
    if (error !== undefined && failures[error.code].closes && this.#state !== 'calling') {
      this.#send({ verb: 'goodbye', code: error.code, text: error.text })
    }
    this.#finish(error)
  }

  /** Before the channel closes, which would call `#end` without the reason. */
  #finish(error: FmtpError | undefined, isNow = false): void {
    this.#ended.abort()
    this.#helloTimer.stop()
    this.#watch.stop()
    this.#called?.reject(error ?? new FmtpError('FMTP_DISCONNECTED', 'closed before its hello'))
    this.#called = undefined
    this.#pairing.close(
      error === undefined || failures[error.code].isTemporary
        ? (error ?? undefined)
        : new FmtpError('FMTP_DISCONNECTED', error.code),
    )
    if (isNow) this.#channel.destroy()
    else this.#channel.close()
    this.#ports.onClosed(this)
    if (this.#standing !== undefined) {
      const name = nameOf(this.#standing)
      this.#ports.log.debug({ remote: this.#channel.remote, name, code: error?.code }, 'session.closed')
    }
  }
}
