/**
 * Connections that are kept while they are of use (protocol §4.7): one whose other end is gone is found out, one of no use
 * goes without harm, and there are never too many. Sockets are real; time passes when the test says so.
 */
import assert from 'node:assert/strict'
import type { TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import type { Connection } from '../../client/connection.ts'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { limits } from '../../schemas/limits.ts'
import { Liveness } from '../../server/protocol/keepalive.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, handUser } from '../support/hand.ts'
import { handServer, knowsNobody } from '../support/hand-server.ts'
import {
  connectAs,
  enrol,
  Network,
  type Person,
  type ServerChoices,
  type TestServer,
} from '../support/network.ts'
import { handPeer } from '../support/peer-by-hand.ts'
import { type RawEnd, rawTls, rawWebSocket } from '../support/raw.ts'
import { type StallingProxy, stallingProxy } from '../support/stalling-proxy.ts'

const annabel = 'annabel@raven.example'

const isPing = ({ verb, address, id, list }: Readonly<Record<string, unknown>>): boolean =>
  verb === 'request' && address === undefined && id === undefined && list === undefined

describe('connections', function () {
  this.timeout(30_000)
  let network: Network
  let poe: TestServer
  let edgar: Person
  let client: Connection
  /** A guest of poe.net that asks now and then. */
  let witness: RawEnd | undefined
  let asked = 0
  const open: (AsyncDisposable | { close(): void })[] = []

  async function start(choices: ServerChoices['limits']): Promise<void> {
    poe = await network.serve('poe.net', { limits: choices ?? {} })
    edgar = await enrol(poe, 'edgar@poe.net')
    client = keep(await connectAs(poe, edgar))
  }

  function keep<T extends AsyncDisposable | { close(): void }>(one: T): T {
    open.push(one)
    return one
  }

  async function hello(domain: HandDomain): Promise<RawEnd> {
    const end = keep(await rawTls(poe.address, poe.port, 'poe.net'))
    const said = await end.hello('poe.net', { as: domain.name, signer: domain.signer })
    if (said.verb !== 'hello') throw new Error(String(said.code))
    return end
  }

  /** Answers pings at once, until it is told to stop. */
  function alive(end: RawEnd): { isAlive: boolean; pings: number } {
    const state = { isAlive: true, pings: 0 }
    end.onFrame = frame => {
      if (!isPing(frame)) return false
      state.pings++
      if (state.isAlive) end.sendFrame({ verb: 'answer', re: frame.n, outcome: 'found' })
      return true
    }
    return state
  }

  /** What is on its way has come, and has been answered by who answers at once: a round trip later. */
  async function settle(): Promise<void> {
    if (witness === undefined) {
      witness = keep(await rawTls(poe.address, poe.port, 'poe.net'))
      await witness.hello('poe.net')
    }
    await witness.ask({ verb: 'request', n: ++asked, address: edgar.address })
  }

  /** Time passes, in steps so small that nobody is given up who answers. */
  async function pass(ms: number, stepMs = 2500): Promise<void> {
    await settle()
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      network.clock.elapse(Math.min(stepMs, ms - passedMs))
      await settle()
    }
  }

  const look = async (id: string) =>
    (await client.request({ ...(id.startsWith('user.') ? { id } : { address: id }), effort: 'lookup' }))
      .answer
  const said = (server: TestServer, event: string) => server.log.filter(each => each.event === event)
  const goodbyeOf = (end: RawEnd) => end.next(({ verb }) => verb === 'goodbye')

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(async () => {
    witness = undefined
    for (const one of open.splice(0).reverse())
      await ('close' in one ? one.close() : one[Symbol.asyncDispose]())
    await network[Symbol.asyncDispose]()
  })

  describe('to a host that is gone without a word', () => {
    let lenore: TestServer
    let proxy: StallingProxy
    // Three pings come before an answer is late.
    const [pingAfterMs, pongMs] = [9000, 12_000]
    /** A session looks as often as this, so that what is due may wait for so long. */
    const lookMs = Liveness.tickMs({ pingAfterMs, pongMs })

    beforeEach(async () => {
      await start({ pingAfterMs, pongMs })
      lenore = await network.serve('lenore.org')
      for (const address of ['lost@lenore.org', 'alice@lenore.org']) await enrol(lenore, address)
      proxy = keep(await stallingProxy('127.77.2.9', lenore))
      const { record } = [...lenore.running.domains.values()][0]?.current ?? { record: '' }
      network.publish({ domain: 'lenore.org', address: '127.77.2.9' }, record, proxy.port)
    })

    it('are found out, and what was asked over them is asked again over another', async () => {
      assert.equal((await look('lost@lenore.org')).outcome, 'found')
      proxy.stall()
      const looking = look('alice@lenore.org')
      await pass(pingAfterMs)
      assert.deepEqual([proxy.connections, said(poe, 'session.silent')], [1, []], 'it still has time')
      await pass(pongMs + 2 * lookMs)
      const answer = await looking
      assert.equal(answer.outcome, 'found', answer.code)
      assert.equal(proxy.connections, 2)
      assert.equal(said(poe, 'session.silent').length, 1)
    })

    it('are found out before anybody needs them', async () => {
      await look('lost@lenore.org')
      proxy.stall()
      await pass(pingAfterMs + pongMs + 2 * lookMs)
      assert.equal(said(poe, 'session.silent').length, 1)
      const startMs = network.clock.steadyMs()
      assert.equal((await look('alice@lenore.org')).outcome, 'found')
      assert.ok(network.clock.steadyMs() - startMs < pongMs, 'nobody waited for it')
    })

    it('hold back no message for long', async () => {
      await look('lost@lenore.org')
      proxy.stall()
      const object = { id: 'm1.edgar@poe.net', kind: 'message', format: 'text/plain', body: 'Nevermore' }
      await client.describe({ object: { ...object, to: ['lost@lenore.org'] } })
      await pass(pingAfterMs + pongMs + 2 * lookMs)
      assert.equal(said(poe, 'session.silent').length, 1)
      await waitUntil('it is there', () => {
        network.clock.advance(61_000)
        return lenore.running.store.findObject('m1.edgar@poe.net') !== undefined
      })
    })

    it('are all in doubt where one of them is found out, and a new one is made', async () => {
      const sockets = new Set<TLSSocket>()
      const certificate = await makeCertificate('raven.example', Date.now())
      const raven = keep(
        await handServer(
          network,
          { name: 'raven.example', address: '127.77.2.10', ...certificate },
          (_, socket) => {
            sockets.add(socket)
            return knowsNobody
          },
        ),
      )
      assert.equal((await look(annabel)).outcome, 'absent')
      const [called] = sockets
      const newer = await hello(raven.domain)
      const { answer } = raven
      raven.answer = (frame, socket) => (socket === called ? undefined : answer(frame, socket))
      // It is heard from last, so that the newer one is found out first, which is asked first.
      await settle()
      network.clock.elapse(pingAfterMs - lookMs)
      called?.write('{"verb":"request","n":1}\n')
      const looking = look('bob@raven.example')
      await newer.next(({ address }) => address === 'bob@raven.example')
      await pass(2 * lookMs)
      await newer.next(isPing)
      await pass(pongMs + lookMs)
      const { outcome, code } = await looking
      assert.equal(outcome, 'absent', code)
      assert.equal(sockets.size, 2)
      assert.equal(newer.isClosed, true)
      await pass(pongMs + lookMs)
      await waitUntil('the other one too', () => called?.readyState !== 'open')
    })

    it('stay while the other side answers pings, however slow its work is', async () => {
      const raven = network.hand('raven.example')
      const end = await hello(raven)
      const state = alive(end)
      const object = { id: 'm2.edgar@poe.net', kind: 'message', format: 'text/plain', body: 'Nevermore' }
      await client.describe({ object: { ...object, to: [annabel] } })
      await end.next(({ verb }) => verb === 'describe')
      await pass(3 * (pingAfterMs + lookMs))
      assert.ok(state.pings >= 3, `${state.pings} pings`)
      assert.equal(end.isClosed, false)
      state.isAlive = false
      await pass(pingAfterMs + pongMs + 2 * lookMs)
      await end.closed()
    })
  })

  it('answer a ping with found, to a guest too', async () => {
    await start({})
    const guest = keep(await rawTls(poe.address, poe.port, 'poe.net'))
    await guest.hello('poe.net')
    assert.deepEqual(await guest.ask({ verb: 'request', n: 7 }), { verb: 'answer', re: 7, outcome: 'found' })
    assert.equal((await guest.ask({ verb: 'request', n: 8, follow: true })).code, 'FMTP_BAD_FRAME')
  })

  it('end where the other side says no hello, over TCP and over WebSocket', async () => {
    await start({})
    const ends = [keep(await rawTls(poe.address, poe.port, 'poe.net')), keep(await rawWebSocket(poe.origin))]
    await pass(limits.helloMs - 1000)
    assert.deepEqual(
      ends.map(end => end.isClosed),
      [false, false],
    )
    await pass(1000)
    for (const end of ends) assert.equal(await end.goodbye(), 'FMTP_HELLO_TIMEOUT')
  })

  it('are put to the test when the same domain says hello again', async () => {
    // All is over before pings come by themselves, and before those that were in doubt are put away as of no use.
    const soon = { pingAfterMs: 30_000, pongMs: 4000 }
    await start(soon)
    const tickMs = Liveness.tickMs(soon)
    const raven = network.hand('raven.example')
    const [first, second] = [await hello(raven), await hello(raven)]
    const state = alive(second)
    await pass(tickMs)
    await first.next(isPing)
    assert.equal(first.isClosed, false)
    await pass(soon.pongMs + tickMs)
    await first.closed()
    assert.deepEqual([second.isClosed, state.pings], [false, 0])
    const third = await hello(raven)
    await pass(tickMs)
    assert.equal(state.pings, 1, 'the second is asked')
    await pass(soon.pongMs + tickMs)
    assert.deepEqual([second.isClosed, third.isClosed], [false, false], 'it answered')
  })

  it('that answered lately are used before newer ones that did not', async () => {
    // All is over before the first, which was in doubt, is put away as of no use.
    const soon = { pingAfterMs: 5000, pongMs: 15_000 }
    await start(soon)
    const raven = network.hand('raven.example')
    const [first, second] = [await handPeer(poe, raven), await handPeer(poe, raven)]
    for (const { end } of [first, second]) keep(end)
    alive(first.end)
    await pass(soon.pingAfterMs + Liveness.tickMs(soon))
    await second.end.next(isPing)
    await pass(soon.pongMs / 15)
    const object = { id: 'm3.edgar@poe.net', kind: 'message', format: 'text/plain', body: 'Nevermore' }
    await client.describe({ object: { ...object, to: [annabel] } })
    await waitUntil('it came', () => first.messages().length === 1)
    assert.equal(second.messages().length, 0)
  })

  it('over WebSocket end when the other side leaves a ping of the transport unanswered', async () => {
    // All is over before a hello is late.
    await start({ pingAfterMs: 2000, pongMs: 2000 })
    const url = `${poe.origin.replace('http', 'ws')}/fmtp`
    const [mute, answering] = [
      new WebSocket(url, ['fmtp.1'], { autoPong: false }),
      new WebSocket(url, ['fmtp.1']),
    ]
    const pings = { mute: 0, answering: 0 }
    keep(mute).on('ping', () => pings.mute++)
    keep(answering).on('ping', () => pings.answering++)
    await waitUntil('both are open', () =>
      [mute, answering].every(({ readyState }) => readyState === WebSocket.OPEN),
    )
    await pass(2000, 500)
    assert.deepEqual(pings, { mute: 1, answering: 1 })
    assert.equal(mute.readyState, WebSocket.OPEN)
    await pass(2000, 500)
    await waitUntil('the mute one is closed', () => mute.readyState === WebSocket.CLOSED)
    await pass(4000, 500)
    assert.ok(pings.answering >= 3, `${pings.answering} pings`)
    assert.equal(answering.readyState, WebSocket.OPEN)
  })

  describe('of no use', () => {
    const idleMs = 20_000
    /** They are looked for as often as this. */
    const sweepMs = idleMs / 4

    beforeEach(() => start({ idleMs, pingAfterMs: 5000 }))

    it('go without harm, though pings went over them, and are made again when they are needed', async () => {
      const lenore = await network.serve('lenore.org')
      await enrol(lenore, 'lost@lenore.org')
      await enrol(lenore, 'alice@lenore.org')
      await waitUntil('the devices have gone', () => said(lenore, 'goodbye').length === 2)
      await look('lost@lenore.org')
      await pass(idleMs + sweepMs)
      const bye = await waitUntil('lenore is told', () => said(lenore, 'goodbye')[2])
      assert.equal(bye.record.code, undefined)
      assert.equal((await look('alice@lenore.org')).outcome, 'found')
      assert.equal(said(lenore, 'hello.verified').filter(({ record }) => record.as === 'poe.net').length, 2)
    })

    it('are those of guests who follow nothing, and never those of devices or with a follow', async () => {
      const raven = network.hand('raven.example')
      const [idle, following] = [
        await rawTls(poe.address, poe.port, 'poe.net'),
        await rawTls(poe.address, poe.port, 'poe.net'),
      ]
      for (const end of [idle, following]) {
        keep(end)
        await end.hello('poe.net')
      }
      const query = { verb: 'request', n: 1, list: { of: 'public', owner: 'edgar@poe.net' }, follow: true }
      assert.equal((await following.ask(query)).outcome, 'found')
      const peer = await hello(raven)
      const state = alive(peer)
      await pass(idleMs - sweepMs)
      assert.deepEqual([idle.isClosed, peer.isClosed], [false, false], 'they still have time')
      await pass(2 * sweepMs)
      assert.deepEqual(await goodbyeOf(idle), { verb: 'goodbye' })
      assert.deepEqual(await goodbyeOf(peer), { verb: 'goodbye' })
      assert.ok(state.pings > 0, 'pings are no use')
      await pass(idleMs + sweepMs)
      assert.equal(following.isClosed, false)
      assert.equal((await look('edgar@poe.net')).outcome, 'found', 'the device is still there')
    })

    it('are not those over which somebody waits for an answer', async () => {
      const raven = network.hand('raven.example')
      const peer = await hello(raven)
      alive(peer)
      const object = { id: 'm4.edgar@poe.net', kind: 'message', format: 'text/plain', body: 'Nevermore' }
      await client.describe({ object: { ...object, to: [annabel] } })
      await pass(2 * idleMs)
      assert.equal(peer.isClosed, false)
      const answerAll = async (): Promise<void> => {
        for (;;) {
          const { n, verb } = await peer.next(
            frame => frame.verb === 'describe' || frame.address !== undefined,
          )
          peer.sendFrame({ verb: 'answer', re: n, outcome: verb === 'describe' ? 'stored' : 'absent' })
        }
      }
      answerAll().catch(() => undefined)
      await waitUntil('it is delivered', () =>
        said(poe, 'deliver.answer').some(({ record }) => record.id === object.id),
      )
      await pass(idleMs + sweepMs)
      assert.deepEqual(await goodbyeOf(peer), { verb: 'goodbye' })
    })
  })

  describe('of which there are too many', () => {
    beforeEach(() => start({ connections: 3 }))

    it('make room: the one that was of no use for longest goes, never one with a follow', async () => {
      const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(name => network.hand(`${name}.example`))
      const query = { verb: 'request', list: { of: 'public', owner: 'edgar@poe.net' } }
      const following = await hello(a as HandDomain)
      await following.ask({ ...query, n: 1, follow: true })
      const [second, third] = [await hello(b as HandDomain), await hello(c as HandDomain)]
      await second.ask({ ...query, n: 1 })
      const fourth = await hello(d as HandDomain)
      assert.deepEqual(await goodbyeOf(third), { verb: 'goodbye' })
      assert.deepEqual([following.isClosed, second.isClosed, fourth.isClosed], [false, false, false])
    })

    it('refuse who comes when all are at work, and our own calls are made all the same', async () => {
      const query = { verb: 'request', n: 1, list: { of: 'public', owner: 'edgar@poe.net' }, follow: true }
      const ends: RawEnd[] = []
      for (const name of ['a', 'b', 'c']) {
        const end = await hello(network.hand(`${name}.example`))
        await end.ask(query)
        ends.push(end)
      }
      const late = keep(await rawTls(poe.address, poe.port, 'poe.net'))
      const raven = network.hand('raven.example')
      await late.hello('poe.net', { as: raven.name, signer: raven.signer })
      const { code, retryAfterMs } = await goodbyeOf(late)
      assert.deepEqual([code, retryAfterMs], ['FMTP_RATE', 60_000])
      const another = keep(await rawTls(poe.address, poe.port, 'poe.net'))
      const { signer, credential } = handUser(raven, annabel)
      await another.hello('poe.net', { as: annabel, signer, credential })
      assert.equal((await goodbyeOf(another)).code, 'FMTP_RATE', 'users count as their servers do')
      const lenore = await network.serve('lenore.org')
      await enrol(lenore, 'lost@lenore.org')
      assert.equal((await look('lost@lenore.org')).outcome, 'found')
      assert.deepEqual(
        ends.map(end => end.isClosed),
        [false, false, false],
      )
    })
  })
})
