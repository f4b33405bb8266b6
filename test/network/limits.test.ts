/** Limits for strangers, hosts and users, and what an operator sees of them (protocol §10.3, §12.2), with real servers. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { limits } from '../../schemas/limits.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { tellStats } from '../../server/cli/operator/stats.ts'
import type { StatsResult } from '../../server/control/actions.ts'
import { runAction } from '../../server/control/client.ts'
import { openCore } from '../../server/core/core.ts'
import { verifyStore } from '../../server/verify/verify.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, handMessage, handUser } from '../support/hand.ts'
import { ownAddress } from '../support/loopback.ts'
import {
  connectAs,
  enrol,
  Network,
  type Person,
  type ServerChoices,
  type TestServer,
} from '../support/network.ts'
import { type RawEnd, type Received, rawTls, rawWebSocket } from '../support/raw.ts'

const quiet = { onProgress: () => undefined, signal: new AbortController().signal }
const dayMs = 86_400_000

describe('limits', () => {
  let network: Network
  let server: TestServer
  let lost: Person
  const ends: RawEnd[] = []

  async function serve(choices: ServerChoices['limits'] = {}): Promise<void> {
    server = await network.serve('lenore.org', { limits: { exempt: [], ...choices } })
  }

  beforeEach(async () => {
    network = await Network.start()
    await serve()
    lost = await enrol(server, 'lost@lenore.org')
  })

  afterEach(async () => {
    for (const end of ends.splice(0)) end.close()
    await network[Symbol.asyncDispose]()
  })

  async function dial(): Promise<RawEnd> {
    const end = await rawTls(server.address, server.port, 'lenore.org')
    ends.push(end)
    return end
  }

  /** A session of a domain, and the frame with which its hello was answered. */
  async function callAs(domain: HandDomain): Promise<{ end: RawEnd; reply: Received }> {
    const end = await dial()
    const reply = await end.hello('lenore.org', { as: domain.name, signer: domain.signer })
    return { end, reply }
  }

  /** Hands over so many messages at once, and gives what became of them. */
  async function flood(end: RawEnd, domain: HandDomain, count: number): Promise<Received[]> {
    const writer = handUser(domain, `edgar@${domain.name}`, network.clock.now())
    const start = ++lastN
    lastN += count
    const numbers = Array.from({ length: count }, (_, at) => start + at)
    for (const n of numbers) {
      const nowMs = network.clock.now()
      const object = handMessage(writer, [lost.address], {
        createdAt: new Date(nowMs).toISOString(),
        version: nowMs,
      })
      end.sendFrame({ verb: 'describe', n, object, for: [lost.address] })
    }
    return Promise.all(numbers.map(n => end.answer(n)))
  }
  let lastN = 0

  const countOf = (answers: readonly Received[], outcome: string): number =>
    answers.filter(answer => answer.outcome === outcome).length

  async function stats(): Promise<StatsResult> {
    return (await runAction(server.config.file, 'stats', {}, quiet)) as StatsResult
  }

  async function refusedBy(limit: string): Promise<unknown> {
    const report = (await stats()).limits.find(each => each.limit === limit)
    return report && { refused: report.refused, top: report.top }
  }

  const linesOf = (limit: string): unknown[] =>
    server.log
      .filter(({ event, record }) => event === 'limit.refused' && record.limit === limit)
      .map(({ record: { who, refused } }) => [who, refused])

  async function write(client: Connection, to: readonly string[], members: object = {}) {
    const id = mintId(parseAddress(lost.address), Date.now())
    const draft = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [...to], ...members }
    return client.describe({ object: draft })
  }

  const strangers = (count: number, name = 's'): string[] =>
    Array.from({ length: count }, (_, at) => `${name}${at}@raven.example`)

  it('let a domain that floods have its part, and all others theirs', async () => {
    const client = await connectAs(server, lost)
    const whitelist = ['*@poe.net']
    await client.describe({ object: { id: 'user.lost@lenore.org', kind: 'user', whitelist } })
    const [poe, raven] = [network.hand('poe.net'), network.hand('raven.example')]
    const [known, unknown] = [await callAs(poe), await callAs(raven)]
    const [flooded, sent] = await Promise.all([flood(unknown.end, raven, 400), flood(known.end, poe, 100)])
    assert.equal(countOf(sent, 'stored'), 100)
    assert.equal(countOf(flooded, 'stored'), limits.unknownPeerBurst / limits.newPeerShare)
    const refused = flooded.filter(({ outcome }) => outcome !== 'stored')
    assert.equal(refused.length, 350)
    for (const { outcome, code, retryAfterMs } of refused) {
      assert.deepEqual([outcome, code], ['busy', 'FMTP_RATE'])
      assert.ok(Number(retryAfterMs) > 0 && Number(retryAfterMs) <= 10_000, `${retryAfterMs}`)
    }
    const top = [{ who: 'raven.example', refused: 350 }]
    assert.deepEqual(await refusedBy('newPeerObjects'), { refused: 350, top })
    assert.deepEqual(linesOf('newPeerObjects'), [['raven.example', 1]])
    assert.ok(!server.log.some(({ event }) => event === 'answer.refused'))
    client.close()
  })

  it('are wider for a domain that is not new any more, and that outlives a restart', async () => {
    const raven = network.hand('raven.example')
    await callAs(raven)
    network.clock.advance(dayMs)
    await waitUntil('it is noted', async () => (await stats()).since !== '')
    await network.stop('lenore.org')
    await serve()
    const { end } = await callAs(raven)
    const answers = await flood(end, raven, 250)
    assert.equal(countOf(answers, 'stored'), limits.unknownPeerBurst)
    assert.equal(countOf(answers, 'busy'), 50)
    const young = network.hand('bells.example')
    const other = await callAs(young)
    assert.equal(countOf(await flood(other.end, young, 60), 'stored'), 50)
    // The line of a minute later tells what came meanwhile.
    network.clock.advance(60_000)
    await flood(end, raven, 1)
    assert.deepEqual(linesOf('peerObjects'), [
      ['raven.example', 1],
      ['raven.example', 50],
    ])
  })

  it('hold for the sessions of a domain and its users together, and say when to come again', async () => {
    const raven = network.hand('raven.example')
    const alice = handUser(raven, 'alice@raven.example')
    const asAlice = { as: alice.address, signer: alice.signer, credential: alice.credential }
    const first = await callAs(raven)
    for (let more = 1; more < limits.sessionsPerPeer; more++) {
      const end = await dial()
      assert.equal((await end.hello('lenore.org', asAlice)).verb, 'hello')
    }
    for (const who of [asAlice, { as: raven.name, signer: raven.signer }]) {
      const end = await dial()
      await end.hello('lenore.org', who)
      const goodbye = await end.next(({ verb }) => verb === 'goodbye')
      assert.deepEqual([goodbye.code, goodbye.retryAfterMs], ['FMTP_RATE', limits.sessionRetryMs])
      await end.closed()
    }
    assert.equal((await callAs(network.hand('bells.example'))).reply.verb, 'hello')
    assert.deepEqual(await refusedBy('peerSessions'), {
      refused: 2,
      top: [{ who: 'raven.example', refused: 2 }],
    })
    // Those that were refused were not counted.
    first.end.close()
    const { end } = await waitUntil('there is room', async () => {
      const again = await callAs(raven)
      await new Promise(resolve => setTimeout(resolve, 50))
      return again.end.isClosed ? undefined : again
    })
    const [answer] = await flood(end, raven, 1)
    assert.equal(answer?.outcome, 'stored')
  })

  it('hold for the connections of a host, by TCP and by WebSocket', async () => {
    await network.stop('lenore.org')
    await serve({ connectionsPerHost: 3 })
    const held = [await dial(), await dial(), await rawWebSocket(server.origin)]
    ends.push(...held)
    const over = await dial()
    const goodbye = await over.next()
    assert.deepEqual([goodbye.verb, goodbye.code], ['goodbye', 'FMTP_RATE'])
    assert.equal(goodbye.retryAfterMs, limits.sessionRetryMs)
    await over.closed()
    const webSocket = await rawWebSocket(server.origin)
    assert.equal(await webSocket.goodbye(), 'FMTP_RATE')
    assert.deepEqual(await refusedBy('hostConnections'), {
      refused: 2,
      top: [{ who: '127.0.0.1', refused: 2 }],
    })
    held[0]?.close()
    await waitUntil(
      'there is room',
      async () => (await callAs(network.hand('poe.net'))).reply.verb === 'hello',
    )
  })

  it('let a user write to 200 strangers a day, also after a restart, and to all others', async () => {
    network.hand('raven.example')
    let client = await connectAs(server, lost)
    const all = strangers(200)
    for (let at = 0; at < 199; at += 50)
      assert.equal((await write(client, all.slice(at, Math.min(at + 50, 199)))).outcome, 'stored')
    assert.equal((await write(client, ['x1@raven.example', 'x2@raven.example'])).code, 'FMTP_RATE')
    // Who was refused was not counted.
    assert.equal((await write(client, all.slice(190))).outcome, 'stored')
    client.close()

    await network.stop('lenore.org')
    await serve()
    client = await connectAs(server, lost)
    const { outcome, code, retryAfterMs } = await write(client, ['x1@raven.example'])
    assert.deepEqual([outcome, code], ['busy', 'FMTP_RATE'])
    const nowMs = network.clock.now()
    const leftMs = dayMs - (nowMs % dayMs)
    assert.ok(Math.abs(Number(retryAfterMs) - leftMs) < 5000, `${retryAfterMs} of ${leftMs}`)
    assert.equal((await write(client, all.slice(0, 100))).outcome, 'stored')
    assert.equal((await write(client, strangers(201, 'y'))).code, 'FMTP_TOO_MANY_RECIPIENTS')
    assert.deepEqual(await refusedBy('newRecipients'), {
      refused: 1,
      top: [{ who: lost.address, refused: 1 }],
    })
    const other = await enrol(server, 'alice@lenore.org')
    const alice = await connectAs(server, other)
    const id = mintId(parseAddress(other.address), Date.now())
    const draft = { id, kind: 'message', format: 'text/plain', body: '…', to: ['x1@raven.example'] }
    assert.equal((await alice.describe({ object: draft })).outcome, 'stored')
    alice.close()

    // Who wrote first is no stranger.
    const bells = network.hand('bells.example')
    const { end } = await callAs(bells)
    const bob = handUser(bells, 'bob@bells.example')
    const question = handMessage(bob, [lost.address])
    const asked = { verb: 'describe', n: 1, object: question, for: [lost.address] }
    assert.equal((await end.ask(asked)).outcome, 'stored')
    assert.equal((await write(client, [bob.address], { parent: question.id })).outcome, 'stored')
    assert.equal((await write(client, [bob.address, 'x1@raven.example'])).code, 'FMTP_RATE')

    network.clock.advance(leftMs)
    assert.equal((await write(client, ['x1@raven.example'])).outcome, 'stored')
    client.close()
    await network.stop('lenore.org')
    await using core = await openCore(server.config)
    const found = await verifyStore(core, quiet)
    assert.deepEqual(found.codes, {})
  })

  it('count the messages that are written at once one after the other', async () => {
    await network.stop('lenore.org')
    await serve({ newRecipientsPerDay: 10 })
    const client = await connectAs(server, lost)
    const answers = await Promise.all(strangers(30).map(to => write(client, [to])))
    assert.equal(answers.filter(({ outcome }) => outcome === 'stored').length, 10)
    assert.equal(answers.filter(({ code }) => code === 'FMTP_RATE').length, 20)
    client.close()
  })

  it('do not hold for networks that are exempt', async () => {
    await network.stop('lenore.org')
    const tight = { unknownPeerPerSecond: 1, unknownPeerBurst: 1, sessionsPerPeer: 1, connectionsPerHost: 1 }
    await serve({ exempt: ['127.0.0.0/8'], newRecipientsPerDay: 1, ...tight })
    const raven = network.hand('raven.example')
    const { end } = await callAs(raven)
    assert.equal((await callAs(raven)).reply.verb, 'hello')
    assert.equal(countOf(await flood(end, raven, 20), 'stored'), 20)
    const client = await connectAs(server, lost)
    assert.equal((await write(client, strangers(5))).outcome, 'stored')
    client.close()
    assert.deepEqual((await stats()).limits, [])
    assert.match(tellStats(await stats()), /^no limit refused anything since 20/)
  })

  describe('of failing domains', () => {
    let client: Connection
    let poe: HandDomain

    beforeEach(async () => {
      client = await connectAs(server, lost)
      poe = network.hand('poe.net')
      network.publish({ domain: 'poe.net', address: ownAddress(201) }, poe.record, await closedPort())
    })

    afterEach(() => client.close())

    async function lookUp(local: string): Promise<Received> {
      const { answer } = await client.request({ address: `${local}@poe.net`, effort: 'lookup' })
      return answer
    }

    const dials = (): number =>
      server.log.filter(({ event, record }) => event === 'route' && record.what === 'connect').length

    async function fail(): Promise<void> {
      for (let at = 0; at < limits.breakerFailures; at++)
        assert.equal((await lookUp(`a${at}`)).code, 'FMTP_CONNECT_FAILED')
      assert.equal(dials(), limits.breakerFailures)
    }

    it('hold back what is looked up, tell when it is worth it again, and end with a hello', async () => {
      await fail()
      const { outcome, code, retryAfterMs } = await lookUp('b')
      assert.deepEqual([outcome, code], ['unreachable', 'FMTP_RESTING'])
      assert.ok(Number(retryAfterMs) > limits.breakerMs - 60_000 && Number(retryAfterMs) <= limits.breakerMs)
      assert.equal(dials(), limits.breakerFailures)
      const { heldBack } = await stats()
      assert.deepEqual(
        heldBack.map(({ domain }) => domain),
        ['poe.net'],
      )
      assert.match(tellStats(await stats()), /poe\.net {2}until 20/)
      const { end } = await callAs(poe)
      end.close()
      await end.closed()
      await waitUntil(
        'it is dialled again',
        async () => (await lookUp(`c${Math.random()}`)).code === 'FMTP_CONNECT_FAILED',
      )
      assert.deepEqual((await stats()).heldBack, [])
    })

    it('hold back no delivery', async () => {
      await fail()
      assert.equal((await lookUp('b')).code, 'FMTP_RESTING')
      await write(client, ['edgar@poe.net'])
      const { record } = await waitUntil('it was tried', () =>
        server.log.find(({ event }) => event === 'deliver.unreachable'),
      )
      assert.equal(record.code, 'FMTP_CONNECT_FAILED')
      assert.equal(dials(), limits.breakerFailures + 1)
    })

    it('end by themselves after ten minutes, and count anew', async () => {
      await fail()
      network.clock.advance(limits.breakerMs)
      assert.equal((await lookUp('b')).code, 'FMTP_CONNECT_FAILED')
      assert.equal((await lookUp('c')).code, 'FMTP_CONNECT_FAILED')
    })

    it('do not count failures that are far apart', async () => {
      for (let at = 0; at < 2 * limits.breakerFailures; at++) {
        assert.equal((await lookUp(`a${at}`)).code, 'FMTP_CONNECT_FAILED')
        network.clock.advance(limits.breakerMs / (limits.breakerFailures - 1))
      }
    })
  })
})

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, ownAddress(201), resolve))
  const { port } = other.address() as { port: number }
  await new Promise(resolve => other.close(resolve))
  return port
}
