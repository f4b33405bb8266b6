/** Contacts that depend on who asks (protocol §10.3): who is told them, who goes there, and what hostile ones come to. */
import assert from 'node:assert/strict'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { limits } from '../../schemas/limits.ts'
import { type HandServer, handServer, knowsNobody } from '../support/hand-server.ts'
import { ownAddress } from '../support/loopback.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

describe('contacts by network', function () {
  this.timeout(30_000)

  let network: Network
  let poe: TestServer
  let edgar: Person
  let main: HandServer
  let second: HandServer
  /** What the main place tells beside its answers. */
  let told: readonly object[]
  let names = 0

  before(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net', {
      contacts: [
        `127.0.0.0/8 tcp ${ownAddress(201)}:3687 2`,
        '127.0.0.0/8 wss in.poe.net:443',
        '10.0.0.0/8 tcp 10.0.0.5:3687',
      ],
    })
    edgar = await enrol(poe, 'edgar@poe.net')
    const { cert, key } = await makeCertificate('lenore.org', Date.now())
    const place = { name: 'lenore.org', cert, key }
    main = await handServer(network, { ...place, address: ownAddress(230) }, () => ({
      ...knowsNobody,
      contacts: told,
    }))
    const { domain } = main
    second = await handServer(network, { ...place, address: ownAddress(231), domain }, () => knowsNobody)
  })

  beforeEach(() => {
    told = []
    network.clock.advance(limits.routeMs + limits.restMs)
  })

  after(async () => {
    await second[Symbol.asyncDispose]()
    await main[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  /** Where the question for a new name arrives, over a new connection. */
  async function asksAt(): Promise<'main' | 'second'> {
    main.cut()
    second.cut()
    const ends = (): number => poe.log.filter(({ event }) => event === 'session.closed').length
    for (let times = 0, before = -1; times < 20 && before !== ends(); times++) {
      before = ends()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    const before = second.frames.length
    const client = await connectAs(poe, edgar)
    const { answer } = await client.request({ address: `raven${++names}@lenore.org`, effort: 'lookup' })
    client.close()
    assert.equal(answer.outcome, 'absent', JSON.stringify(answer))
    return second.frames.length > before ? 'second' : 'main'
  }

  const contactOf = (host: string, port: number) => ({ protocol: 'tcp', host, port, priority: 0 })

  it('are told beside an own object, to who asks from there, and nothing else changes', async () => {
    const guest = await rawTls(poe.address, poe.port, 'poe.net')
    await guest.hello('poe.net')
    const answer = await guest.ask({ verb: 'request', n: 1, address: 'edgar@poe.net' })
    assert.deepEqual(answer.contacts, [
      { protocol: 'wss', host: 'in.poe.net', port: 443, priority: 0 },
      { protocol: 'tcp', host: ownAddress(201), port: 3687, priority: 2 },
    ])
    const { object } = (await guest.next(({ verb }) => verb === 'describe')) as unknown as { object: object }
    assert.ok(!('contacts' in object), 'never inside the sealed object')
    assert.ok('contacts' in (await guest.ask({ verb: 'request', n: 2, address: 'poe.net' })))
    assert.ok(!('contacts' in (await guest.ask({ verb: 'request', n: 3, address: 'nobody@poe.net' }))))
    guest.close()
  })

  it('are tried before the hosts of DNS, for ten minutes', async () => {
    told = [contactOf(ownAddress(231), second.port)]
    assert.equal(await asksAt(), 'main')
    assert.equal(await asksAt(), 'second')
    network.clock.advance(limits.routeMs / 2)
    assert.equal(await asksAt(), 'second')
    network.clock.advance(limits.routeMs / 2)
    assert.equal(await asksAt(), 'main')
  })

  it('that lead nowhere, inside, or to another domain cost no answer, and rest', async () => {
    const hostile = [
      contactOf('10.1.2.3', 3687),
      contactOf(ownAddress(232), 3687),
      contactOf(ownAddress(231), 22),
      contactOf(poe.address, poe.port),
      contactOf('nowhere.lenore.org', 3687),
      { ...contactOf(ownAddress(231), second.port), protocol: 'udp' },
    ]
    told = hostile
    assert.equal(await asksAt(), 'main')
    told = []
    const before = poe.log.length
    assert.equal(await asksAt(), 'main')
    const routes = poe.log
      .slice(before)
      .filter(({ event }) => event === 'route')
      .map(({ record }) => record)
    const failed = routes.filter(
      ({ what, outcome }) => (what === 'dial' || what === 'addresses') && outcome !== 'ok',
    )
    assert.deepEqual(failed.map(({ outcome }) => outcome).sort(), [
      'FMTP_CONNECT_FAILED',
      'FMTP_GUARDED',
      'FMTP_GUARDED',
      'FMTP_NOT_MINE',
      'FMTP_NO_HOST',
    ])
    const again = poe.log.length
    assert.equal(await asksAt(), 'main')
    const resting = poe.log.slice(again).filter(({ record }) => record.outcome === 'FMTP_RESTING')
    assert.ok(resting.length >= 2, `${resting.length} rest`)
  })

  it('that have no right shape are no answer', async () => {
    told = [{ protocol: 'tcp', host: ownAddress(231), port: 70_000, priority: 0 }]
    await assert.rejects(asksAt())
    told = []
    assert.equal(await asksAt(), 'main')
  })
})
