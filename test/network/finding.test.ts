/**
 * All ways of finding at once: parents and children, datagrams, connections that end when they are of no use, and the trace that
 * shows each rung (protocol §4.7, §10.2, §10.7).
 */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { runAction } from '../../server/control/client.ts'
import type { TraceResult } from '../../server/operator/tracer.ts'
import { ask, clientAt, linked, serveBehind, stepsOf } from '../support/family.ts'
import { enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const [hq, region] = ['poe.net', 'region.poe.net'] as const
const idleMs = 20_000

describe('finding, in all ways at once', function () {
  this.timeout(60_000)
  let network: Network
  let poe: TestServer
  let regional: TestServer
  let lenore: TestServer
  const clients: Connection[] = []

  before(async () => {
    network = await Network.start()
    const limits = { idleMs }
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'], limits })
    lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq], udp: true })
    const port = lenore.running.udp[0]?.port
    network.zone.set('_fmtp._udp.lenore.org', 'SRV', [`0 5 ${port} fmtp.lenore.org`])
    regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq], limits })
    await linked(regional, hq)
    for (const local of ['lost', 'bob', 'alice']) await enrol(lenore, `${local}@lenore.org`)
    for (const local of ['edgar', 'annabel']) await enrol(regional, `${local}@${region}`)
  })

  after(async () => {
    for (const client of clients.splice(0)) client.close()
    await network[Symbol.asyncDispose]()
  })

  const clientOf = (server: TestServer, local: string): Promise<Connection> =>
    clientAt(server, local, clients)

  const trace = (server: TestServer, address: string) =>
    runAction(
      server.config.file,
      'trace',
      { address },
      { onProgress: () => undefined, signal: new AbortController().signal },
    ) as Promise<TraceResult>
  const told = ({ lookup }: TraceResult) =>
    lookup.steps.map(({ rung, what, outcome }) => `${rung} ${what} ${outcome}`)
  const rungsOf = ({ lookup }: TraceResult) => [...new Set(lookup.steps.map(({ rung }) => rung))]

  it('asks by a datagram behind the cache of the parent and before a connection, for a child too', async () => {
    const since = poe.log.length
    assert.equal((await ask(await clientOf(regional, 'usher'), 'lost@lenore.org')).outcome, 'found')
    const steps = stepsOf(poe, since)
    assert.ok(steps.includes('domain datagram ok'), `${steps}`)
    assert.ok(!steps.includes('domain request ok'), `${steps}`)
  })

  it('shows the rungs of the parent in a trace, and keeps nothing', async () => {
    const traced = await trace(regional, 'bob@lenore.org')
    assert.deepEqual(rungsOf(traced), ['local', 'parent cache', 'domain', 'parent lookup'])
    const steps = told(traced)
    for (const step of ['parent cache request miss', 'domain dial FMTP_GUARDED', 'parent lookup seal ok'])
      assert.ok(steps.includes(step), `${steps}`)
    assert.deepEqual([traced.lookup.outcome, traced.lookup.rung], ['found', 'parent lookup'])
    const { contact } = traced
    assert.deepEqual([contact?.outcome, contact?.rung, contact?.name], ['reached', 'parent', hq])
    assert.equal(regional.running.store.findObject('user.bob@lenore.org'), undefined)
    // The parent has it now.
    const again = await trace(regional, 'bob@lenore.org')
    assert.equal(again.lookup.rung, 'parent cache')
    assert.ok(told(again).includes('parent lookup request ok'), 'every rung is climbed')
    assert.equal(regional.running.store.findFetchedAtMs('user.bob@lenore.org'), undefined)
    const own = await trace(regional, `nobody@${region}`)
    assert.deepEqual([own.lookup.outcome, rungsOf(own)], ['absent', ['local']])
  })

  it('shows the way down to a child, and that it is reached by the connection that it opened', async () => {
    const traced = await trace(poe, `edgar@${region}`)
    assert.deepEqual(rungsOf(traced), ['local', 'below', 'domain'])
    assert.deepEqual([traced.lookup.outcome, traced.lookup.rung], ['found', 'below'])
    const { contact } = traced
    assert.deepEqual([contact?.outcome, contact?.rung, contact?.name], ['reached', 'below', region])
    assert.equal(poe.running.store.findFetchedAtMs(`user.edgar@${region}`), undefined)
    const away = await trace(poe, 'nobody@other.poe.net')
    assert.ok(told(away).includes('below connection miss'), `${told(away)}`)
  })

  it('shows that a parent answers for a child, and takes what is for it', async () => {
    const traced = await trace(lenore, `edgar@${region}`)
    assert.ok(told(traced).includes('domain front ok'), `${told(traced)}`)
    assert.deepEqual([traced.lookup.outcome, traced.lookup.rung], ['found', 'domain'])
    const { contact } = traced
    assert.deepEqual([contact?.outcome, contact?.rung, contact?.name], ['reached', 'domain', hq])
  })

  it('keeps the connection of a child, used or not, and ends others', async () => {
    const since = [poe, regional].map(({ log }) => log.length)
    const eddy = await clientOf(poe, 'eddy')
    const raven = network.hand('raven.example')
    const stranger = await rawTls(poe.address, poe.port, hq)
    await stranger.hello(hq, { as: raven.name, signer: raven.signer })
    const witness = await rawTls(poe.address, poe.port, hq)
    await witness.hello(hq)
    let asked = 0
    /** In steps, between which pings are answered. */
    const pass = async (ms: number): Promise<void> => {
      for (let passedMs = 0; passedMs < ms; passedMs += 2500) {
        network.clock.elapse(2500)
        await witness.ask({ verb: 'request', n: ++asked, address: hq })
      }
    }
    await pass(idleMs + idleMs / 4)
    assert.deepEqual(await stranger.next(({ verb }) => verb === 'goodbye'), { verb: 'goodbye' })
    await pass(2 * idleMs)
    witness.close()
    const lost = poe.log.slice(since[0]).filter(({ event }) => event === 'goodbye')
    assert.deepEqual(
      lost.filter(({ record }) => record.name === region),
      [],
    )
    assert.deepEqual(
      regional.log.slice(since[1]).filter(({ event }) => event === 'parent.lost'),
      [],
    )
    assert.equal((await ask(eddy, `annabel@${region}`)).outcome, 'found')
    assert.ok(stepsOf(poe, since[0]).includes('below request ok'))
  })
})
