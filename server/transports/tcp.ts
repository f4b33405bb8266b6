/** FMTP over TLS 1.3 (protocol §4.2): the listening end, and what both ends do with a socket that is secure. */

import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import type { Certificate } from '../../objects/seals/certificate.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Endpoint } from '../../schemas/text/formats.ts'
import type { Channel } from '../../wire/channel.ts'
import { alpn, secureChannel } from '../../wire/secure-channel.ts'

export interface Listener {
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

export interface TcpOptions {
  readonly endpoint: Endpoint
  readonly certificate: Certificate
  readonly maxConnections: number
  onChannel(channel: Channel): void
}

/** @throws {FmtpError} FMTP_CONFIG when the port is taken or may not be used */
export async function listenTcp(options: TcpOptions): Promise<Listener> {
  const { address, port } = options.endpoint
  const sockets = new Set<TLSSocket>()
  const server = createServer(
    {
      ...options.certificate,
      minVersion: 'TLSv1.3',
      ALPNProtocols: [alpn],
      handshakeTimeout: limits.helloMs,
    },
    socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.setNoDelay(true)
      options.onChannel(secureChannel(socket))
    },
  )
  // A handshake that fails is the caller's trouble; its socket is destroyed by node:tls.
  server.on('tlsClientError', () => undefined)
  server.maxConnections = options.maxConnections
  await new Promise<void>((resolve, reject) => {
    server.once('error', cause => reject(takenError('listen.tcp', options.endpoint, cause)))
    server.listen({ host: address, port }, resolve)
  })
  const bound = server.address() as AddressInfo
  return {
    address: bound.address,
    port: bound.port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroySoon()
        setTimeout(() => {
          for (const socket of sockets) socket.destroy()
        }, 500).unref()
      }),
  }
}

/** What a person is told when a port can not be had. */
export function takenError(key: string, { address, port }: Endpoint, cause: Error): FmtpError {
  const code = 'code' in cause ? cause.code : undefined
  const why =
    code === 'EADDRINUSE' ? 'is taken by another program' : `can not be used (${code ?? cause.message})`
  return new FmtpError(
    'FMTP_CONFIG',
    `${address}:${port} ${why}. Change ${key} in fmtp.conf, or stop the other program.`,
    { cause },
  )
}
