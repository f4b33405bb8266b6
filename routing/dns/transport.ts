/**
 * One query to one name server, by UDP or by TCP (RFC 1035 §4.2, RFC 5452). The package's own clients have no
 * working timeouts and believe answers to other questions, so the sockets are ours. Every query has a socket
 * of its own: a fresh random port, and nothing that comes later can be taken for the next answer.
 */

import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { FmtpError } from '../../schemas/failures.ts'
import type { SteadyClock } from '../../wire/steady-clock.ts'
import { findCanonicalIp } from '../ip.ts'

/** More than we offer by EDNS0, for servers that do not listen; what is larger is not read. */
const mostDatagramBytes = 4096
/** A message by TCP may have 64 KiB; no answer we ask for needs that. */
const mostStreamBytes = 16 * 1024

export interface NameServer {
  readonly ip: string
  readonly port: number
  /** For logs and trails: `ip:port` or `[ip]:port`. */
  readonly text: string
}

export interface Ask<T> {
  readonly server: NameServer
  readonly query: Buffer
  readonly timeoutMs: number
  readonly clock: SteadyClock
  readonly signal: AbortSignal
  /** What the message says; `undefined`: not the answer to our query. */
  read(message: Buffer): T | undefined
}

interface Attempt<T> {
  succeed(value: T): void
  fail(code: 'FMTP_TIMEOUT' | 'FMTP_CONNECT_FAILED', detail: string, cause?: unknown): void
}

/**
 * The first datagram from the server that `read` takes; all others are ignored while the time lasts.
 * @throws {FmtpError} FMTP_TIMEOUT on silence, FMTP_CONNECT_FAILED when the system reports an error.
 */
export function askByUdp<T>(ask: Ask<T>): Promise<T> {
  return within(ask, attempt => {
    const { server, query } = ask
    const socket = createSocket(isIPv6(server.ip) ? 'udp6' : 'udp4')
    const serverIp = findCanonicalIp(server.ip)
    socket.on('error', cause => attempt.fail('FMTP_CONNECT_FAILED', cause.message, cause))
    socket.on('message', (message, from) => {
      // The socket is connected, so the kernel drops strangers; but not in the moment between bind and connect.
      if (from.port !== server.port || findCanonicalIp(from.address) !== serverIp) return
      if (message.length > mostDatagramBytes) return
      const answer = ask.read(message)
      if (answer !== undefined) attempt.succeed(answer)
    })
    // Without a way to the server it is called with the reason, and nothing may be sent.
    socket.connect(server.port, server.ip, (cause?: Error) => {
      if (cause instanceof Error) attempt.fail('FMTP_CONNECT_FAILED', cause.message, cause)
      else if (!attempt.isOver()) socket.send(query)
    })
    return () => socket.close()
  })
}

/**
 * The answer by TCP. A stream has no strangers, so an answer that `read` does not take is a failure.
 * @throws {FmtpError} FMTP_TIMEOUT on silence, FMTP_CONNECT_FAILED for all else.
 */
export function askByTcp<T>(ask: Ask<T>): Promise<T> {
  return within(ask, attempt => {
    const { server, query } = ask
    const socket = connect({ host: server.ip, port: server.port })
    let received: Buffer = Buffer.alloc(0)
    socket.on('connect', () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(query.length)
      socket.write(Buffer.concat([length, query]))
    })
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      if (received.length < 2) return
      const length = received.readUInt16BE(0)
      if (length > mostStreamBytes) {
        attempt.fail('FMTP_CONNECT_FAILED', `answer of ${length} octets by TCP`)
      } else if (received.length >= 2 + length) {
        const answer = ask.read(received.subarray(2, 2 + length))
        if (answer === undefined) attempt.fail('FMTP_CONNECT_FAILED', 'answer by TCP to another question')
        else attempt.succeed(answer)
      }
    })
    socket.on('error', cause => attempt.fail('FMTP_CONNECT_FAILED', cause.message, cause))
    socket.on('close', () => attempt.fail('FMTP_CONNECT_FAILED', 'closed before the answer'))
    return () => socket.destroy()
  })
}

/** Runs one attempt to exactly one end: success, failure, timeout or abort; whichever it is, the socket closes. */
function within<T>(
  { server, timeoutMs, clock, signal }: Ask<T>,
  start: (attempt: Attempt<T> & { isOver(): boolean }) => () => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    signal.throwIfAborted()
    let isOver = false
    let close = (): void => undefined
    const end = (settle: () => void): void => {
      if (isOver) return
      isOver = true
      timer.stop()
      signal.removeEventListener('abort', onAbort)
      close()
      settle()
    }
    const fail: Attempt<T>['fail'] = (code, detail, cause) =>
      end(() => reject(new FmtpError(code, `${server.text}: ${detail}`, { cause })))
    const onAbort = (): void => end(() => reject(signal.reason))
    const late = (): void => fail('FMTP_TIMEOUT', `no answer in ${Math.round(timeoutMs)} ms`)
    const timer = clock.after(timeoutMs, late)
    signal.addEventListener('abort', onAbort)
    close = start({ succeed: value => end(() => resolve(value)), fail, isOver: () => isOver })
  })
}
