/**
 * A connection that is made to see whether it can be made: says hello, in the name of a domain or of nobody, believes what a
 * session would, and asks. It serves nothing and is filed nowhere, so that nothing is ever brought over it.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../objects/clock.ts'
import type { DomainKeys } from '../../objects/seals/seal.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, isAddressName, type Name } from '../../schemas/text/names.ts'
import type { Channel } from '../../wire/channel.ts'
import { decodeFrame, encodeFrame } from '../../wire/codec.ts'
import { checkHello, composeHello } from '../../wire/hello.ts'
import type { Signer } from '../../wire/jws.ts'
import { type Answer, goodbyeError, Pairing, type Reply, type RequestQuery } from '../../wire/pairing.ts'
import { proveName } from './prove.ts'

/** A domain of ours and the key that signs for it. */
export interface Caller {
  readonly domain: Domain
  readonly signer: Signer
}

export interface ProbeCall {
  /** `undefined`: as a guest. */
  readonly caller: Caller | undefined
  /** Who, or whose domain, must answer. */
  readonly to: Name
  /** `host:port` that was dialled. */
  readonly host: string
  /** True: a parent that stands for `to` may answer; whether it does is for the caller to find out (protocol §10.8). */
  readonly mayBeFront?: boolean
  readonly keys: DomainKeys
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** What nobody answers here: the other side has the connection for a moment, and asks again over another. */
const never = <T>(): Promise<T> => new Promise(() => undefined)

export class Probe implements Peer {
  readonly host: string
  readonly as: Domain
  readonly #channel: Channel
  readonly #pairing: Pairing
  readonly #nonce = randomBytes(16).toString('base64url')
  #name: Name
  #isOpen = true
  #isProven = false
  #take: (hello: HelloFrame) => void = () => undefined
  #fail: (error: FmtpError) => void = () => undefined

  private constructor(channel: Channel, { caller, to, host, clock }: ProbeCall) {
    this.#channel = channel
    this.#name = to
    this.host = host
    this.as = caller?.domain ?? domainOf(to)
    this.#pairing = new Pairing({
      clock,
      send: text => channel.send(text),
      onPressure: () => channel.pause(),
      onRelief: () => channel.resume(),
      drained: async () => undefined,
      answerDescribe: () => never(),
      answerRequest: () => never(),
    })
  }

  /** Resolves when the other side has proven who it is. @throws {FmtpError} the code with which a side refused */
  static async call(channel: Channel, call: ProbeCall): Promise<Probe> {
    const probe = new Probe(channel, call)
    const late = (): void => probe.#end(new FmtpError('FMTP_HELLO_TIMEOUT'))
    const timer = call.clock.after(limits.helloMs, late)
    const abort = (): void => probe.#end(new FmtpError('FMTP_DISCONNECTED', 'the call was ended'))
    call.signal.addEventListener('abort', abort, { once: true })
    try {
      await probe.#introduce(call)
      return probe
    } catch (thrown) {
      probe.#end(toFmtpError(thrown))
      throw thrown
    } finally {
      timer.stop()
      call.signal.removeEventListener('abort', abort)
    }
  }

  get name(): Name {
    return this.#name
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** It was made to bring nothing. */
  describe(): Promise<Answer> {
    return Promise.reject(new FmtpError('FMTP_NOT_OFFERED', 'a probe describes nothing'))
  }

  request(query: RequestQuery): Promise<Reply> {
    return this.#pairing.request(query)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#channel.send(encodeFrame({ verb: 'goodbye' }))
    this.#end(undefined)
  }

  async #introduce(call: ProbeCall): Promise<void> {
    // On a WebSocket the answerer speaks first.
    const greeting = this.#channel.transport === 'websocket' ? this.#nextHello() : undefined
    if (greeting === undefined) {
      const reply = this.#nextHello()
      this.#start()
      this.#open(call, undefined)
      return this.#believe(await reply, call)
    }
    this.#start()
    const { nonce } = await greeting
    const reply = this.#nextHello()
    this.#open(call, nonce)
    return this.#believe(await reply, call)
  }

  #start(): void {
    this.#channel.open({
      onText: text => this.#read(text),
      onClose: error => this.#end(error ?? new FmtpError('FMTP_DISCONNECTED')),
    })
  }

  #open({ caller, to }: ProbeCall, peerNonce: string | undefined): void {
    const members = {
      role: 'opens',
      ...(caller === undefined ? {} : { as: caller.domain, binding: this.#channel.binding }),
      to,
      nonce: this.#nonce,
      ...(peerNonce === undefined ? {} : { peerNonce }),
      limits: { windowFrames: limits.windowFrames, windowBytes: limits.windowBytes },
    } as const
    this.#channel.send(encodeFrame(composeHello(members, caller?.signer)))
  }

  /** As a session does (protocol §5.4): a user may be answered for by its domain. */
  async #believe(hello: HelloFrame, call: ProbeCall): Promise<void> {
    const { caller, to, mayBeFront = false, keys, clock } = call
    const name = (hello.as ?? to) as Name
    const isFront = mayBeFront && !isAddressName(name)
    checkHello(hello, {
      role: 'answers',
      as: name === domainOf(to) || isFront ? name : to,
      ...(caller === undefined ? {} : { to: [caller.domain], bindings: [this.#channel.binding] }),
      peerNonce: this.#nonce,
    })
    await proveName(hello, name, keys, clock.now())
    if (!this.#isOpen) throw new FmtpError('FMTP_DISCONNECTED', 'closed while its hello was checked')
    this.#name = name
    this.#isProven = true
    this.#channel.setFrameLimit(limits.frameBytes)
    this.#pairing.setWindow(hello.limits?.windowFrames, hello.limits?.windowBytes)
  }

  #nextHello(): Promise<HelloFrame> {
    return new Promise((resolve, reject) => {
      this.#take = resolve
      this.#fail = reject
    })
  }

  #read(text: string): void {
    try {
      const frame = decodeFrame(text)
      if (frame.verb === 'goodbye') return this.#end(goodbyeError(frame))
      if (frame.verb === 'hello') return this.#take(frame)
      if (!this.#isProven) throw new FmtpError('FMTP_HELLO_FIRST', frame.verb)
      this.#pairing.take(frame, text.length)
    } catch (thrown) {
      this.#end(toFmtpError(thrown))
    }
  }

  #end(error: FmtpError | undefined): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#fail(error ?? new FmtpError('FMTP_DISCONNECTED'))
    this.#pairing.close(error)
    this.#channel.close()
  }
}
