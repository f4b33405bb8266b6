/** Connects a client in Node: WebSocket to an origin, or TLS to a host (protocol §4.2). A browser brings its own. */
import { connect } from 'node:tls'
import { WebSocket } from 'ws'
import { FmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import type { Channel } from '../wire/channel.ts'
import { type MessageSocket, messageChannel } from '../wire/message-channel.ts'
import { alpn, secureChannel } from '../wire/secure-channel.ts'

/** @throws {FmtpError} FMTP_CONNECT_FAILED */
export function dialOrigin(origin: string): Promise<Channel> {
  const url = new URL('/fmtp', origin)
  const isTls = url.protocol === 'https:'
  url.protocol = isTls ? 'wss:' : 'ws:'
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, ['fmtp.1'], {
      handshakeTimeout: limits.connectMs,
      maxPayload: limits.frameBytes,
      perMessageDeflate: false,
      followRedirects: false,
    })
    socket.once('error', cause =>
      reject(new FmtpError('FMTP_CONNECT_FAILED', `${origin}: ${cause.message}`, { cause })),
    )
    socket.once('open', () => {
      socket.pause()
      const isLoopback =
        url.hostname === 'localhost' || url.hostname.startsWith('127.') || url.hostname === '[::1]'
      const options = { remote: url.host, binding: url.hostname, isConfidential: isTls || isLoopback }
      resolve(messageChannel(socket as unknown as MessageSocket, options))
    })
  })
}

/** TLS without a look at the certificate: the server's proof is bound to this channel (protocol §5.3). */
export function dialHost(host: string, port: number, domain: string): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      servername: domain,
      ALPNProtocols: [alpn],
      minVersion: 'TLSv1.3',
      rejectUnauthorized: false,
      timeout: limits.connectMs,
    })
    const fail = (cause: Error): void => {
      socket.destroy()
      reject(new FmtpError('FMTP_CONNECT_FAILED', `${host}:${port}: ${cause.message}`, { cause }))
    }
    socket.once('error', fail)
    socket.once('timeout', () => fail(new Error('no answer in time')))
    socket.once('secureConnect', () => {
      socket.off('error', fail)
      socket.setTimeout(0)
      resolve(secureChannel(socket))
    })
  })
}
