/** Whom a server relays for and what relays are believed (protocol §8.7, §10.9): strangers and liars that are played by hand. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import { listOf } from '../../objects/store/layout.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { type Domain, makeObjectId, type Name, type ObjectId } from '../../schemas/text/names.ts'
import { reportId } from '../../server/delivery/status/report-id.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked, serveBehind } from '../support/family.ts'
import { type HandDomain, handMessage, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { type HandPeer, handPeer } from '../support/peer-by-hand.ts'

const minuteMs = 60_000
const dayMs = 1440 * minuteMs
const [hq, region] = ['poe.net', 'region.poe.net'] as const

describe('relaying', function () {
  this.timeout(30_000)
  let network: Network
  let poe: TestServer
  let regional: TestServer
  let alice: Connection
  const ends: (() => void)[] = []
  let lastId = 0

  async function arrange(limitsOfTop: Record<string, number> = {}): Promise<void> {
    network = await Network.start()
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], limits: limitsOfTop })
    regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq] })
    await linked(regional, hq)
    alice = await connectAs(regional, await enrol(regional, `alice@${region}`))
    ends.push(() => alice.close())
  }

  afterEach(async () => {
    for (const end of ends.splice(0)) end()
    await network[Symbol.asyncDispose]()
  })

  async function peerOf(server: TestServer, domain: HandDomain): Promise<HandPeer> {
    const peer = await handPeer(server, domain)
    ends.push(() => peer.end.close())
    return peer
  }

  let n = 1000
  async function bring(peer: HandPeer, object: object, to: readonly string[], members: object = {}) {
    const answer = await peer.end.ask({ verb: 'describe', n: ++n, object, for: to, ...members })
    const results = (answer.results ?? []) as { outcome: string; code?: string }[]
    return [results[0]?.outcome ?? answer.outcome, results[0]?.code ?? answer.code]
  }

  async function write(to: string): Promise<ObjectId> {
    const id = makeObjectId(`m${++lastId}`, `alice@${region}` as Name)
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
    assert.equal((await alice.describe({ object })).outcome, 'stored')
    return id
  }

  async function stateOf(id: string): Promise<readonly (string | undefined)[]> {
    const { answer } = await alice.request({ id })
    return [answer.results?.[0]?.outcome, answer.results?.[0]?.code]
  }

  const become = (id: string, wanted: string): Promise<unknown> =>
    waitUntil(`${id} becomes ${wanted}`, async () => (await stateOf(id))[0] === wanted, 10_000)

  const waiting = (child: string): number => poe.running.store.database.head(listOf.relay(child)).bytes

  describe('is refused', () => {
    const lenoreTo = 'lost@lenore.org'

    it('to strangers, whoever the recipient is, and stores nothing', async () => {
      await arrange()
      const raven = network.hand('raven.example')
      const peer = await peerOf(poe, raven)
      const message = handMessage(handUser(raven, 'bob@raven.example'), [lenoreTo])
      assert.deepEqual(await bring(peer, message, [lenoreTo]), ['refused', 'FMTP_NOT_RELAYED'])
      assert.equal(poe.running.store.findText(message.id), undefined)
    })

    it('to children for what is of others', async () => {
      await arrange()
      const raven = network.hand('raven.example')
      const child = network.hand('night.poe.net')
      const peer = await peerOf(poe, child)
      const message = handMessage(handUser(raven, 'bob@raven.example'), [lenoreTo])
      assert.deepEqual(await bring(peer, message, [lenoreTo]), ['refused', 'FMTP_NOT_RELAYED'])
      const own = handMessage(handUser(child, 'lost@night.poe.net'), [lenoreTo])
      assert.deepEqual(await bring(peer, own, [lenoreTo]), ['relayed', undefined])
    })

    it('where it came through this server before, or through too many', async () => {
      await arrange()
      const child = network.hand('night.poe.net')
      const peer = await peerOf(poe, child)
      const user = handUser(child, 'lost@night.poe.net')
      const loop = await bring(peer, handMessage(user, [lenoreTo]), [lenoreTo], { hops: [hq] })
      assert.deepEqual(loop, ['refused', 'FMTP_LOOP'])
      const hops = Array.from({ length: limits.parentsDeep }, (_, at) => `d${at}.poe.net`)
      const far = await bring(peer, handMessage(user, [lenoreTo]), [lenoreTo], { hops })
      assert.deepEqual(far, ['refused', 'FMTP_TOO_FAR'])
      assert.equal(waiting('night.poe.net'), 0)
    })

    it('for now where as much waits as may, for that child alone', async () => {
      await arrange({ relayBytes: 1024 * 1024 })
      const [child, other] = [network.hand('night.poe.net'), network.hand('day.poe.net')]
      const peer = await peerOf(poe, child)
      const user = handUser(child, 'lost@night.poe.net')
      const body = 'nevermore '.repeat(20_000)
      let outcome: unknown[] = ['relayed', undefined]
      let taken = 0
      for (; outcome[0] === 'relayed' && taken < 10; taken++)
        outcome = await bring(peer, handMessage(user, [lenoreTo], { body }), [lenoreTo])
      assert.deepEqual(outcome, ['busy', 'FMTP_RELAY_ROOM'])
      assert.ok(taken > 4 && taken < 8, `${taken}`)
      const another = await peerOf(poe, other)
      const message = handMessage(handUser(other, 'bob@day.poe.net'), [lenoreTo], { body })
      assert.deepEqual(await bring(another, message, [lenoreTo]), ['relayed', undefined])
    })

    it('to who brings what another one has passed on, until that is done', async () => {
      await arrange()
      const to = `alice@${region}`
      const lenore = network.hand('lenore.org')
      const raven = network.hand('raven.example')
      const message = handMessage(handUser(lenore, 'lost@lenore.org'), [to, `bob@${region}`])
      await network.stop(region)
      const home = await peerOf(poe, lenore)
      assert.deepEqual(await bring(home, message, [to]), ['relayed', undefined])
      const spy = await peerOf(poe, raven)
      assert.deepEqual(await bring(spy, message, [`bob@${region}`]), ['busy', 'FMTP_BUSY'])
      const reported = (peer: HandPeer): number => peer.came.filter(({ kind }) => kind === 'report').length
      regional = await serveBehind(network, region, { front: poe, parents: [hq], mayDial: [hq] })
      await waitUntil('its home is told', () => reported(home) === 1)
      assert.deepEqual(await bring(home, message, [to]), ['duplicate', undefined])
      assert.deepEqual(await bring(spy, message, [`bob@${region}`]), ['relayed', undefined])
      await waitUntil('who brought it is told', () => reported(spy) === 1)
      assert.equal(reported(home), 1)
    })

    it('under a false seal', async () => {
      await arrange()
      const child = network.hand('night.poe.net')
      const peer = await peerOf(poe, child)
      const message = { ...handMessage(handUser(child, 'lost@night.poe.net'), [lenoreTo]), body: 'Evermore' }
      assert.deepEqual(await bring(peer, message, [lenoreTo]), ['refused', 'FMTP_SEAL'])
      assert.equal(waiting('night.poe.net'), 0)
    })
  })

  it('brings nothing from a domain that the child has blocked', async () => {
    network = await Network.start()
    const parent = network.hand(hq)
    const block = ['mallory.example']
    regional = await network.serve(region, { parents: [hq], allow: [], block })
    await enrol(regional, `alice@${region}`)
    const top = await peerOf(regional, parent)
    const lost = handUser(network.hand('lenore.org'), 'lost@lenore.org')
    const to = `alice@${region}`
    for (const [hop, said] of [
      ['mallory.example', ['refused', 'FMTP_REFUSED']],
      ['lenore.org', ['stored', undefined]],
    ] as const)
      assert.deepEqual(await bring(top, handMessage(lost, [to]), [to], { hops: [hop] }), said, hop)
  })

  describe('the report of who relays', () => {
    const to = 'lost@lenore.org'
    let top: HandPeer
    let parent: HandDomain

    /** The parent is played by hand: it has taken what alice wrote. */
    beforeEach(async () => {
      network = await Network.start()
      parent = network.hand(hq)
      regional = await network.serve(region, { parents: [hq], allow: [] })
      alice = await connectAs(regional, await enrol(regional, `alice@${region}`))
      ends.push(() => alice.close())
      top = await peerOf(regional, parent)
      top.outcome = 'relayed'
    })

    function reportOf(about: string, members: object = {}, by = parent): FmtpObject {
      const nowMs = network.clock.now()
      const said = {
        ...{
          about,
          outcome: 'delivered',
          recipient: 'lenore.org',
          results: [{ for: to, outcome: 'stored' }],
        },
        ...{ aboutVersion: regional.running.store.findObject(about)?.version ?? 1 },
        ...{ id: reportId(about, 'lenore.org' as Domain, by.name as Domain), kind: 'report', owner: by.name },
        ...{ version: nowMs, createdAt: new Date(nowMs).toISOString(), ...members },
      }
      return sealObject(said as Unsealed<Report>, handUser(by, by.name)).object as FmtpObject
    }

    async function relayed(): Promise<ObjectId> {
      const id = await write(to)
      await become(id, 'relayed')
      return id
    }

    it('settles what it took, and nothing after', async () => {
      const id = await relayed()
      assert.deepEqual(await bring(top, reportOf(id), [`alice@${region}`]), ['stored', undefined])
      assert.deepEqual(await stateOf(id), ['stored', undefined])
      const results = [{ for: to, outcome: 'absent', code: 'FMTP_UNKNOWN_RECIPIENT' }]
      const later = reportOf(id, { outcome: 'failed', results, version: network.clock.now() + 1 })
      await bring(top, later, [`alice@${region}`])
      assert.deepEqual(await stateOf(id), ['stored', undefined])
    })

    it('about a version that was replaced since says nothing of the new one', async () => {
      const id = await relayed()
      const old = reportOf(id)
      const object = { id, kind: 'message', format: 'text/plain', body: 'Evermore', to: [to] }
      assert.equal((await alice.describe({ object })).outcome, 'stored')
      await become(id, 'relayed')
      assert.deepEqual(await bring(top, old, [`alice@${region}`]), ['stored', undefined])
      assert.deepEqual(await stateOf(id), ['relayed', undefined])
      assert.deepEqual(await bring(top, reportOf(id), [`alice@${region}`]), ['stored', undefined])
      assert.deepEqual(await stateOf(id), ['stored', undefined])
    })

    it('is told to the author where it says that it failed', async () => {
      const id = await relayed()
      const results = [{ for: to, outcome: 'refused', code: 'FMTP_REFUSED' }]
      assert.deepEqual(await bring(top, reportOf(id, { outcome: 'failed', results }), [`alice@${region}`]), [
        'stored',
        undefined,
      ])
      assert.deepEqual(await stateOf(id), ['refused', 'FMTP_REFUSED'])
      const list = { of: 'box', owner: `alice@${region}`, kind: 'report', order: 'newest' } as const
      const { describes } = await alice.request({ list })
      const [report] = describes.map(({ object }) => object as Report)
      assert.deepEqual(
        [report?.about, report?.outcome, report?.recipients, report?.owner],
        [id, 'failed', [to], region],
      )
    })

    it('that does not know itself is not the last word, and what else it says counts for nothing', async () => {
      const id = await relayed()
      const strange = { by: 'raven.example', atMs: 1 }
      const results = [{ for: to, outcome: 'unknown', code: 'FMTP_NO_REPORT', ...strange }]
      await bring(top, reportOf(id, { outcome: 'failed', results }), [`alice@${region}`])
      assert.deepEqual(await stateOf(id), ['unknown', 'FMTP_NO_REPORT'])
      const raven = network.hand('raven.example')
      const stranger = await peerOf(regional, raven)
      const lie = reportOf(id, {}, raven)
      assert.deepEqual(await bring(stranger, lie, [`alice@${region}`]), ['refused', 'FMTP_NOT_OWED'])
      const later = reportOf(id, { version: network.clock.now() + 1 })
      assert.deepEqual(await bring(top, later, [`alice@${region}`]), ['stored', undefined])
      assert.deepEqual(await stateOf(id), ['stored', undefined])
    })

    const lies: readonly (readonly [what: string, members: object, code: string])[] = [
      [
        'about recipients of another domain',
        { results: [{ for: 'bob@raven.example', outcome: 'stored' }] },
        'FMTP_BAD_OBJECT',
      ],
      ['with a word that is none', { results: [{ for: to, outcome: 'perhaps' }] }, 'FMTP_BAD_OBJECT'],
      ['about no version', { aboutVersion: undefined }, 'FMTP_BAD_OBJECT'],
      ['about another domain', { recipient: 'raven.example', results: [] }, 'FMTP_NOT_OWED'],
      ['about what it was not given', { about: `m999.alice@${region}`, aboutVersion: 1 }, 'FMTP_NOT_OWED'],
    ]
    for (const [what, members, code] of lies)
      it(`is not believed ${what}`, async () => {
        const id = await relayed()
        assert.deepEqual(await bring(top, reportOf(id, members), [`alice@${region}`]), ['refused', code])
        assert.deepEqual(await stateOf(id), ['relayed', undefined])
      })

    it('is not believed of anybody else, or brought by anybody else', async () => {
      const id = await relayed()
      const raven = network.hand('raven.example')
      const stranger = await peerOf(regional, raven)
      for (const by of [raven, parent])
        assert.deepEqual(await bring(stranger, reportOf(id, {}, by), [`alice@${region}`]), [
          'refused',
          'FMTP_NOT_OWED',
        ])
      assert.deepEqual(await bring(top, reportOf(id, {}, raven), [`alice@${region}`]), [
        'refused',
        'FMTP_NOT_OWED',
      ])
      assert.deepEqual(await stateOf(id), ['relayed', undefined])
    })

    it('that does not come in six days leaves it unknown, and a late one counts', async () => {
      const id = await relayed()
      network.clock.advance(6 * dayMs + minuteMs)
      await regional.running.upkeep.once()
      assert.deepEqual(await stateOf(id), ['unknown', 'FMTP_NO_REPORT'])
      assert.deepEqual(await bring(top, reportOf(id), [`alice@${region}`]), ['stored', undefined])
      assert.deepEqual(await stateOf(id), ['stored', undefined])
    })
  })
})
