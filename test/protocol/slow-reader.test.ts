/**
 * A reader that leaves 1 MiB unread for 30 s is dropped, and nobody sooner (protocol §4.3). The session looks every few
 * seconds by a clock that the test moves; sockets are real.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { limits } from '../../schemas/limits.ts'
import { waitUntil } from '../support/conditions.ts'
import { enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { type RawEnd, rawTls, rawWebSocket } from '../support/raw.ts'

const lookMs = limits.unreadMs / 6
/** More than the buffers of both kernels and 1 MiB together. */
const requests = 100

describe('a slow reader', () => {
  let network: Network
  let server: TestServer
  let lost: Person

  before(async () => {
    network = await Network.start()
    // Who reads nothing answers no ping either, which is not what is looked at here.
    server = await network.serve('lenore.org', { limits: { pingAfterMs: 3_600_000 } })
    lost = await enrol(server, 'lost@lenore.org')
  })

  after(() => network[Symbol.asyncDispose]())

  const transports: readonly (readonly [string, () => Promise<RawEnd>])[] = [
    ['tcp', () => rawTls(server.address, server.port, server.domain)],
    ['websocket', () => rawWebSocket(server.origin)],
  ]
  for (const [transport, open] of transports) {
    it(`over ${transport} is dropped when its 30 s are over, and not before`, async () => {
      const end = await open()
      await end.hello('lenore.org', { as: lost.address, ...lost })
      const id = '1763629200000-k3v7q2m5x4ab.lost@lenore.org'
      const object = {
        id,
        kind: 'message',
        format: 'text/plain',
        to: [lost.address],
        body: 'x'.repeat(250_000),
      }
      const described = await end.ask({ verb: 'describe', n: 1, object })
      assert.ok(described.outcome === 'stored' || described.outcome === 'duplicate')
      const closes = (): number => server.log.filter(({ event }) => event === 'session.closed').length
      const before = closes()
      end.pause()
      for (let n = 2; n < requests; n++) end.sendFrame({ verb: 'request', n, id })
      // Until the kernels have what they take.
      await sleep(150)
      for (let passedMs = 0; passedMs < limits.unreadMs - lookMs; passedMs += lookMs)
        network.clock.elapse(lookMs)
      assert.equal(closes(), before, 'it still has time')
      network.clock.elapse(2 * lookMs)
      await waitUntil('it is dropped', () => closes() > before)
      assert.equal(
        server.log.findLast(({ event }) => event === 'session.closed')?.record.code,
        'FMTP_SLOW_READER',
      )
      end.close()
    })
  }

  it('that reads in between keeps its connection', async () => {
    const end = await rawTls(server.address, server.port, server.domain)
    await end.hello('lenore.org', { as: lost.address, ...lost })
    const id = '1763629200000-k3v7q2m5x4ab.lost@lenore.org'
    end.pause()
    for (let n = 2; n < requests; n++) end.sendFrame({ verb: 'request', n, id })
    await sleep(100)
    network.clock.elapse(limits.unreadMs - lookMs)
    end.resume()
    await Promise.all(Array.from({ length: requests - 2 }, (_, at) => end.answer(at + 2)))
    for (let looks = 0; looks < 12; looks++) network.clock.elapse(lookMs)
    assert.equal((await end.ask({ verb: 'request', n: 1, id })).outcome, 'found')
    end.close()
  })
})
