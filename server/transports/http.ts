/** The HTTP server: koa's answers and WebSockets on one port, plain on loopback and behind a proxy, else TLS. */
import { readFileSync } from 'node:fs'
import { createServer as createPlainServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Endpoint } from '../../schemas/text/formats.ts'
import type { Channel } from '../../wire/channel.ts'
import type { SteadyClock } from '../../wire/steady-clock.ts'
import type { LivenessOptions } from '../protocol/keepalive.ts'
import { type Listener, takenError } from './tcp.ts'
import { serveWebSockets } from './websocket.ts'

export interface HttpOptions {
  readonly endpoint: Endpoint
  readonly isBehindProxy: boolean
  /** PEM files; empty for plain HTTP. */
  readonly certificate: string
  readonly key: string
  readonly maxConnections: number
  readonly requestTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly frameBytes: number
  readonly liveness: LivenessOptions
  readonly clock: SteadyClock
  readonly answer: RequestListener
  onChannel(channel: Channel): void
}

/** @throws {FmtpError} FMTP_CONFIG when the port is taken or may not be used */
export async function listenHttp(options: HttpOptions): Promise<Listener> {
  const { endpoint, answer } = options
  const server: Server =
    options.certificate === ''
      ? createPlainServer(answer)
      : createTlsServer({ cert: readFileSync(options.certificate), key: readFileSync(options.key) }, answer)
  server.requestTimeout = options.requestTimeoutMs
  server.headersTimeout = options.headersTimeoutMs
  server.maxConnections = options.maxConnections
  const webSockets = serveWebSockets(server, options)
  await new Promise<void>((resolve, reject) => {
    server.once('error', cause => reject(takenError('listen.http', endpoint, cause)))
    server.listen({ host: endpoint.address, port: endpoint.port }, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    address,
    port,
    close: () =>
      new Promise(resolve => {
        webSockets.close()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
