/** A domain whose server is the test's own: it says hello as it should, and answers each frame as the test wants. */
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { composeHello } from '../../wire/hello.ts'
import { type HandDomain, randomNonce } from './hand.ts'
import type { Network } from './network.ts'
import type { Received } from './raw.ts'

/** What the peer answers to a frame; `undefined`: nothing. */
export type HandAnswer = (frame: Received, socket: TLSSocket) => object | undefined

export interface HandServer extends AsyncDisposable {
  readonly domain: HandDomain
  readonly port: number
  /** Every describe and request that came. */
  readonly frames: readonly Received[]
  /** From now on. */
  answer: HandAnswer
  /** Ends all connections. */
  cut(): void
}

export interface HandPlace {
  readonly name: string
  readonly address: string
  readonly cert: string
  readonly key: string
  /** The same domain at another place, which is not published. */
  readonly domain?: HandDomain
}

/** Publishes key and host of a domain, and listens for it. */
export async function handServer(
  network: Network,
  { name, address, cert, key, domain: known }: HandPlace,
  answer: HandAnswer,
): Promise<HandServer> {
  const domain = known ?? network.hand(name)
  const frames: Received[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ cert, key, ALPNProtocols: ['fmtp/1'], minVersion: 'TLSv1.3' }, socket => {
    socket.on('error', () => undefined)
    let rest = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) take(JSON.parse(line) as Received, socket)
    })
  })
  // Those in the middle of a handshake too: the server would stay open for them.
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, address, resolve))
  const { port } = server.address() as AddressInfo
  if (known === undefined) network.publish({ domain: name, address }, domain.record, port)
  const peer: HandServer = {
    domain,
    port,
    frames,
    answer,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      peer.cut()
      await new Promise(resolve => server.close(resolve))
    },
  }

  function take(frame: Received, socket: TLSSocket): void {
    if (frame.verb === 'hello') {
      const binding = socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
      const hello = {
        role: 'answers' as const,
        ...{ as: name, to: String(frame.as ?? name), nonce: randomNonce() },
        ...{ peerNonce: String(frame.nonce), binding: binding.toString('base64url') },
      }
      send(socket, composeHello(hello, domain.signer))
      return
    }
    if (frame.verb !== 'describe' && frame.verb !== 'request') return
    frames.push(frame)
    const given = peer.answer(frame, socket)
    if (given !== undefined) send(socket, { verb: 'answer', re: frame.n, ...given })
  }

  return peer
}

function send(socket: TLSSocket, frame: object): void {
  socket.write(`${JSON.stringify(frame)}\n`)
}

/** As a home that has this of whom it is asked for: nobody. */
export const knowsNobody = { outcome: 'absent', code: 'FMTP_ABSENT' } as const
