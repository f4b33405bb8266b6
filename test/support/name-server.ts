/**
 * A name server of hand-made bytes for tests: it says exactly what a test wants on the wire, wrong or right,
 * which a server over a codec never would.
 */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

const headBytes = 12

export interface NameServer extends AsyncDisposable {
  /** `ip:port`, as createResolver takes it. */
  readonly server: string
  /** The queries so far, as received. */
  readonly queries: Buffer[]
}

/** Answers each query on this address with all the messages that `answer` gives for it. */
export async function serveBytes(
  address: string,
  answer: (query: Buffer, from: 'udp' | 'tcp') => readonly Buffer[],
): Promise<NameServer> {
  const tcp = createServer()
  const udp = createSocket('udp4')
  const queries: Buffer[] = []
  const connections = new Set<Socket>()
  udp.on('message', (query, from) => {
    queries.push(query)
    for (const message of answer(query, 'udp')) udp.send(message, from.port, from.address)
  })
  tcp.on('connection', socket => {
    connections.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', chunk => {
      for (const message of answer(chunk.subarray(2), 'tcp')) {
        const length = Buffer.alloc(2)
        length.writeUInt16BE(message.length)
        socket.write(Buffer.concat([length, message]))
      }
    })
  })
  udp.bind(0, address)
  await once(udp, 'listening')
  tcp.listen(udp.address().port, address)
  await once(tcp, 'listening')
  return {
    server: `${address}:${(tcp.address() as AddressInfo).port}`,
    queries,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy()
      const closed = [once(udp, 'close'), once(tcp, 'close')]
      udp.close()
      tcp.close()
      await Promise.all(closed)
    },
  }
}

export interface ReplyParts {
  /** Octets 2 and 3 of the header. Default: an answer of a resolver, NOERROR. */
  readonly flags?: number
  readonly answers?: readonly Buffer[]
  readonly authorities?: readonly Buffer[]
  /** Octets in place of the question of the query. */
  readonly question?: Buffer
}

/** An answer to this query. */
export function reply(query: Buffer, parts: ReplyParts = {}): Buffer {
  const { flags = 0x8180, answers = [], authorities = [] } = parts
  const question = parts.question ?? questionOf(query)
  const head = Buffer.alloc(headBytes)
  query.copy(head, 0, 0, 2)
  head.writeUInt16BE(flags, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(answers.length, 6)
  head.writeUInt16BE(authorities.length, 8)
  return Buffer.concat([head, question, ...answers, ...authorities])
}

/** The question section of a query with one question. */
export function questionOf(query: Buffer): Buffer {
  let at = headBytes
  while (query.readUInt8(at) !== 0) at += query.readUInt8(at) + 1
  return Buffer.from(query.subarray(headBytes, at + 5))
}

/** A record of the name in the question, or of `name` in wire form. */
export function record(
  type: number,
  rdata: Buffer,
  ttlSeconds = 300,
  name: Buffer = Buffer.from([0xc0, 0x0c]),
): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(1, 2)
  fixed.writeUInt32BE(ttlSeconds, 4)
  fixed.writeUInt16BE(rdata.length, 8)
  return Buffer.concat([name, fixed, rdata])
}

/** Rdata of a TXT record with one string. */
export function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
}

/** A name in wire form. */
export function wireName(name: string): Buffer {
  return Buffer.concat([...name.split('.').map(text), Buffer.from([0])])
}
