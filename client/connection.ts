/**
 * A client's connection to a server (protocol §5.5, §9): says hello, proves who it is, describes, requests, follows, and
 * takes what is passed to it. Runs in a browser and in Node; the Channel is handed in.
 */
import { FmtpError, failures, toFmtpError } from '../schemas/failures.ts'
import type { DescribeFrame, Frame, FrameOf, HelloFrame, PublicJwk, Verb } from '../schemas/frame.ts'
import { limits } from '../schemas/limits.ts'
import { findNumber } from '../schemas/parse.ts'
import type { Channel } from '../wire/channel.ts'
import { decodeFrame, encodeFrame } from '../wire/codec.ts'
import { checkHello, composeHello } from '../wire/hello.ts'
import type { Signer } from '../wire/jws.ts'
import {
  type Answer,
  type DescribeQuery,
  failureAnswer,
  goodbyeError,
  Pairing,
  type Reply,
  type RequestQuery,
} from '../wire/pairing.ts'
import { type SteadyClock, systemSteadyClock } from '../wire/steady-clock.ts'

/** Who the client is, and how it shows it. */
export type Login =
  /** An enrolled device. */
  | { readonly as: string; readonly signer: Signer; readonly credential: string }
  /** A one-time token; with `signer` and `key` a new device is enrolled. */
  | { readonly as: string; readonly token: string; readonly signer?: Signer; readonly key?: PublicJwk }

export interface Handlers {
  /** Default: the machine's. */
  readonly clock?: SteadyClock
  randomNonce(): string
  /** Takes an object that the other side passes on, and answers for it. */
  onDescribe?(frame: DescribeFrame): Promise<Answer>
  onClose?(error: FmtpError | undefined): void
}

export interface AcceptOptions extends Handlers {
  /** The user who listens, with the key and credential of this device. */
  readonly as: string
  readonly signer: Signer
  readonly credential: string
  /** Throws where this hello does not prove the domain it names. */
  verifyCaller(hello: HelloFrame): Promise<void>
}

export interface ConnectOptions extends Handlers {
  /** The domain that must answer. */
  readonly domain: string
  /** Throws where this hello does not prove the domain: by DNS, or by a pinned thumbprint. */
  verifyServer(hello: HelloFrame): Promise<void>
  /** Without it the client stays a guest. */
  readonly login?: Login
}

const ownLimits = { windowFrames: limits.windowFrames, windowBytes: limits.windowBytes } as const

export class Connection {
  readonly #channel: Channel
  readonly #handlers: Handlers
  readonly #clock: SteadyClock
  readonly #pairing: Pairing
  #hellos: { resolve: (hello: HelloFrame) => void; reject: (error: FmtpError) => void } | undefined
  #issued: string | undefined
  #isClosed = false
  #isTrusted = false
  /** Who takes the frames of each verb. */
  readonly #takers: { readonly [V in Verb]: (frame: FrameOf[V], chars: number) => void } = {
    hello: frame => this.#takeHello(frame),
    describe: (frame, chars) => this.#takePaired(frame, chars),
    request: (frame, chars) => this.#takePaired(frame, chars),
    answer: (frame, chars) => this.#takePaired(frame, chars),
    goodbye: frame => this.#end(goodbyeError(frame)),
  }

  private constructor(channel: Channel, handlers: Handlers) {
    this.#channel = channel
    this.#handlers = handlers
    this.#clock = handlers.clock ?? systemSteadyClock
    this.#pairing = new Pairing({
      clock: this.#clock,
      send: text => channel.send(text),
      onPressure: () => channel.pause(),
      onRelief: () => channel.resume(),
      drained: async () => undefined,
      answerDescribe: async frame => {
        if (handlers.onDescribe === undefined) throw new FmtpError('FMTP_NOT_OFFERED')
        return handlers.onDescribe(frame)
      },
      answerRequest: async () => {
        throw new FmtpError('FMTP_NOT_OFFERED')
      },
    })
  }

  /**
   * Introduces the client. The server is verified before anything secret is sent.
   * @throws {FmtpError} the code with which the server refused, or that its proof failed with
   */
  static async open(channel: Channel, options: ConnectOptions): Promise<Connection> {
    const connection = new Connection(channel, options)
    // On a WebSocket the server speaks first.
    const greeting = channel.transport === 'websocket' ? connection.#nextHello() : undefined
    connection.#start()
    try {
      await connection.#introduce((await greeting)?.nonce, options)
    } catch (thrown) {
      channel.destroy()
      throw thrown
    }
    return connection
  }

  /**
   * Answers a server that calls a listening client directly (protocol §5.8).
   * @throws {FmtpError} with which the caller was refused
   */
  static async accept(
    channel: Channel,
    options: AcceptOptions,
  ): Promise<{ connection: Connection; caller: string }> {
    const connection = new Connection(channel, options)
    const opening = connection.#nextHello()
    connection.#start()
    try {
      const hello = await opening
      checkHello(hello, { role: 'opens', to: [options.as], bindings: [channel.binding] })
      if (hello.as === undefined) throw new FmtpError('FMTP_NOT_ALLOWED', 'a guest called')
      await options.verifyCaller(hello)
      connection.#trust(hello)
      const members = {
        role: 'answers',
        as: options.as,
        to: hello.as,
        nonce: options.randomNonce(),
        peerNonce: hello.nonce,
        binding: channel.binding,
        credential: options.credential,
        limits: ownLimits,
      } as const
      channel.send(encodeFrame(composeHello(members, options.signer)))
      return { connection, caller: hello.as }
    } catch (thrown) {
      const { code, text } = toFmtpError(thrown)
      channel.send(encodeFrame({ verb: 'goodbye', code, text }))
      channel.close()
      throw thrown
    }
  }

  #start(): void {
    this.#channel.open({ onText: text => this.#take(text), onClose: error => this.#end(error) })
  }

  #trust(hello: HelloFrame): void {
    this.#isTrusted = true
    this.#channel.setFrameLimit(limits.frameBytes)
    this.#pairing.setWindow(hello.limits?.windowFrames, hello.limits?.windowBytes)
  }

  /** The credential that the last hello issued or renewed. */
  get issued(): string | undefined {
    return this.#issued
  }

  describe(query: DescribeQuery): Promise<Answer> {
    return this.#pairing.describe(query)
  }

  request(
    query: RequestQuery,
    onDescribe?: (frame: DescribeFrame) => void,
    signal?: AbortSignal,
  ): Promise<Reply> {
    return this.#pairing.request(query, onDescribe, signal)
  }

  close(): void {
    if (this.#isClosed) return
    this.#channel.send(encodeFrame({ verb: 'goodbye' }))
    this.#channel.close()
    this.#end(undefined)
  }

  /** As a guest first, so that the server proves itself; then as who the client is. */
  async #introduce(greeting: string | undefined, options: ConnectOptions): Promise<void> {
    const { login } = options
    const isEnrolled = login !== undefined && 'credential' in login
    // A device's proof is worthless to a wrong server; a token is not.
    if (isEnrolled) {
      await this.#exchange({ as: login.as, credential: login.credential }, login.signer, greeting, options)
      return
    }
    const answer = await this.#exchange({}, undefined, greeting, options)
    if (login === undefined) return
    if (!this.#channel.isConfidential)
      throw new FmtpError('FMTP_NOT_ALLOWED', 'a token over a connection that others can read')
    const { as, token, key, signer } = login as Extract<Login, { token: string }>
    await this.#exchange({ as, token, ...(key === undefined ? {} : { key }) }, signer, answer.nonce, options)
  }

  async #exchange(
    who: Pick<HelloFrame, 'as' | 'credential' | 'token' | 'key'>,
    signer: Signer | undefined,
    theirNonce: string | undefined,
    { domain, randomNonce, verifyServer }: ConnectOptions,
  ): Promise<HelloFrame> {
    const nonce = randomNonce()
    const isWebSocket = this.#channel.transport === 'websocket'
    const reply = this.#nextHello()
    const { binding } = this.#channel
    const opening = composeHello(
      {
        role: 'opens',
        to: domain,
        ...who,
        nonce,
        ...(isWebSocket && theirNonce !== undefined ? { peerNonce: theirNonce } : {}),
        binding,
        limits: ownLimits,
      },
      signer,
    )
    this.#channel.send(encodeFrame(opening))
    const hello = await reply
    checkHello(hello, {
      role: 'answers',
      as: domain,
      peerNonce: nonce,
      bindings: [binding],
      ...(who.as === undefined ? {} : { to: [who.as] }),
    })
    await verifyServer(hello)
    this.#trust(hello)
    this.#issued = hello.issued ?? this.#issued
    return hello
  }

  #nextHello(): Promise<HelloFrame> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new FmtpError('FMTP_HELLO_TIMEOUT'))
      const timer = this.#clock.after(limits.helloMs, late)
      this.#hellos = {
        resolve: hello => {
          timer.stop()
          this.#hellos = undefined
          resolve(hello)
        },
        reject: error => {
          timer.stop()
          this.#hellos = undefined
          reject(error)
        },
      }
    })
  }

  #take(text: string): void {
    try {
      const frame = decodeFrame(text)
      this.#takeAs(frame.verb, frame, text.length)
    } catch (thrown) {
      this.#refuse(text, toFmtpError(thrown))
    }
  }

  #takeAs<V extends Verb>(verb: V, frame: FrameOf[V], chars: number): void {
    this.#takers[verb](frame, chars)
  }

  #takeHello(frame: HelloFrame): void {
    if (this.#hellos === undefined) throw new FmtpError('FMTP_WRONG_STATE', 'a hello that nobody waits for')
    this.#hellos.resolve(frame)
  }

  /** Nothing is taken from somebody who has not been verified. */
  #takePaired(frame: Frame, chars: number): void {
    if (!this.#isTrusted) throw new FmtpError('FMTP_HELLO_FIRST')
    this.#pairing.take(frame, chars)
  }

  #refuse(text: string, error: FmtpError): void {
    const number = failures[error.code].closes ? undefined : findNumber(JSON.parse(text))
    if (number !== undefined)
      return this.#channel.send(encodeFrame({ verb: 'answer', re: number, ...failureAnswer(error) }))
    this.#channel.send(encodeFrame({ verb: 'goodbye', code: error.code, text: error.text }))
    this.#end(error)
  }

  #end(error: FmtpError | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#hellos?.reject(error ?? new FmtpError('FMTP_DISCONNECTED', 'the server closed the connection'))
    this.#pairing.close(error)
    this.#channel.close()
    this.#handlers.onClose?.(error)
  }
}
