/** Better contacts of a child, told by the parent that gives its objects (protocol §10.3): who asked goes there itself. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Connection } from '../../client/connection.ts'
import { waitUntil } from '../support/conditions.ts'
import { ask, linked, serveBehind, stepsOf } from '../support/family.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const [hq, region] = ['poe.net', 'region.poe.net'] as const
const port = 3687

describe('a parent that knows where its child is reached from there', function () {
  this.timeout(30_000)
  let network: Network
  let poe: TestServer
  let regional: TestServer
  let lenore: TestServer
  let client: Connection
  let names = 0

  beforeEach(async () => {
    network = await Network.start()
    const contacts = [
      `${region}=127.0.0.0/8 tcp ${network.addressOf(region)}:${port}`,
      `${region}=10.0.0.0/8 tcp 10.0.0.5:${port}`,
    ]
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], contacts })
    regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq], port })
    // For the world there is the parent alone.
    network.zone.set(`_fmtp._tcp.${region}`, 'SRV', [`0 5 ${poe.port} fmtp.${hq}`])
    await linked(regional, hq)
    lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq, region] })
    client = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
  })

  afterEach(async () => {
    client.close()
    await network[Symbol.asyncDispose]()
  })

  /** The steps to a user of whom nobody has heard. */
  async function look(): Promise<string[]> {
    const address = `reader${++names}@${region}`
    await enrol(regional, address)
    const since = lenore.log.length
    const found = await ask(client, address)
    assert.deepEqual([found.outcome, found.id], ['found', `user.${address}`])
    return stepsOf(lenore, since)
  }

  const asked = (): number =>
    poe.log.filter(({ event, record }) => event === 'route' && record.rung === 'below').length

  it('is asked once, and then the child itself, for ten minutes', async () => {
    assert.ok((await look()).includes('domain front ok'))
    const before = asked()
    const steps = await look()
    assert.ok(steps.includes('domain told ok') && steps.includes('domain hello ok'), `${steps}`)
    assert.ok(!(await look()).includes('domain told ok'), 'the connection stands')
    assert.equal(asked(), before)
  })

  it('is asked still where that leads nowhere, and nobody waits for it twice', async () => {
    await look()
    await network.stop(region)
    regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq] })
    network.zone.set(`_fmtp._tcp.${region}`, 'SRV', [`0 5 ${poe.port} fmtp.${hq}`])
    await linked(regional, hq)
    const steps = await look()
    assert.ok(steps.includes('domain dial FMTP_CONNECT_FAILED'), `${steps}`)
    assert.ok(!(await look()).some(step => step.includes('dial')))
  })

  it('is asked still where nobody says a word, and nobody waits long', async () => {
    await look()
    await network.stop(region)
    const calls: unknown[] = []
    const silent = createServer(socket => calls.push(socket.on('error', () => undefined)))
    silent.listen(port, network.addressOf(region))
    await once(silent, 'listening')
    regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq] })
    network.zone.set(`_fmtp._tcp.${region}`, 'SRV', [`0 5 ${poe.port} fmtp.${hq}`])
    await linked(regional, hq)
    const startMs = Date.now()
    for (let times = 0; times < 5; times++) await look()
    assert.ok(Date.now() - startMs < 3000, `${Date.now() - startMs} ms`)
    assert.equal(calls.length, 1)
    silent.close()
  })

  it('has messages go there too', async () => {
    await look()
    const id = 'm1.lost@lenore.org'
    const to = `reader${names}@${region}`
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
    assert.equal((await client.describe({ object })).outcome, 'stored')
    const { store } = regional.running
    await waitUntil('it is there', () => store.findBoxed(to, id) !== undefined)
    assert.equal(poe.running.store.findText(id), undefined)
  })

  it('tells of that child alone, and who asks from there alone', async () => {
    const night = await serveBehind(network, 'night.poe.net', { parents: [hq], mayDial: [hq] })
    await linked(night, hq)
    for (const server of [regional, night]) await enrol(server, `alice@${server.domain}`)
    const guest = await rawTls(poe.address, poe.port, hq)
    await guest.hello(hq)
    const contact = { protocol: 'tcp', host: network.addressOf(region), port, priority: 0 }
    for (const [n, [address, contacts]] of [
      [`alice@${region}`, [contact]] as const,
      [region, [contact]] as const,
      ['alice@night.poe.net', undefined] as const,
      [hq, undefined] as const,
    ].entries()) {
      const answer = await guest.ask({ verb: 'request', n: n + 1, address })
      assert.deepEqual([answer.outcome, answer.contacts], ['found', contacts], address)
    }
    guest.close()
  })
})
