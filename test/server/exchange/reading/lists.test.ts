/** Lists (protocol §9.4): orders, kinds, limits, cursors that keep their promise while others write, and what has ended. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../../client/connection.ts'
import { sealObject } from '../../../../objects/seals/seal.ts'
import type { ListQuery } from '../../../../schemas/frame.ts'
import type { FmtpObject, Unsealed } from '../../../../schemas/object.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../../support/network.ts'
import { createRandom } from '../../../support/random.ts'
import { rawTls } from '../../../support/raw.ts'

describe('lists', () => {
  let network: Network
  let server: TestServer
  let lost: Person
  let client: Connection

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org')
  })

  after(() => network[Symbol.asyncDispose]())

  let lastUser = 0
  beforeEach(async () => {
    lost = await enrol(server, `lost${++lastUser}@lenore.org`)
    client = await connectAs(server, lost)
  })

  afterEach(() => client.close())

  /** A message of lost, made at a time of its own. */
  async function write(createdAtMs: number, members: object = {}): Promise<string> {
    const object = sealObject(
      {
        body: 'Nevermore',
        createdAt: new Date(createdAtMs).toISOString(),
        format: 'text/plain',
        id: `${createdAtMs}-${Math.random().toString(36).slice(2)}.${lost.address}`,
        kind: 'message',
        owner: lost.address,
        to: ['nobody@lenore.org'],
        version: Date.now(),
        ...members,
      } as Unsealed,
      lost,
    ).object
    const answer = await client.describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    return object.id
  }

  async function page(list: ListQuery) {
    const { answer, describes } = await client.request({ list })
    assert.equal(answer.outcome, 'found', JSON.stringify(answer))
    const ids = describes.map(({ object }) => (object as FmtpObject).id)
    return { ids, cursor: String(answer.cursor), isComplete: answer.complete === true, describes }
  }

  /** All of a list, page by page; `between` runs after each. */
  async function readAll(list: ListQuery, between?: () => Promise<unknown>): Promise<string[]> {
    const ids: string[] = []
    for (let after: string | undefined; ; ) {
      const read = await page({ ...list, ...(after === undefined ? {} : { after }) })
      ids.push(...read.ids)
      if (read.isComplete) return ids
      after = read.cursor
      await between?.()
    }
  }

  it('the order of making agrees with a sort, whatever the order of arrival, page by page', async () => {
    const random = createRandom(7)
    const made: { id: string; atMs: number }[] = []
    for (let at = 0; at < 150; at++) {
      // Some of one millisecond.
      const atMs = Date.now() - 1000 * random.below(40)
      made.push({ id: await write(atMs), atMs })
    }
    const timeOf = new Map(made.map(({ id, atMs }) => [id, atMs]))
    for (const limit of [7, 100, 500]) {
      const ids = (await readAll({ of: 'box', order: 'newest', limit })).filter(id => timeOf.has(id))
      assert.deepEqual([...ids].sort(), made.map(({ id }) => id).sort(), 'each once')
      const times = ids.map(id => timeOf.get(id) ?? 0)
      assert.deepEqual(
        times,
        [...times].sort((left, right) => right - left),
      )
    }
    const arrived = await readAll({ of: 'box', limit: 7 })
    assert.deepEqual(
      arrived,
      made.map(({ id }) => id),
    )
  })

  it('cursors keep their promise while others write: nothing skipped, nothing twice', async () => {
    const before: string[] = []
    for (let at = 0; at < 60; at++) before.push(await write(Date.now() - 60_000 - at))
    for (const order of ['newest', 'arrival'] as const) {
      let written = 0
      const ids = await readAll({ of: 'box', order, limit: 10 }, async () => {
        if (written++ > 20) return
        await write(Date.now())
        await write(Date.now() - 3_600_000)
        // An edit moves nothing in the order of making, and comes again in that of arrival.
        const id = before[written]
        if (id !== undefined)
          await client.describe({
            object: {
              id,
              kind: 'message',
              format: 'text/plain',
              body: `${written}`,
              to: ['nobody@lenore.org'],
            },
          })
      })
      for (const id of before) assert.ok(ids.includes(id), 'nothing is skipped')
      if (order === 'newest') assert.equal(new Set(ids).size, ids.length, 'nothing comes twice')
    }
  })

  it('one kind of a list, in both orders', async () => {
    const ids = [await write(Date.now() - 2000), await write(Date.now() - 1000)]
    await client.describe({ object: { id: `user.${lost.address}`, kind: 'user', quote: 'Nevermore' } })
    for (const [kind, wanted] of [
      ['message', ids],
      ['user', [`user.${lost.address}`]],
      ['raven', []],
    ] as const) {
      assert.deepEqual((await page({ of: 'box', kind })).ids, wanted)
      assert.deepEqual((await page({ of: 'box', kind, order: 'newest' })).ids, [...wanted].reverse())
    }
    assert.deepEqual((await page({ of: 'box', order: 'newest', limit: 2 })).ids.length, 2)
  })

  it('a page has 100 objects by default, and ends at 1 MiB', async () => {
    for (let at = 0; at < 101; at++) await write(Date.now() - at)
    for (const order of ['arrival', 'newest'] as const) {
      assert.equal((await page({ of: 'box', order })).ids.length, 100)
      assert.equal((await page({ of: 'box', order, limit: 500 })).ids.length, 101)
    }
    for (let at = 0; at < 6; at++) await write(Date.now() + at, { body: 'x'.repeat(250_000) })
    assert.equal((await page({ of: 'box', order: 'newest' })).ids.length, 5)
    const { answer } = await client.request({ list: { of: 'box', limit: 501 } as ListQuery })
    assert.equal(answer.code, 'FMTP_BAD_FRAME')
  })

  it('what was deleted is not in the order of making, and comes as a tombstone in that of arrival', async () => {
    const ids = [
      await write(Date.now() - 2000, { public: true }),
      await write(Date.now() - 1000, { public: true }),
    ]
    await client.describe({ object: { id: ids[0] as string, kind: 'message', deleted: true } })
    const thread = { of: 'thread', top: ids[0] as string } as const
    for (const list of [{ of: 'box' }, { of: 'public', owner: lost.address }] as const) {
      assert.deepEqual((await page({ ...list, order: 'newest' })).ids, [ids[1]])
      const { ids: arrived, describes } = await page(list)
      assert.deepEqual(arrived, [ids[1], ids[0]])
      assert.equal((describes.at(1)?.object as Partial<FmtpObject> | undefined)?.deleted, true)
    }
    assert.deepEqual(
      [(await page(thread)).ids, (await page({ ...thread, order: 'newest' })).ids],
      [[ids[0]], []],
    )
  })

  it('what is not public any more is in no public list', async () => {
    const id = await write(Date.now(), { public: true })
    const draft = { id, kind: 'message', format: 'text/plain', body: 'Hush', to: ['nobody@lenore.org'] }
    await client.describe({ object: { ...draft, public: false } })
    for (const owner of [lost.address, 'lenore.org'])
      for (const order of ['arrival', 'newest'] as const)
        assert.ok(!(await page({ of: 'public', owner, order })).ids.includes(id))
    await client.describe({ object: { ...draft, public: true } })
    assert.deepEqual((await page({ of: 'public', owner: lost.address })).ids, [id])
  })

  it('what has ended by its own word is not there any more', async () => {
    const expiresAt = new Date(network.clock.now() + 60_000).toISOString()
    const id = await write(Date.now(), { expiresAt })
    assert.deepEqual((await page({ of: 'box' })).ids, [id])
    network.clock.advance(61_000)
    for (const order of ['arrival', 'newest'] as const)
      assert.deepEqual((await page({ of: 'box', order })).ids, [])
    assert.equal((await client.request({ id })).answer.outcome, 'absent')
  })

  it('who follows the newest gets the page, and then what comes, each once', async () => {
    const old = await write(Date.now() - 1000)
    const came: string[] = []
    await client.request(
      { list: { of: 'box', order: 'newest', limit: 20 }, follow: true },
      ({ object }) => void came.push((object as FmtpObject).id),
    )
    assert.deepEqual(came, [old])
    const next = await write(Date.now())
    const deadlineMs = Date.now() + 5000
    while (!came.includes(next) && Date.now() < deadlineMs)
      await new Promise(resolve => setTimeout(resolve, 5))
    assert.deepEqual(came, [old, next])
  })

  it('who follows a list whose newest post was made private holds up nobody, and gets what comes', async () => {
    const post = (nonce: string, isPublic: boolean, body: string) => ({
      object: { id: `${nonce}.${lost.address}`, kind: 'post', format: 'text/plain', body, public: isPublic },
    })
    await client.describe(post('p1', true, 'Nevermore'))
    await client.describe(post('p1', false, 'Not for all'))
    const guest = await rawTls(server.address, server.port, 'lenore.org')
    try {
      await guest.hello('lenore.org')
      const list = { of: 'public', owner: lost.address }
      assert.equal((await guest.ask({ verb: 'request', n: 1, list, follow: true })).outcome, 'found')
      assert.equal((await guest.ask({ verb: 'request', n: 2 })).outcome, 'found')
      await client.describe(post('p2', true, 'Evermore'))
      const told = await guest.next(({ verb, re }) => verb === 'describe' && re === 1)
      assert.equal((told.object as FmtpObject).id, `p2.${lost.address}`)
    } finally {
      guest.close()
    }
  })

  it('a cursor of the other order is FMTP_BAD_FRAME, one of another store FMTP_CURSOR_LOST', async () => {
    await write(Date.now())
    const [arrival, newest] = [await page({ of: 'box' }), await page({ of: 'box', order: 'newest' })]
    for (const [list, code] of [
      [{ of: 'box', order: 'newest', after: arrival.cursor }, 'FMTP_BAD_FRAME'],
      [{ of: 'box', after: newest.cursor }, 'FMTP_BAD_FRAME'],
      [{ of: 'box', after: 'other.1' }, 'FMTP_CURSOR_LOST'],
      [{ of: 'box', order: 'newest', after: `other.${newest.cursor.split('.')[1]}` }, 'FMTP_CURSOR_LOST'],
    ] as const)
      assert.equal((await client.request({ list })).answer.code, code)
  })

  it('an edit takes the room of what it replaces, and a full box takes what makes it emptier', async () => {
    const { database } = server.running.store
    const bob = await enrol(server, `bob${lastUser}@lenore.org`)
    const bytes = (): number => database.head(`box ${bob.address}`).bytes
    const id = `1.${lost.address}`
    const draft = { id, kind: 'message', format: 'text/plain', to: [bob.address] }
    await client.describe({ object: { ...draft, body: 'x'.repeat(10_000) } })
    const full = bytes()
    assert.ok(full > 10_000)
    await client.describe({ object: { ...draft, body: 'x' } })
    assert.ok(bytes() < 1000)
    await client.describe({ object: { id, kind: 'message', deleted: true } })
    assert.ok(bytes() < 1000)
  })
})
