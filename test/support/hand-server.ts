/** A domain whose server is the test's own: it says hello as it should, and answers each frame as the test wants. */
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { composeHello } from '../../wire/hello.ts'
import { type HandDomain, randomNonce } from './hand.ts'
import type { Network } from './network.ts'
import type { Received } from './raw.ts'

/** What the peer answers to a frame; `undefined`: nothing. */
export type HandAnswer = (frame: Received, socket: TLSSocket) => object | undefined

export interface HandServer extends AsyncDisposable {
  readonly domain: HandDomain
  /** Every describe and request that came. */
  readonly frames: readonly Received[]
  /** From now on. */
  answer: HandAnswer
  /** Ends all connections. */
  cut(): void
}

/** Publishes key and host of a domain, and listens for it. */
export async function handServer(
  network: Network,
  { name, address, cert, key }: { name: string; address: string; cert: string; key: string },
  answer: HandAnswer,
): Promise<HandServer> {
  const domain = network.hand(name)
  const frames: Received[] = []
  const sockets = new Set<TLSSocket>()
  const server = createServer({ cert, key, ALPNProtocols: ['fmtp/1'], minVersion: 'TLSv1.3' }, socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    let rest = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) take(JSON.parse(line) as Received, socket)
    })
  })
  const peer: HandServer = {
    domain,
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

  await new Promise<void>(resolve => server.listen(0, address, resolve))
  network.publish({ domain: name, address }, domain.record, (server.address() as AddressInfo).port)
  return peer
}

function send(socket: TLSSocket, frame: object): void {
  socket.write(`${JSON.stringify(frame)}\n`)
}

/** As a home that has this of whom it is asked for: nobody. */
export const knowsNobody = { outcome: 'absent', code: 'FMTP_ABSENT' } as const
