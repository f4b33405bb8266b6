/**
 * One connection and what it may do (protocol §4.4, §5): hello first, then describes and requests both ways. The same
 * for streams, WebSockets and the in-memory pair, whoever called whom.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../objects/clock.ts'
import type { DomainKeys } from '../../objects/seal.ts'
import type { Peer } from '../../routing/peer.ts'
import { FmtpError, failures, toFmtpError } from '../../schemas/failures.ts'
import type { Frame, HelloFrame, Verb } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, isAddressName, type Name } from '../../schemas/names.ts'
import { findNumber } from '../../schemas/parse.ts'
import type { Channel } from '../../wire/channel.ts'
import { decodeFrame, encodeFrame } from '../../wire/codec.ts'
import { checkHello, composeHello } from '../../wire/hello.ts'
import {
  type Answer,
  type DescribeQuery,
  failureAnswer,
  goodbyeError,
  type Inquiry,
  Pairing,
  type Reply,
  type RequestQuery,
} from '../../wire/pairing.ts'
import type { OwnDomains } from '../accounts/own-domains.ts'
import type { Admit } from '../exchange/admit.ts'
import type { Publish } from '../exchange/publish.ts'
import type { Reveal } from '../exchange/reveal.ts'
import { nameOf, type Standing } from '../exchange/standing.ts'
import type { Log } from '../log.ts'
import { identify, type LoginPorts } from './login.ts'
import { proveName } from './prove.ts'

export interface SessionPorts extends LoginPorts {
  readonly domains: OwnDomains
  /** Host names that a WebSocket to us may be bound to. */
  readonly hosts: readonly string[]
  readonly admit: Admit
  readonly publish: Publish
  readonly reveal: Reveal
  readonly keys: DomainKeys
  readonly clock: Clock
  readonly log: Log
  readonly window: { readonly frames: number; readonly bytes: number }
  readonly frameBytes: number
  /** Throws where this standing may not have another session. */
  onIdentified(session: Session): void
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

/** Whom we call, in whose name, and who may answer. */
export interface Call {
  readonly as: Domain
  readonly to: Name
  /** For the log: `host:port` that was dialled. */
  readonly host: string
  /** Ends the call, when another host answered first or nobody wants it any more. */
  readonly signal: AbortSignal
}

const publishedMost = 4096

export class Session implements Peer {
  readonly #channel: Channel
  readonly #ports: SessionPorts
  readonly #pairing: Pairing
  readonly #ended = new AbortController()
  #standing: Standing | undefined
  #state: State
  #nonce = newNonce()
  #call: Call | undefined
  #as: Domain | undefined
  #called: { resolve: () => void; reject: (error: FmtpError) => void } | undefined
  #helloTimer: ReturnType<typeof setTimeout>
  #watch: ReturnType<typeof setInterval>
  #unreadSinceMs = Date.now()
  #published = new Set<string>()
  #turn: Promise<unknown> = Promise.resolve()
  #boxFollows = 0

  private constructor(channel: Channel, ports: SessionPorts, call: Call | undefined) {
    this.#channel = channel
    this.#ports = ports
    this.#call = call
    this.#as = call?.as
    this.#state = call === undefined ? 'fresh' : 'calling'
    this.#pairing = new Pairing(
      {
        send: text => this.#channel.send(text),
        onPressure: () => this.#channel.pause(),
        onRelief: () => this.#channel.resume(),
        drained: () => this.#drained(),
        answerDescribe: frame => this.#answered('describe', this.#takeDescribe(frame)),
        answerRequest: inquiry => this.#answered('request', this.#takeRequest(this.#watched(inquiry))),
      },
      ports.window,
    )
    this.#helloTimer = setTimeout(() => this.#fail(new FmtpError('FMTP_HELLO_TIMEOUT')), limits.helloMs)
    this.#watch = setInterval(() => this.#watchReader(), limits.unreadMs / 6).unref()
  }

  /** Serves somebody who connected to us. */
  static answer(channel: Channel, ports: SessionPorts): Session {
    const session = new Session(channel, ports, undefined)
    session.#open()
    if (channel.transport === 'websocket')
      session.#send(composeHello({ role: 'answers', nonce: session.#nonce }))
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
        if (channel.transport !== 'websocket') session.#introduce(undefined)
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

  /** True while the client reads its box itself, so that nothing is passed to it twice. */
  get isFollowingBox(): boolean {
    return this.#boxFollows > 0
  }

  /** True for an object that came over this very connection a moment ago. */
  hasPublished(id: string): boolean {
    return this.#published.has(id)
  }

  describe(query: DescribeQuery): Promise<Answer> {
    return this.#alive(this.#pairing.describe(query))
  }

  request(query: RequestQuery): Promise<Reply> {
    return this.#alive(this.#pairing.request(query))
  }

  /** A connection that leaves something unanswered is half dead: the next one who needs the peer calls anew. */
  async #alive<T>(asking: Promise<T>): Promise<T> {
    try {
      return await asking
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

  #open(): void {
    this.#channel.open({
      onText: text => this.#take(text),
      onClose: error => this.#end(error),
    })
  }

  #take(text: string): void {
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
      if (frame.verb === 'goodbye') return this.#takeGoodbye(frame.code)
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
    const taking = this.#state === 'calling' ? this.#takeReply(hello) : this.#takeOpening(hello)
    taking.then(
      () => this.#channel.resume(),
      thrown => {
        const error = toFmtpError(thrown)
        const startMs = this.#helloAtMs
        this.#ports.log.info(
          {
            as: hello.as,
            to: hello.to,
            remote: this.#channel.remote,
            code: error.code,
            reason: error.message,
            ms: this.#ports.clock.now() - startMs,
          },
          'hello.failed',
        )
        this.#fail(error)
      },
    )
  }

  #helloAtMs = 0

  /** The opener's hello: who is it? */
  async #takeOpening(hello: HelloFrame): Promise<void> {
    const { clock, domains, log } = this.#ports
    this.#helloAtMs = clock.now()
    const isWebSocket = this.#channel.transport === 'websocket'
    const bindings = isWebSocket ? this.#ports.hosts : [this.#channel.binding]
    const isProven = hello.as !== undefined
    checkHello(hello, {
      role: 'opens',
      to: [...domains.keys()],
      ...(isProven || hello.binding !== undefined ? { bindings } : {}),
      ...(isProven && isWebSocket ? { peerNonce: this.#nonce } : {}),
    })
    const own = domains.get(hello.to as Domain)
    if (own === undefined) throw new FmtpError('FMTP_NOT_MINE', hello.to)
    // A session that is filed under a name keeps it.
    const proven = this.#standing === undefined ? undefined : nameOf(this.#standing)
    if (proven !== undefined && hello.as !== proven)
      throw new FmtpError('FMTP_WRONG_STATE', `${proven} says hello as ${hello.as}`)
    const identity = await identify(hello, this.#channel, this.#ports)
    if (this.#ended.signal.aborted) return
    this.#as = own.domain
    this.#rise(identity.standing, hello)
    log.info(
      {
        as: hello.as ?? 'guest',
        to: hello.to,
        remote: this.#channel.remote,
        ms: clock.now() - this.#helloAtMs,
      },
      'hello.verified',
    )
    this.#nonce = newNonce()
    const binding = isWebSocket ? hello.binding : this.#channel.binding
    this.#send(
      composeHello(
        {
          role: 'answers',
          as: own.domain,
          ...(hello.as === undefined ? {} : { to: hello.as }),
          nonce: this.#nonce,
          peerNonce: hello.nonce,
          ...(binding === undefined ? {} : { binding }),
          key: own.pair.jwk,
          ...(identity.issued === undefined ? {} : { issued: identity.issued }),
          limits: this.#ownLimits(),
        },
        own.signer,
      ),
    )
    log.info({ as: own.domain, to: hello.as ?? 'guest', host: this.host }, 'hello.sent')
    this.#ports.onIdentified(this)
  }

  /** Says who we are, answering the other side's nonce where it spoke first. */
  #introduce(peerNonce: string | undefined): void {
    const call = this.#requireCall()
    const own = this.#ports.domains.get(call.as)
    if (own === undefined) throw new FmtpError('FMTP_INTERNAL', `called as ${call.as}`)
    const members = {
      role: 'opens',
      as: call.as,
      to: call.to,
      nonce: this.#nonce,
      ...(peerNonce === undefined ? {} : { peerNonce }),
      binding: this.#channel.binding,
      limits: this.#ownLimits(),
    } as const
    this.#helloAtMs = this.#ports.clock.now()
    this.#send(composeHello(members, own.signer))
    this.#ports.log.info({ as: call.as, to: call.to, host: call.host }, 'hello.sent')
  }

  /** The answerer's hello: is it who we called? */
  async #takeReply(hello: HelloFrame): Promise<void> {
    const call = this.#requireCall()
    if (this.#channel.transport === 'websocket' && hello.as === undefined) return this.#introduce(hello.nonce)
    // A user may be answered for by its domain, whose server a contact can name.
    const name = (hello.as ?? call.to) as Name
    const as = name === domainOf(call.to) ? name : call.to
    checkHello(hello, {
      role: 'answers',
      as,
      to: [call.as],
      peerNonce: this.#nonce,
      bindings: [this.#channel.binding],
    })
    await proveName(hello, name, this.#ports.keys, this.#ports.clock.now())
    if (this.#ended.signal.aborted) return
    const { remote } = this.#channel
    this.#rise(isAddressName(name) ? { role: 'user', name, remote } : { role: 'server', name, remote }, hello)
    this.#ports.log.info(
      { as: name, to: call.as, host: call.host, ms: this.#ports.clock.now() - this.#helloAtMs },
      'hello.verified',
    )
    this.#ports.onIdentified(this)
    this.#called?.resolve()
    this.#called = undefined
  }

  #requireCall(): Call {
    if (this.#call === undefined) throw new FmtpError('FMTP_INTERNAL', 'nobody was called')
    return this.#call
  }

  #rise(standing: Standing, hello: HelloFrame): void {
    clearTimeout(this.#helloTimer)
    this.#standing = standing
    this.#state = standing.role
    this.#channel.setFrameLimit(this.#ports.frameBytes)
    this.#pairing.setWindow(hello.limits?.windowFrames, hello.limits?.windowBytes)
  }

  #ownLimits() {
    return { windowFrames: this.#ports.window.frames, windowBytes: this.#ports.window.bytes }
  }

  #requireStanding(): Standing {
    if (this.#standing === undefined) throw new FmtpError('FMTP_HELLO_FIRST')
    return this.#standing
  }

  #takeDescribe(frame: Parameters<Admit>[0]): Promise<Answer> {
    const standing = this.#requireStanding()
    if (standing.role !== 'client') return this.#ports.admit(frame, standing)
    this.#notePublished(frame.object)
    return this.#ports.publish(frame, standing.name)
  }

  #notePublished(object: object): void {
    const { id } = object as { id?: unknown }
    if (typeof id !== 'string') return
    this.#published.add(id)
    if (this.#published.size > publishedMost)
      this.#published.delete(this.#published.values().next().value ?? '')
  }

  #takeRequest(inquiry: Parameters<Reveal>[0]): Promise<Answer> {
    const standing = this.#requireStanding()
    const { list, follow } = inquiry.request
    if (list === undefined) return this.#ports.reveal(inquiry, standing)
    // Pages one after the other, so that a thousand requests do not fill the memory with answers nobody reads.
    const turn = this.#turn.then(() => this.#ports.reveal(inquiry, standing))
    this.#turn = turn.catch(() => undefined)
    if (list.of === 'box' && follow === true) this.#noteBoxFollow(inquiry.signal, turn)
    return turn
  }

  /** The same inquiry, which leaves a record of what was handed over. */
  #watched(inquiry: Inquiry): Inquiry {
    if (!this.#ports.log.isDebug) return inquiry
    const to = this.#standing?.role === 'guest' ? 'guest' : this.#standing?.name
    return {
      ...inquiry,
      describe: query => {
        const { id, kind, contacts } = query.object as { id?: string; kind?: string; contacts?: unknown }
        this.#ports.log.debug({ id, kind, to, ...(contacts === undefined ? {} : { contacts }) }, 'described')
        inquiry.describe(query)
      },
    }
  }

  /** From the question on, so that nothing comes twice; to its end, or to its refusal. */
  #noteBoxFollow(signal: AbortSignal, turn: Promise<Answer>): void {
    let isOver = false
    const end = (): void => {
      if (!isOver) this.#boxFollows--
      isOver = true
    }
    this.#boxFollows++
    signal.addEventListener('abort', end)
    turn.catch(end)
  }

  /** What went wrong is told by its code; what nobody foresaw is logged here, once. */
  async #answered(verb: string, answering: Promise<Answer>): Promise<Answer> {
    try {
      return await answering
    } catch (thrown) {
      const error = toFmtpError(thrown)
      const record = { verb, remote: this.#channel.remote, code: error.code, reason: error.message }
      if (error.code === 'FMTP_INTERNAL') {
        this.#ports.log.error(
          { ...record, stack: error.cause instanceof Error ? error.cause.stack : undefined },
          'answer.failed',
        )
      } else {
        this.#ports.log.info(record, 'answer.refused')
      }
      return failureAnswer(error)
    }
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
    const nowMs = Date.now()
    if (this.#channel.unsentBytes < limits.unreadBytes) this.#unreadSinceMs = nowMs
    else if (nowMs - this.#unreadSinceMs >= limits.unreadMs)
      this.#fail(new FmtpError('FMTP_SLOW_READER'), true)
  }

  #takeGoodbye(code: string | undefined): void {
    this.#ports.log.info({ remote: this.#channel.remote, code }, 'goodbye')
    this.#finish(goodbyeError(code))
  }

  /** Says why, and closes. */
  #fail(error: FmtpError, isNow = false): void {
    if (!this.isOpen) return
    this.#send({ verb: 'goodbye', code: error.code, text: error.text })
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
    clearTimeout(this.#helloTimer)
    clearInterval(this.#watch)
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
      this.#ports.log.debug({ remote: this.#channel.remote, code: error?.code }, 'session.closed')
    }
  }
}

function newNonce(): string {
  return randomBytes(16).toString('base64url')
}
