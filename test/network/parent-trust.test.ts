/** What a parent is believed, and what not (protocol §10.7, §10.8): parents, homes and fronts that are played by hand. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import type { Connection } from '../../client/connection.ts'
import { limits } from '../../schemas/limits.ts'
import { parseDomain } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { ask, clientAt, linked, serveBehind, stepsOf } from '../support/family.ts'
import { handDomain, handProfile, handUser } from '../support/hand.ts'
import { type HandServer, handServer } from '../support/hand-server.ts'
import { enrol, Network, type TestServer } from '../support/network.ts'
import { type RawEnd, type Received, rawTls } from '../support/raw.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const [hq, region] = ['poe.net', 'region.poe.net'] as const
const lostId = 'user.lost@lenore.org'

describe('what a parent says', () => {
  let network: Network
  let clients: Connection[]
  let hands: HandServer[]

  beforeEach(async () => {
    network = await Network.start()
    clients = []
    hands = []
  })

  afterEach(async () => {
    for (const client of clients) client.close()
    for (const hand of hands) await hand[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  const clientOf = (server: TestServer, local = 'alice'): Promise<Connection> =>
    clientAt(server, local, clients)

  /** A server whose answers are the test's. */
  async function playedBy(name: string, answer: HandServer['answer']): Promise<HandServer> {
    const { address, folder } = network.site(name)
    const [cert, key] = ['cert', 'key'].map(part =>
      readFileSync(join(folder, 'data', 'tls', `${part}.pem`), 'utf8'),
    )
    const hand = await handServer(network, { name, address, cert: cert ?? '', key: key ?? '' }, answer)
    hands.push(hand)
    return hand
  }

  function give(frame: Received, socket: TLSSocket, object: object): void {
    socket.write(`${JSON.stringify({ verb: 'describe', re: frame.n, object })}\n`)
  }

  describe('of an object', () => {
    const lenore = handDomain('lenore.org')
    const lost = handUser(lenore, 'lost@lenore.org')
    const mallory = handUser(handDomain('mallory.example'), 'mallory@mallory.example')
    let given: object | undefined
    let members: object
    let child: TestServer
    let client: Connection

    beforeEach(async () => {
      members = {}
      network.zone.set('fmtpkey.lenore.org', 'TXT', [lenore.record])
      await playedBy(hq, (frame, socket) => {
        if (frame.address !== lost.address) return { outcome: 'absent', code: 'FMTP_ABSENT' }
        if (given === undefined) return { outcome: 'absent', code: 'FMTP_ABSENT' }
        give(frame, socket, given)
        return { outcome: 'found', ...members }
      })
      child = await serveBehind(network, region, { parents: [hq], mayDial: [hq] })
      await linked(child, hq)
      client = await clientOf(child)
    })

    const kept = (): unknown => child.running.store.findObject(lostId)

    it('is believed under a seal that DNS vouches for', async () => {
      given = handProfile(lost)
      assert.equal((await ask(client, lost.address)).outcome, 'found')
      assert.notEqual(kept(), undefined)
    })

    const profile = (): Record<string, unknown> => ({ ...handProfile(lost) })
    const lies: readonly (readonly [what: string, make: () => object, code: string])[] = [
      ['that was changed', () => ({ ...profile(), quote: 'Evermore' }), 'FMTP_SEAL'],
      [
        'with the credential of somebody else',
        () => ({ ...profile(), encryptedKey: mallory.credential }),
        'FMTP_SEAL_CREDENTIAL',
      ],
      [
        "sealed with a key that its domain's key did not make",
        () => handProfile(handUser(handDomain('lenore.org'), lost.address)),
        'FMTP_SEAL_CREDENTIAL',
      ],
      ['that is another one', () => handProfile(handUser(lenore, 'bob@lenore.org')), 'FMTP_BAD_OBJECT'],
      [
        'from the future',
        () => handProfile(lost, { version: Date.now() + limits.clockSkewMs + minuteMs }),
        'FMTP_FROM_FUTURE',
      ],
      ['that is for friends', () => handProfile(lost, { view: 'friends' }), 'FMTP_BAD_OBJECT'],
      ['that is none', () => ({ id: lostId }), 'FMTP_BAD_OBJECT'],
    ]
    for (const [what, make, code] of lies) {
      it(`is not believed of one ${what}, which is not kept`, async () => {
        given = make()
        const found = await ask(client, lost.address)
        assert.deepEqual([found.outcome, found.code], ['unreachable', code])
        assert.equal(kept(), undefined)
      })
    }

    it('is not believed where DNS does not give the key', async () => {
      network.zone.fail('fmtpkey.lenore.org', 'TXT', 'servfail')
      given = handProfile(lost)
      const found = await ask(client, lost.address)
      assert.deepEqual([found.outcome, found.code], ['unreachable', 'FMTP_DNS_FAILED'])
      assert.equal(kept(), undefined)
    })

    it('is a miss where it says absent, whatever is here', async () => {
      given = handProfile(lost)
      await ask(client, lost.address)
      network.clock.advance(25 * hourMs)
      given = undefined
      assert.equal((await ask(client, lost.address)).outcome, 'found')
      assert.equal(child.running.store.findAbsentAtMs(lostId), undefined)
    })

    it('is never newer than now, and not used where it is older than anything of use', async () => {
      given = handProfile(lost)
      members = { asOf: network.clock.now() + 24 * hourMs }
      await ask(client, lost.address)
      const fetchedAtMs = child.running.store.findFetchedAtMs(lostId) ?? Number.POSITIVE_INFINITY
      assert.ok(fetchedAtMs <= network.clock.now())
      network.clock.advance(31 * 24 * hourMs)
      members = { asOf: 1 }
      assert.equal((await ask(client, lost.address)).outcome, 'unreachable')
    })
  })

  it('nothing, costs two seconds once, and its connection when nothing more comes', async () => {
    const lenore = await network.serve('lenore.org')
    for (const local of ['lost', 'bob']) await enrol(lenore, `${local}@lenore.org`)
    const parent = await playedBy(hq, () => undefined)
    const mayDial = [hq, 'lenore.org']
    const child = await serveBehind(network, region, { parents: [hq], mayDial })
    await linked(child, hq)
    const client = await clientOf(child)
    const startMs = Date.now()
    assert.equal((await ask(client, 'lost@lenore.org')).outcome, 'found')
    const middleMs = Date.now()
    assert.ok(middleMs - startMs >= limits.parentCacheMs && middleMs - startMs < limits.parentCacheMs + 2000)
    assert.equal((await ask(client, 'bob@lenore.org')).outcome, 'found')
    assert.ok(Date.now() - middleMs < 1000)
    assert.ok(stepsOf(child).includes('parent cache held FMTP_RESTING'))
    assert.ok(!child.log.some(({ event }) => event === 'parent.lost'))
    // Its pings are not answered either.
    await waitUntil('the connection is given up', () => {
      network.clock.elapse(limits.pongMs / 4)
      return child.log.some(({ event }) => event === 'parent.lost')
    })
    assert.ok(parent.frames.some(frame => frame.verb === 'request' && Object.keys(frame).length === 2))
  })

  it('is that it is looking, and then the object, all the way down to the client', async () => {
    const slow = handDomain('slow.example')
    const usher = handUser(slow, 'usher@slow.example')
    const home = await playedBy('slow.example', (frame, socket) => {
      setTimeout(() => {
        give(frame, socket, handProfile(usher))
        socket.write(`${JSON.stringify({ verb: 'answer', re: frame.n, outcome: 'found' })}\n`)
      }, limits.lookingMs + 1500)
      return undefined
    })
    // Its objects are sealed by the user of another key pair of the same name.
    network.zone.set('fmtpkey.slow.example', 'TXT', [home.domain.record, slow.record])
    await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['slow.example'] })
    const child = await serveBehind(network, region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const person = await enrol(child, 'alice@region.poe.net')
    const end = await rawTls(child.address, child.port, region)
    await end.hello(region, { as: person.address, signer: person.signer, credential: person.credential })
    end.sendFrame({ verb: 'request', n: 1, address: usher.address, effort: 'lookup' })
    const first = await end.answer(1)
    assert.equal(first.outcome, 'looking')
    const second = await end.answer(1)
    assert.equal(second.outcome, 'found')
    assert.ok(end.frames.some(({ verb, re }) => verb === 'describe' && re === 1))
    end.close()
    const steps = stepsOf(child)
    assert.ok(steps.includes('parent lookup request ok'), `${steps}`)
  })
})

describe('standing for a child', () => {
  let network: Network
  let poe: TestServer
  let child: TestServer
  let lenore: TestServer
  const clients: Connection[] = []

  before(async () => {
    network = await Network.start()
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'] })
    lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq, 'evil.example'] })
    child = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq] })
    await linked(child, hq)
  })

  after(async () => {
    for (const client of clients) client.close()
    await network[Symbol.asyncDispose]()
  })

  async function as(server: TestServer, at: TestServer): Promise<RawEnd> {
    const { signer } = server.running.domains.get(parseDomain(server.domain))?.current ?? {}
    assert.ok(signer !== undefined)
    const end = await rawTls(at.address, at.port, at.domain)
    assert.equal((await end.hello(at.domain, { as: server.domain, signer })).verb, 'hello')
    return end
  }

  const clientOf = (server: TestServer, local: string): Promise<Connection> =>
    clientAt(server, local, clients)

  it('lets a parent see what its users may see, and nobody else', async () => {
    const lost = await clientOf(lenore, 'lost')
    const id = '1763629200000-parent.lost@lenore.org'
    const object = { id, kind: 'message', to: [`alice@${region}`], format: 'text/plain', body: 'Nevermore' }
    assert.notEqual((await lost.describe({ object })).outcome, 'refused')
    const viewers = [`alice@${region}`]
    // Else it would ask the very connection over which the test asks.
    for (const name of [region, hq]) assert.equal((await ask(lost, name)).outcome, 'found')
    const asked = async (who: TestServer, members: object): Promise<unknown> => {
      const end = await as(who, lenore)
      const { outcome } = await end.ask({ verb: 'request', n: 1, id, effort: 'own', ...members })
      end.close()
      return outcome
    }
    const stranger = await network.serve('stranger.example', { parents: [region] })
    assert.equal(await asked(poe, { for: viewers }), 'found')
    assert.equal(await asked(child, { for: viewers }), 'found')
    assert.equal(await asked(stranger, { for: viewers }), 'absent')
    assert.equal(await asked(poe, {}), 'absent')
    // Every viewer must be one who may see it, and one for whom the session stands.
    assert.equal(await asked(poe, { for: ['alice@stranger.example'] }), 'absent')
    const many = Array.from({ length: limits.forDomains + 1 }, (_, at) => `alice@d${at}.example`)
    assert.equal(await asked(poe, { for: many }), 'refused')
    await network.stop('stranger.example')
  })

  it("is not for the child's own server", async () => {
    await clientOf(child, 'bob')
    const writer = await clientOf(child, 'carol')
    const id = '1763629200000-home.carol@region.poe.net'
    const object = { id, kind: 'message', to: [`bob@${region}`], format: 'text/plain', body: 'Secret' }
    assert.equal((await writer.describe({ object })).outcome, 'stored')
    const end = await as(poe, child)
    const { outcome } = await end.ask({ verb: 'request', n: 1, id, for: [`bob@${region}`] })
    assert.equal(outcome, 'absent')
    end.close()
  })

  it('is not had by who answers for a domain that does not name it', async () => {
    const victim = await network.serve('victim.example')
    await enrol(victim, 'usher@victim.example')
    const evil = await network.serve('evil.example', { children: ['victim.example'] })
    const spy = await clientOf(evil, 'mallory')
    // It has all that the victim gives to anybody.
    for (const name of ['victim.example', 'usher@victim.example'])
      assert.equal((await ask(spy, name)).outcome, 'found')
    network.zone.set('_fmtp._tcp.victim.example', 'SRV', [`0 5 ${evil.port} fmtp.evil.example`])
    const since = lenore.log.length
    const found = await ask(await clientOf(lenore, 'reader'), 'usher@victim.example')
    assert.deepEqual([found.outcome, found.code], ['unreachable', 'FMTP_WRONG_PEER'])
    assert.ok(stepsOf(lenore, since).includes('domain front FMTP_WRONG_PEER'))
  })

  it('of one that is away is not known, and its host serves all others', async () => {
    const raven = await serveBehind(network, 'raven.example', { mayDial: [hq] })
    const client = await clientOf(raven, 'poet')
    await enrol(poe, 'prospero@poe.net')
    const dial = `0 5 ${poe.port} fmtp.poe.net`
    for (const [domain, code] of [
      ['away.poe.net', 'FMTP_UNREACHABLE'],
      ['mallory.example', 'FMTP_NOT_MINE'],
    ] as const) {
      network.hand(domain)
      network.zone.set(`_fmtp._tcp.${domain}`, 'SRV', [dial])
      const found = await ask(client, `usher@${domain}`)
      assert.deepEqual([found.outcome, found.code], ['unreachable', code])
    }
    assert.equal((await ask(client, 'prospero@poe.net')).outcome, 'found')
  })
})
