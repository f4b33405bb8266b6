/** Datagrams by hand: somebody who asks, right or wrong, and somebody who answers as the test wants. */
import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { limits } from '../../schemas/limits.ts'
import type { Received } from './raw.ts'

/** A request padded to so many bytes. */
export function padded(members: object, bytes: number = limits.datagramBytes): Buffer {
  const frame = { verb: 'request', ...members }
  const bare = Buffer.byteLength(JSON.stringify({ ...frame, pad: '' }))
  return Buffer.from(JSON.stringify({ ...frame, pad: ' '.repeat(Math.max(0, bytes - bare)) }))
}

/** Sends bytes and gives what comes back; `undefined`: nothing did for a while. */
export async function sendDatagram(
  { address, port }: { readonly address: string; readonly port: number },
  bytes: Uint8Array,
  waitMs = 250,
): Promise<Buffer | undefined> {
  const socket = createSocket('udp4')
  try {
    socket.connect(port, address)
    await once(socket, 'connect')
    const came = once(socket, 'message').then(([message]) => message as Buffer)
    socket.send(bytes)
    return await Promise.race([came, sleep(waitMs, undefined)])
  } finally {
    socket.close()
  }
}

/** A frame, and from where it came. */
export interface Asked {
  readonly frame: Received
  readonly bytes: number
  readonly from: RemoteInfo
}

export interface HandDatagrams extends AsyncDisposable {
  readonly port: number
  readonly asked: readonly Asked[]
}

/** Says to each question what `answer` gives, one datagram each; a text goes as it is. */
export async function handDatagrams(
  address: string,
  answer: (asked: Asked, send: (reply: object | string) => void) => void,
): Promise<HandDatagrams> {
  const socket = createSocket('udp4')
  const asked: Asked[] = []
  socket.on('message', (message, from) => {
    const one = { frame: JSON.parse(message.toString()) as Received, bytes: message.length, from }
    asked.push(one)
    answer(one, reply =>
      socket.send(typeof reply === 'string' ? reply : JSON.stringify(reply), from.port, from.address),
    )
  })
  socket.bind(0, address)
  await once(socket, 'listening')
  return {
    port: socket.address().port,
    asked,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}
