/** Calls another server or a listening client: TLS over TCP, or WebSocket over TLS; to the address that was judged. */
import { isIP } from 'node:net'
import { connect, rootCertificates } from 'node:tls'
import { WebSocket } from 'ws'
import type { Target } from '../../routing/connect/peer.ts'
import type { Note, Step } from '../../routing/ladder.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { domainOf } from '../../schemas/text/names.ts'
import type { Channel } from '../../wire/channel.ts'
import { type MessageSocket, messageChannel } from '../../wire/message-channel.ts'
import { alpn, secureChannel } from '../../wire/secure-channel.ts'
import type { SteadyClock } from '../../wire/steady-clock.ts'
import { path, subprotocol } from './websocket.ts'

export interface DialPorts {
  readonly note: Note
  readonly signal: AbortSignal
  readonly ca: readonly string[]
  readonly clock: SteadyClock
}

/** Notes the steps `connect` and, over TCP, `tls`. @throws {FmtpError} FMTP_CONNECT_FAILED */
export function dialChannel(target: Target, ports: DialPorts): Promise<Channel> {
  const { note, signal, ca } = ports
  const { host, address, port } = target
  if (target.protocol === 'tcp') return dialTcp(target, ports)
  return note.step('connect', { host, address, port, over: 'wss' }, () => dialWebSocket(target, signal, ca))
}

function dialTcp(
  { host, address, port, to }: Target,
  { note, signal, clock }: Omit<DialPorts, 'ca'>,
): Promise<Channel> {
  let what: 'connect' | 'tls' = 'connect'
  let startMs = clock.steadyMs()
  const tell = (outcome: Step['outcome'], more: Step['detail'] = {}): void => {
    note.add(what, outcome, { host, address, port, ...more }, Math.round(clock.steadyMs() - startMs))
    what = 'tls'
    startMs = clock.steadyMs()
  }
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port,
      servername: domainOf(to),
      ALPNProtocols: [alpn],
      minVersion: 'TLSv1.3',
      // Certificates may be self-made: the proof of the hello is bound to this channel (protocol §5.3).
      rejectUnauthorized: false,
    })
    const fail = (reason: string, cause?: Error): void => {
      timer.stop()
      signal.removeEventListener('abort', abort)
      socket.destroy()
      const where = `${host} (${address}:${port})${what === 'tls' ? ' takes the connection, but not TLS' : ''}`
      const error = new FmtpError('FMTP_CONNECT_FAILED', `${where}: ${reason}`, { cause })
      tell(error.code, { reason: error.message })
      reject(error)
    }
    const abort = (): void => fail('another host answered first')
    const timer = clock.after(limits.connectMs, () => fail('no answer in time'))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('error', error => fail(error.message, error))
    socket.once('connect', () => tell('ok'))
    socket.once('secureConnect', () => {
      timer.stop()
      tell('ok', { version: socket.getProtocol() })
      signal.removeEventListener('abort', abort)
      socket.setNoDelay(true)
      resolve(secureChannel(socket))
    })
  })
}

/** Its `hostname` is what the hello is bound to (protocol §5.3). */
export function webSocketUrl(host: string, port: number): URL {
  return new URL(`wss://${isIP(host) === 6 ? `[${host}]` : host}:${port}${path}`)
}

function dialWebSocket(
  { host, address, port }: Target,
  signal: AbortSignal,
  ca: readonly string[],
): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const url = webSocketUrl(host, port)
    const socket = new WebSocket(url, [subprotocol], {
      ...(ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca] }),
      lookup: (_host, options, callback) => {
        const family = isIP(address)
        if (options.all === true) callback(null, [{ address, family }])
        else callback(null, address, family)
      },
      handshakeTimeout: limits.connectMs,
      maxPayload: limits.frameBytes,
      perMessageDeflate: false,
      followRedirects: false,
    })
    const abort = (): void => socket.terminate()
    signal.addEventListener('abort', abort, { once: true })
    socket.once('error', cause => {
      signal.removeEventListener('abort', abort)
      reject(
        new FmtpError('FMTP_CONNECT_FAILED', `${host} (${address}:${port}): ${cause.message}`, { cause }),
      )
    })
    socket.once('open', () => {
      signal.removeEventListener('abort', abort)
      socket.pause()
      resolve(
        messageChannel(socket as unknown as MessageSocket, {
          remote: address,
          binding: url.hostname,
          isConfidential: true,
        }),
      )
    })
  })
}
