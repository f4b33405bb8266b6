/** FMTP over UDP (protocol §4.8): the socket. What is answered, and to whom, is the affair of `protocol/datagrams.ts`. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { Endpoint } from '../../schemas/text/formats.ts'
import { type Listener, takenError } from './tcp.ts'

export interface UdpOptions {
  readonly endpoint: Endpoint
  /** The answer to a datagram from this IP address; `undefined`: none. Never throws. */
  answer(datagram: Uint8Array, remote: string): Uint8Array | undefined
}

/** @throws {FmtpError} FMTP_CONFIG when the port is taken or may not be used */
export async function listenUdp({ endpoint, answer }: UdpOptions): Promise<Listener> {
  // Beside one for IPv4 on the same port.
  const socket = isIPv6(endpoint.address)
    ? createSocket({ type: 'udp6', ipv6Only: true })
    : createSocket('udp4')
  socket.on('message', (datagram, { address, port }) => {
    // Nobody can be at port 0; sending there throws.
    if (port === 0) return
    const answered = answer(datagram, address)
    // A host that is gone is nobody's trouble here.
    if (answered !== undefined) socket.send(answered, port, address, () => undefined)
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', cause => reject(takenError('listen.udp', endpoint, cause)))
    socket.bind(endpoint.port, endpoint.address, resolve)
  })
  socket.removeAllListeners('error')
  // The system tells of answers that did not arrive, too.
  socket.on('error', () => undefined)
  const { address, port } = socket.address()
  return {
    address,
    port,
    close: async () => {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}
