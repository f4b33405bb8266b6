/** A domain played by hand at one end of a real connection: it takes what is delivered, and keeps what came. */
import type { HandDomain } from './hand.ts'
import type { TestServer } from './network.ts'
import { type RawEnd, type Received, rawTls } from './raw.ts'

/** One describe that came. */
export interface Came {
  readonly id: string
  readonly kind: string
  readonly cursor: string
}

export interface HandPeer {
  readonly end: RawEnd
  readonly came: Came[]
  /** What the next describes are answered with; `undefined` leaves them unanswered. */
  outcome: string | undefined
  /** Asks for the own outbox, or whatever the members say. */
  pull(list?: object, members?: object): Promise<Received>
  /** The messages that came, in that order. */
  messages(): Came[]
}

/** Says hello to a server in a domain's name, and answers its describes. */
export async function handPeer(
  server: Pick<TestServer, 'address' | 'port' | 'domain'>,
  domain: HandDomain,
): Promise<HandPeer> {
  const end = await rawTls(server.address, server.port, server.domain)
  const hello = await end.hello(server.domain, { as: domain.name, signer: domain.signer })
  if (hello.verb !== 'hello') throw new Error(JSON.stringify(hello))
  let n = 0
  const peer: HandPeer = {
    end,
    came: [],
    outcome: 'stored',
    pull: (list = {}, members = {}) =>
      end.ask({ verb: 'request', n: ++n, list: { of: 'outbox', ...list }, ...members }),
    messages: () => peer.came.filter(({ kind }) => kind === 'message'),
  }
  void answerAll(peer)
  return peer
}

async function answerAll(peer: HandPeer): Promise<void> {
  const { end } = peer
  while (!end.isClosed) {
    const frame = await end.next(({ verb }) => verb === 'describe', 60_000).catch(() => undefined)
    if (frame === undefined) return
    const { id, kind } = frame.object as { id: string; kind: string }
    peer.came.push({ id, kind, cursor: String(frame.cursor) })
    if (peer.outcome !== undefined) end.sendFrame({ verb: 'answer', re: frame.n, outcome: peer.outcome })
  }
}
