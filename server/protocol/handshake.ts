/**
 * The hellos of one connection (protocol §5): says who we are, and finds out who the other side is. The session keeps the
 * state; here is what is said and what is believed.
 */
import { randomBytes } from 'node:crypto'
import { FmtpError } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { type Domain, domainOf, isAddressName, type Name } from '../../schemas/text/names.ts'
import type { Channel } from '../../wire/channel.ts'
import { checkHello, composeHello } from '../../wire/hello.ts'
import type { OwnDomain } from '../accounts/own-domains.ts'
import type { Standing } from '../accounts/principal.ts'
import { identify, type LoginPorts } from './login.ts'
import { proveName } from './prove.ts'

/** Whom we call, in whose name, and who may answer. */
export interface Call {
  readonly as: Domain
  readonly to: Name
  /** For the log: `host:port` that was dialled. */
  readonly host: string
  /** True: a parent that stands for `to` may answer; whether it does is for the caller to find out (protocol §10.8). */
  readonly mayBeFront?: boolean
  /** Ends the call, when another host answered first or nobody wants it any more. */
  readonly signal: AbortSignal
}

export interface IntroductionPorts extends LoginPorts {
  readonly domains: ReadonlyMap<Domain, Pick<OwnDomain, 'domain' | 'current' | 'successors'>>
  /** The domain of ours that answers a call to a child's domain. */
  findFront(domain: Domain): Domain | undefined
  /** Host names that a WebSocket to us may be bound to. */
  readonly hosts: readonly string[]
  readonly window: { readonly frames: number; readonly bytes: number }
}

export class Introduction {
  readonly #channel: Channel
  readonly #ports: IntroductionPorts
  #nonce = newNonce()

  constructor(channel: Channel, ports: IntroductionPorts) {
    this.#channel = channel
    this.#ports = ports
  }

  /** What the answering end of a WebSocket says first: a nonce for the opener to answer. */
  greet(): HelloFrame {
    return composeHello({ role: 'answers', nonce: this.#nonce })
  }

  /** The opener's hello: who is it, and what we say to it. `before` is the name that this session has proved already. */
  async take(
    hello: HelloFrame,
    before: Name | undefined,
  ): Promise<{ readonly standing: Standing; readonly reply: HelloFrame }> {
    const isWebSocket = this.#channel.transport === 'websocket'
    const isNamed = hello.as !== undefined
    checkHello(hello, {
      role: 'opens',
      ...(isNamed || hello.binding !== undefined ? { bindings: this.#bindings() } : {}),
      ...(isNamed && isWebSocket ? { peerNonce: this.#nonce } : {}),
    })
    // A contact of a user may name the server of its domain, which answers for its users.
    const own = this.#findCalled((hello.to ?? '') as Name, isNamed)
    if (own === undefined) throw new FmtpError('FMTP_NOT_MINE', `to ${hello.to}`)
    // A session that is filed under a name keeps it.
    if (before !== undefined && hello.as !== before) {
      throw new FmtpError('FMTP_WRONG_STATE', `${before} says hello as ${hello.as}`)
    }
    const { standing, issued } = await identify(hello, own.domain, this.#channel, this.#ports)
    this.#nonce = newNonce()
    const binding = isWebSocket ? hello.binding : this.#channel.binding
    const { pair, signer } = own.current
    // Whoever comes as a server or a foreign user has the keys from DNS.
    const { successors } = standing.role === 'guest' || standing.role === 'client' ? own : { successors: [] }
    const reply = composeHello(
      {
        role: 'answers',
        as: own.domain,
        ...(hello.as === undefined ? {} : { to: hello.as }),
        nonce: this.#nonce,
        peerNonce: hello.nonce,
        ...(binding === undefined ? {} : { binding }),
        key: pair.jwk,
        ...(successors.length === 0 ? {} : { successors: [...successors] }),
        ...(issued === undefined ? {} : { issued }),
        limits: this.#limits(),
      },
      signer,
    )
    return { standing, reply }
  }

  /** A child is called by other servers alone: a client of it logs in at its own. */
  #findCalled(to: Name, isNamed: boolean) {
    const { domains } = this.#ports
    const domain = domainOf(to)
    const own = domains.get(domain)
    if (own !== undefined || !isNamed || isAddressName(to)) return own
    const front = this.#ports.findFront(domain)
    return front === undefined ? undefined : domains.get(front)
  }

  /** Our own hello to whom we called; it answers the other side's nonce where that spoke first. */
  open(call: Call, peerNonce: string | undefined): HelloFrame {
    const own = this.#ports.domains.get(call.as)
    if (own === undefined) throw new FmtpError('FMTP_INTERNAL', `called as ${call.as}`)
    const members = {
      role: 'opens',
      as: call.as,
      to: call.to,
      nonce: this.#nonce,
      ...(peerNonce === undefined ? {} : { peerNonce }),
      binding: this.#channel.binding,
      limits: this.#limits(),
    } as const
    return composeHello(members, own.current.signer)
  }

  /** True for the greeting of a WebSocket's answering end, which names nobody. */
  isGreeting(hello: HelloFrame): boolean {
    return this.#channel.transport === 'websocket' && hello.as === undefined
  }

  /** The answerer's hello: is it who we called? */
  async takeReply(hello: HelloFrame, call: Call): Promise<Standing> {
    // A user may be answered for by its domain, whose server a contact can name.
    const name = (hello.as ?? call.to) as Name
    const isFront =
      call.mayBeFront === true && !isAddressName(name) && !this.#ports.domains.has(name as Domain)
    const as = name === domainOf(call.to) || isFront ? name : call.to
    const { binding, remote } = this.#channel
    checkHello(hello, { role: 'answers', as, to: [call.as], peerNonce: this.#nonce, bindings: [binding] })
    await proveName(hello, name, this.#ports.keys, this.#ports.clock.now())
    return isAddressName(name)
      ? { role: 'user', name, remote }
      : { role: 'server', name, as: call.as, remote }
  }

  #bindings(): readonly string[] {
    return this.#channel.transport === 'websocket' ? this.#ports.hosts : [this.#channel.binding]
  }

  #limits() {
    return { windowFrames: this.#ports.window.frames, windowBytes: this.#ports.window.bytes }
  }
}

function newNonce(): string {
  return randomBytes(16).toString('base64url')
}
