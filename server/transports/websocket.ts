/** FMTP over WebSocket at `/fmtp` of the HTTP server (protocol §4.2). */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Channel } from '../../wire/channel.ts'
import { type MessageSocket, messageChannel } from '../../wire/message-channel.ts'
import type { SteadyClock, Timer } from '../../wire/steady-clock.ts'
import type { LivenessOptions } from '../protocol/keepalive.ts'

/** The WebSocket subprotocol of FMTP. */
export const subprotocol = 'fmtp.1'
export const path = '/fmtp'

export interface WebSocketOptions {
  readonly frameBytes: number
  readonly isBehindProxy: boolean
  readonly liveness: LivenessOptions
  readonly clock: SteadyClock
  onChannel(channel: Channel): void
}

export function serveWebSockets(server: Server, options: WebSocketOptions): { close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: options.frameBytes,
    perMessageDeflate: false,
    handleProtocols: offered => (offered.has(subprotocol) ? subprotocol : false),
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    // Not by URL, which throws for some targets that a request may have.
    if (request.url?.replace(/\?.*$/s, '') !== path) return refuse(socket, '404 Not Found')
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    if (!offered.split(',').some(name => name.trim() === subprotocol))
      return refuse(socket, '400 Bad Request')
    sockets.handleUpgrade(request, socket, head, webSocket => {
      keepAlive(webSocket, options.liveness, options.clock)
      options.onChannel(messageChannel(corked(webSocket, socket), originOf(request, options.isBehindProxy)))
    })
  })
  return {
    close: () => {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
    },
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

/** Who connected. Behind a proxy the last address it added counts, and the way to it is the operator's to guard. */
function originOf(request: IncomingMessage, isBehindProxy: boolean) {
  const remote = request.socket.remoteAddress ?? ''
  const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1)
    ?.trim()
  const isEncrypted = 'encrypted' in request.socket
  return {
    remote: isBehindProxy && forwarded !== undefined && forwarded !== '' ? forwarded : remote,
    binding: '',
    isConfidential: isEncrypted || isBehindProxy || isLoopback(remote),
  }
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.')
}

/** Gathers the messages of one turn of the event loop into one write. */
function corked(webSocket: WebSocket, stream: Duplex): MessageSocket {
  return Object.assign(webSocket as MessageSocket & WebSocket, {
    cork: () => stream.cork(),
    uncork: () => stream.uncork(),
  })
}

/** A peer that leaves a ping without an answer is gone. */
function keepAlive(webSocket: WebSocket, { pingAfterMs, pongMs }: LivenessOptions, clock: SteadyClock): void {
  let timer: Timer | undefined
  const wait = (): void => {
    timer?.stop()
    timer = clock.after(pingAfterMs, () => {
      webSocket.ping()
      timer = clock.after(pongMs, () => webSocket.terminate())
    })
  }
  wait()
  webSocket.on('pong', wait)
  webSocket.on('close', () => timer?.stop())
}
