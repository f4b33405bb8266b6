/**
 * How many times a lookup goes there and back: every answer of the name server and every byte on the way comes late by the same
 * time, so that the time of a lookup counts them. The handshake of TCP is the kernel's, which nothing here can delay, and is added.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { PassThrough, pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../client/connection.ts'
import { connectAs, enrol, Network } from '../test/support/network.ts'
import { type Figure, figure } from './figure.ts'

const tripMs = 200
const slowAddress = '127.77.20.10'
const tcpHandshake = 1

export async function measureTrips(): Promise<Figure[]> {
  await using network = await Network.start({ lateMs: tripMs })
  const poe = await network.serve('poe.net')
  const lenore = await network.serve('lenore.org')
  for (const name of ['lost', 'bob']) await enrol(lenore, `${name}@lenore.org`)
  await using slow = await slowly({ host: lenore.address, port: lenore.port })
  network.zone.set('slow.lenore.org', 'A', [slowAddress])
  network.zone.set('_fmtp._tcp.lenore.org', 'SRV', [`0 5 ${slow.port} slow.lenore.org`])
  network.zone.fail('_fmtp._tcp.lenore.org', 'SRV', 'late')
  network.zone.fail('fmtpkey.lenore.org', 'TXT', 'late')
  for (const type of ['A', 'AAAA'] as const) network.zone.fail('slow.lenore.org', type, 'late')
  const raven = await network.serve('raven.example')
  await enrol(raven, 'bob@raven.example')
  const client = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
  // Code that runs for the first time takes as long as part of a trip.
  await tripsOf(client, 'bob@raven.example')
  const cold = await tripsOf(client, 'lost@lenore.org')
  const warm = await tripsOf(client, 'bob@lenore.org')
  const cache = await tripsOf(client, 'lost@lenore.org')
  client.close()
  return [
    figure('lookup/cache-trips', cache, 'round trips'),
    figure('lookup/warm-trips', warm, 'round trips'),
    figure('lookup/cold-trips', cold + tcpHandshake, 'round trips'),
  ]
}

async function tripsOf(client: Connection, address: string): Promise<number> {
  const startMs = performance.now()
  const { answer } = await client.request({ address, effort: 'lookup' })
  if (answer.outcome !== 'found') throw new Error(`${address}: ${JSON.stringify(answer)}`)
  return Math.round((performance.now() - startMs) / tripMs)
}

/** A host that passes everything on half a trip later, in either direction. */
async function slowly(to: { readonly host: string; readonly port: number }) {
  const sockets = new Set<Socket>()
  const late = (from: Socket, target: Socket): void => {
    const line = new PassThrough()
    // One after the other, each so late: the order stays.
    from.on('data', chunk => void sleep(tripMs / 2).then(() => line.write(chunk)))
    pipeline(line, target, () => undefined)
  }
  const server = createServer(near => {
    const far = connect(to)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => socket.destroy())
    }
    late(near, far)
    late(far, near)
  })
  server.listen(0, slowAddress)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
