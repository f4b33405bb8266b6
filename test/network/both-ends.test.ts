/** Delivery from both ends (protocol §10.6): a peer asks for its list, once more from a cursor, and after a restore. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { limits } from '../../schemas/limits.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { restore } from '../../server/backup/restore.ts'
import { runAction } from '../../server/control/client.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, handMessage, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { type HandPeer, handPeer } from '../support/peer-by-hand.ts'
import { startProcess } from '../support/process.ts'
import { rawTls } from '../support/raw.ts'

const quiet = { onProgress: () => undefined, signal: new AbortController().signal }
const hourMs = 3_600_000
const dayMs = 24 * hourMs

describe('delivery from both ends', () => {
  let network: Network

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(() => network[Symbol.asyncDispose]())

  async function send(client: Connection, to = 'lost@lenore.org', from = 'edgar@poe.net'): Promise<string> {
    const id = mintId(parseAddress(from), Date.now())
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
    const answer = await client.describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    return id
  }

  async function sendSome(client: Connection, count: number): Promise<string[]> {
    const ids: string[] = []
    while (ids.length < count) ids.push(await send(client))
    return ids
  }

  const idsOf = (peer: HandPeer): string[] => peer.messages().map(({ id }) => id)

  /** What does not come within this did not come. */
  const pause = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 300))

  describe('with a domain played by hand', () => {
    let poe: TestServer
    let edgar: Person
    let client: Connection
    let lenore: HandDomain
    let peer: HandPeer

    beforeEach(async () => {
      poe = await network.serve('poe.net', { limits: { exempt: [] } })
      edgar = await enrol(poe, 'edgar@poe.net')
      client = await connectAs(poe, edgar)
      lenore = network.hand('lenore.org')
      peer = await handPeer(poe, lenore)
    })

    afterEach(() => {
      client.close()
      peer.end.close()
    })

    /** Five messages that were delivered. */
    async function deliverFive(): Promise<string[]> {
      const ids = await sendSome(client, 5)
      await waitUntil('all came', () => peer.messages().length === 5)
      await waitUntil('all are settled', async () => (await peer.pull()).complete === true)
      return ids
    }

    it('tells with each object where it stands, and where the list does', async () => {
      const ids = await deliverFive()
      assert.deepEqual(idsOf(peer).sort(), ids.sort())
      const { epoch } = poe.running.store.database
      // The first entry is the author's own object.
      assert.deepEqual(
        peer.came.map(({ cursor }) => cursor).sort(),
        [1, 2, 3, 4, 5, 6].map(number => `${epoch}.${number}`),
      )
      const { outcome, cursor, complete } = await peer.pull()
      assert.deepEqual(
        { outcome, cursor, complete },
        { outcome: 'found', cursor: `${epoch}.6`, complete: true },
      )
      await pause()
      assert.equal(peer.came.length, 6)
      // Who is there already has nothing sent once more, and may be later.
      for (let at = 0; at < 3; at++) assert.equal((await peer.pull({ after: cursor })).outcome, 'found')
      assert.equal((await peer.pull({ after: `${epoch}.0` })).outcome, 'found')
    })

    it('sends once more what stands behind an older cursor, once in ten minutes', async () => {
      const ids = await deliverFive()
      const place = peer.messages().find(({ id }) => id === ids[1])
      const after = String(place?.cursor)
      peer.came.length = 0
      peer.outcome = 'duplicate'
      const answer = await peer.pull({ after })
      assert.equal(answer.outcome, 'found', JSON.stringify(answer))
      assert.equal(answer.complete, false)
      await waitUntil('they came', () => peer.messages().length === 3)
      await pause()
      assert.deepEqual(idsOf(peer).sort(), ids.slice(2).sort())
      const again = await peer.pull({ after })
      assert.deepEqual([again.outcome, again.code], ['busy', 'FMTP_RATE'])
      const left = Number(again.retryAfterMs)
      assert.ok(left > limits.resendMs - 60_000 && left <= limits.resendMs, `${left}`)
      await pause()
      assert.equal(peer.came.length, 3)
      network.clock.advance(limits.resendMs)
      await peer.pull({ after })
      await waitUntil('they came', () => peer.messages().length === 6)
      // What is new comes after all that.
      const last = await send(client)
      await waitUntil('the new one came', () => idsOf(peer).at(-1) === last)
      assert.equal(peer.messages().length, 7)
    })

    it('moves nothing for a cursor at the end, and lets no peer pass over what it was not given', async () => {
      await deliverFive()
      const { cursor } = await peer.pull()
      peer.outcome = undefined
      const waiting = await send(client)
      await waitUntil('it came', () => peer.messages().length === 6)
      // It is the last of the list now, and not settled.
      const { cursor: end, complete } = await peer.pull({ after: peer.messages().at(-1)?.cursor })
      assert.notEqual(end, cursor)
      assert.equal(complete, false)
      peer.end.close()
      peer = await handPeer(poe, lenore)
      await waitUntil('it comes all the same', () => idsOf(peer).includes(waiting))
      assert.deepEqual(idsOf(peer), [waiting])
    })

    it('hastens what was put off', async () => {
      peer.outcome = 'busy'
      const id = await send(client)
      await waitUntil('it is put off', () => poe.log.some(({ event }) => event === 'deliver.put-off'))
      await waitUntil('the author, too', () => peer.came.length === 2)
      peer.outcome = 'stored'
      await pause()
      assert.deepEqual(idsOf(peer), [id])
      const { outcome } = await peer.pull()
      assert.equal(outcome, 'found')
      await waitUntil('it comes again', () => peer.messages().length === 2)
    })

    it('refuses cursors that are not of this list, and all that a list of this kind does not have', async () => {
      await deliverFive()
      const { epoch } = poe.running.store.database
      peer.came.length = 0
      const cases: readonly (readonly [list: object, members: object, code: string])[] = [
        [{ after: 'beefcafe.1' }, {}, 'FMTP_CURSOR_LOST'],
        [{ after: `${epoch}.7` }, {}, 'FMTP_CURSOR_AHEAD'],
        [{ after: `${epoch}.99999999999999999999` }, {}, 'FMTP_CURSOR_AHEAD'],
        [{ after: `${epoch}.x` }, {}, 'FMTP_BAD_FRAME'],
        [{ owner: 'raven.example' }, {}, 'FMTP_BAD_FRAME'],
        [{ owner: 'lenore.org' }, {}, 'FMTP_BAD_FRAME'],
        [{ kind: 'message' }, {}, 'FMTP_BAD_FRAME'],
        [{ limit: 1 }, {}, 'FMTP_BAD_FRAME'],
        [{ order: 'newest' }, {}, 'FMTP_BAD_FRAME'],
        [{}, { follow: true }, 'FMTP_BAD_FRAME'],
        [{}, { effort: 'lookup' }, 'FMTP_BAD_FRAME'],
        [{}, { for: ['lost@lenore.org'] }, 'FMTP_BAD_FRAME'],
      ]
      for (const [list, members, code] of cases)
        assert.equal((await peer.pull(list, members)).code, code, JSON.stringify([list, members]))
      await pause()
      assert.deepEqual(peer.came, [])
      assert.equal((await peer.pull()).complete, true)
    })

    it('is the affair of the domain itself: no other, no user and no guest moves its list', async () => {
      await deliverFive()
      const { epoch } = poe.running.store.database
      const after = `${epoch}.0`
      peer.came.length = 0
      const raven = await handPeer(poe, network.hand('raven.example'))
      assert.equal((await raven.pull({ after })).cursor, `${epoch}.0`)
      const list = { of: 'outbox', after } as const
      assert.equal((await client.request({ list })).answer.code, 'FMTP_NOT_ALLOWED')
      const lost = handUser(lenore, 'lost@lenore.org')
      for (const who of [{ as: lost.address, signer: lost.signer, credential: lost.credential }, {}]) {
        const end = await rawTls(poe.address, poe.port, 'poe.net')
        assert.equal((await end.hello('poe.net', who)).verb, 'hello')
        assert.equal((await end.ask({ verb: 'request', n: 1, list })).code, 'FMTP_NOT_ALLOWED')
        end.close()
      }
      await pause()
      assert.deepEqual([peer.came, raven.came], [[], []])
      raven.end.close()
    })
  })

  it('loses nothing of what comes once more when the sender is killed', async () => {
    const lenore = network.hand('lenore.org')
    let ids: string[]
    {
      await using poe = await startProcess(network, 'poe.net')
      const edgar = await poe.enrol('edgar@poe.net')
      const peer = await handPeer(poe, lenore)
      const { dialOrigin } = await import('../../client/dial.ts')
      const { Connection } = await import('../../client/connection.ts')
      const client = await Connection.open(await dialOrigin(poe.origin), {
        domain: 'poe.net',
        verifyServer: async () => undefined,
        randomNonce: () => 'n'.repeat(22),
        login: { as: edgar.address, signer: edgar.signer, credential: edgar.credential },
      })
      ids = await sendSome(client, 5)
      await waitUntil('all came', () => peer.messages().length === 5)
      await waitUntil('all are settled', async () => (await peer.pull()).complete === true)
      client.close()
      peer.end.close()
      assert.equal(await poe.stop(), 0)
    }
    {
      await using poe = await startProcess(network, 'poe.net')
      const peer = await handPeer(poe, lenore)
      const { cursor, complete } = await peer.pull()
      assert.equal(complete, true)
      peer.outcome = undefined
      const start = `${String(cursor).split('.')[0]}.0`
      assert.equal((await peer.pull({ after: start })).outcome, 'found')
      const ended = once(poe.child, 'exit')
      poe.child.kill('SIGKILL')
      await ended
      peer.end.close()
    }
    await using poe = await startProcess(network, 'poe.net')
    const peer = await handPeer(poe, lenore)
    await waitUntil('all come again', () => peer.messages().length === 5)
    assert.deepEqual(idsOf(peer).sort(), ids.sort())
    peer.end.close()
  })

  describe('after a restore', () => {
    let poe: TestServer
    let lenore: TestServer
    let client: Connection
    let lost: Person

    beforeEach(async () => {
      poe = await network.serve('poe.net')
      lenore = await network.serve('lenore.org')
      lost = await enrol(lenore, 'lost@lenore.org')
      client = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
    })

    afterEach(() => client.close())

    async function readBox(): Promise<string[]> {
      const reader = await connectAs(lenore, lost)
      const { describes } = await reader.request({ list: { of: 'box', kind: 'message', limit: 500 } })
      // Renewed, so that the days that pass do not end it.
      lost = { ...lost, credential: reader.issued ?? lost.credential }
      reader.close()
      return describes.map(({ object }) => (object as { id: string }).id)
    }

    async function arrive(id: string): Promise<string> {
      await waitUntil('it is in the box', async () => (await readBox()).includes(id))
      return id
    }

    async function restoreLenore(folder: string): Promise<void> {
      await network.stop('lenore.org')
      rmSync(lenore.config.data, { recursive: true })
      rmSync(lenore.config.file)
      await restore({ folder, config: lenore.config.file, data: undefined }, quiet)
      lenore = await network.serve('lenore.org')
    }

    it('all that was delivered after the backup comes again, and nothing from long before', async () => {
      const oldest = await arrive(await send(client))
      network.clock.advance(dayMs)
      const old = await arrive(await send(client))
      network.clock.advance(6 * dayMs + hourMs)
      const kept = await arrive(await send(client))
      const folder = join(lenore.folder, 'saved')
      await runAction(lenore.config.file, 'backup', { folder }, quiet)
      const gone = [await arrive(await send(client)), await arrive(await send(client))]

      await restoreLenore(folder)
      for (const id of gone) await arrive(id)
      assert.deepEqual((await readBox()).sort(), [oldest, old, kept, ...gone].sort())
      const admitted = (): unknown[][] =>
        lenore.log
          .filter(({ event, record }) => event === 'admit' && record.kind === 'message')
          .map(({ record }) => [record.id, record.outcome])
      assert.deepEqual(admitted().sort(), [[kept, 'duplicate'], ...gone.map(id => [id, 'stored'])].sort())
      assert.deepEqual(
        lenore.log.filter(({ event }) => event === 'catch-up').map(({ record }) => record.outcome),
        ['found'],
      )

      await network.stop('lenore.org')
      lenore = await network.serve('lenore.org')
      await arrive(await send(client))
      assert.equal(admitted().length, 1)
      assert.ok(!lenore.log.some(({ event }) => event === 'catch-up'))
    })

    it('what a domain wrote that was new since the backup comes again with its hello', async () => {
      const first = await arrive(await send(client))
      const folder = join(lenore.folder, 'saved')
      const raven = await network.serve('raven.example')
      await runAction(lenore.config.file, 'backup', { folder }, quiet)
      const alice = await connectAs(raven, await enrol(raven, 'alice@raven.example'))
      const fromAlice = await arrive(await send(alice, 'lost@lenore.org', 'alice@raven.example'))
      alice.close()
      await restoreLenore(folder)
      assert.deepEqual(await readBox(), [first])
      // Nobody here knows that there was such a domain, until it says hello.
      await network.stop('raven.example')
      await network.serve('raven.example')
      await arrive(fromAlice)
    })
  })

  it('a peer that was restored itself is asked from its start, when it has time, and once', async () => {
    let lenore = await network.serve('lenore.org')
    const lost = await enrol(lenore, 'lost@lenore.org')
    const domain = network.hand('poe.net')
    const edgar = handUser(domain, 'edgar@poe.net')
    const before = await handPeer(lenore, domain)
    const object = handMessage(edgar, [lost.address])
    const describe = { verb: 'describe', n: 1, object, for: [lost.address], cursor: 'c0ffee.7' }
    assert.equal((await before.end.ask(describe)).outcome, 'stored')
    before.end.close()
    await network.stop('lenore.org')
    {
      await using database = await openDatabase(
        lenore.config.data,
        () => undefined,
        () => '',
      )
      const restored = { atMs: Date.now(), backupAtMs: Date.now() + 7 * dayMs }
      await database.commit([{ puts: [[keyOf.meta('restored'), JSON.stringify(restored)]] }])
    }
    lenore = await network.serve('lenore.org')
    const peer = await handPeer(lenore, domain)
    const asked: unknown[] = []
    async function answerNext(members: object): Promise<void> {
      const { n, list } = await peer.end.next(({ verb }) => verb === 'request')
      asked.push(list)
      peer.end.sendFrame({ verb: 'answer', re: n, ...members })
    }
    await answerNext({ outcome: 'busy', code: 'FMTP_RATE', retryAfterMs: hourMs })
    await waitUntil('it waits', () => network.clock.sleepers > 0)
    await pause()
    network.clock.advance(hourMs)
    await answerNext({ outcome: 'refused', code: 'FMTP_CURSOR_LOST' })
    await answerNext({ outcome: 'found', cursor: 'decaf.12', complete: true })
    await answerNext({ outcome: 'found', cursor: 'decaf.12', complete: false })
    assert.deepEqual(asked, [
      { of: 'outbox', after: 'c0ffee.7' },
      { of: 'outbox', after: 'c0ffee.7' },
      { of: 'outbox' },
      { of: 'outbox', after: 'decaf.0' },
    ])
    await waitUntil('it is noted', () => lenore.log.some(({ event }) => event === 'catch-up'))
    peer.end.close()
    const again = await handPeer(lenore, domain)
    await pause()
    assert.deepEqual(
      again.end.frames.filter(({ verb }) => verb === 'request'),
      [],
    )
    again.end.close()
  })
})
