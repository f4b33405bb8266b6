/** The third door (protocol §9) to those who may see little: what lists tell them, and how much is read for them. */
import assert from 'node:assert/strict'
import type { FmtpObject } from '../../../schemas/object.ts'
import { waitUntil } from '../../support/conditions.ts'
import { type HandDomain, handMessage, handProfile, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { type RawEnd, type Received, rawTls } from '../../support/raw.ts'

describe('reveal', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let lost: Person
  let guest: RawEnd

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org')
    poe = network.hand('poe.net')
    lost = await enrol(server, 'lost@lenore.org')
    await publish(lost, { id: 'pinned.lost@lenore.org', public: true })
  })

  after(() => network[Symbol.asyncDispose]())

  beforeEach(async () => {
    guest = await rawTls(server.address, server.port, 'lenore.org')
    await guest.hello('lenore.org')
  })

  afterEach(() => guest.close())

  async function publish(person: Person, members: object): Promise<void> {
    const client = await connectAs(server, person)
    const message = { kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['nobody@lenore.org'] }
    const answer = await client.describe({ object: { ...message, ...members } })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    client.close()
  }

  async function change(person: Person, members: object): Promise<void> {
    const client = await connectAs(server, person)
    const answer = await client.describe({
      object: { id: `user.${person.address}`, kind: 'user', ...members },
    })
    assert.equal(answer.outcome, 'stored')
    client.close()
  }

  let lastN = 0
  async function ask(list: object, more: object = {}): Promise<Received & { ids: string[] }> {
    const n = ++lastN
    const answer = await guest.ask({ verb: 'request', n, list, ...more })
    const ids = guest.frames.filter(({ re }) => re === n).map(({ object }) => (object as FmtpObject).id)
    return { ...answer, ids }
  }

  it('a list of a foreign owner is unreachable, which says nothing of existence', async () => {
    for (const owner of ['edgar@poe.net', 'poe.net']) {
      const { outcome, code } = await ask({ of: 'public', owner })
      assert.deepEqual([outcome, code], ['unreachable', 'FMTP_NOT_HERE'])
    }
  })

  it('a public list of a domain of ours has its server object and what its users made public', async () => {
    const { outcome, ids } = await ask({ of: 'public', owner: 'lenore.org' })
    assert.deepEqual([outcome, ids], ['found', ['server.lenore.org', 'pinned.lost@lenore.org']])
  })

  it('a hidden user has no list for strangers, nor one that grows', async () => {
    const hidden = await enrol(server, 'hidden@lenore.org')
    await change(hidden, { public: false })
    await publish(hidden, { id: 'a.hidden@lenore.org', public: true })
    const { cursor = '' } = await ask({ of: 'public', owner: 'lost@lenore.org' })
    const [epoch] = String(cursor).split('.')
    for (const after of [undefined, `${epoch}.7`]) {
      const query = { of: 'public', ...(after === undefined ? {} : { after }) }
      const { re: _, ...unknown } = await ask({ ...query, owner: 'nobody@lenore.org' })
      const { re: __, ...seen } = await ask({ ...query, owner: 'hidden@lenore.org' })
      assert.deepEqual(seen, unknown)
      assert.equal(seen.cursor, after ?? `${epoch}.0`)
    }
    await ask({ of: 'public', owner: 'hidden@lenore.org' }, { follow: true })
    await ask({ of: 'public', owner: 'lost@lenore.org' }, { follow: true })
    guest.frames.splice(0)
    await publish(hidden, { id: 'b.hidden@lenore.org', public: true })
    await publish(lost, { id: 'b.lost@lenore.org', public: true })
    const came = await guest.next()
    assert.equal((came.object as FmtpObject).id, 'b.lost@lenore.org')
    for (const order of ['arrival', 'newest']) {
      const ofDomain = await ask({ of: 'public', owner: 'lenore.org', order })
      assert.ok(ofDomain.ids.includes('b.lost@lenore.org') && !ofDomain.ids.includes('b.hidden@lenore.org'))
    }
    // A friend sees both.
    await change(hidden, { public: false, whitelist: ['lost@lenore.org'] })
    const friend = await connectAs(server, lost)
    const { describes } = await friend.request({ list: { of: 'public', owner: 'hidden@lenore.org' } })
    assert.equal(describes.length, 2)
    friend.close()
  })

  it('a private thread looks like an empty one', async () => {
    const top = 'secret.lost@lenore.org'
    await publish(lost, { id: top })
    await publish(lost, { id: 'answer.lost@lenore.org', parent: top, top })
    const { re: _, ...seen } = await ask({ of: 'thread', top })
    const { re: __, ...empty } = await ask({ of: 'thread', top: 'nothing.lost@lenore.org' })
    assert.deepEqual(seen, empty)
  })

  it('a thread tells strangers nothing of what comes after the last that they may see', async () => {
    const top = 'open.lost@lenore.org'
    await publish(lost, { id: top, public: true })
    const before = await ask({ of: 'thread', top })
    await publish(lost, { id: 'whisper.lost@lenore.org', parent: top, top })
    const { cursor, complete, ids } = await ask({ of: 'thread', top })
    assert.deepEqual([cursor, complete, ids], [before.cursor, true, [top]])
    const n = ++lastN
    await guest.ask({ verb: 'request', n, list: { of: 'thread', top, after: cursor }, follow: true })
    guest.frames.splice(0)
    await publish(lost, { id: 'shout.lost@lenore.org', parent: top, top, public: true })
    assert.equal(((await guest.next()).object as FmtpObject).id, 'shout.lost@lenore.org')
  })

  it('a page for strangers ends when 5,000 entries were looked at, and the next goes on', async () => {
    const { store } = server.running
    const top = 'long.lost@lenore.org'
    const entry = { id: 'none.lost@lenore.org', version: 1 } as FmtpObject
    const append = {
      list: `thread ${top}` as const,
      value: JSON.stringify({ id: entry.id, version: entry.version }),
      bytes: 0,
    }
    await store.database.commit([{ appends: Array.from({ length: 5001 }, () => append) }])
    await publish(lost, { id: top, public: true })
    const first = await ask({ of: 'thread', top })
    assert.deepEqual([first.complete, first.ids], [false, []])
    const second = await ask({ of: 'thread', top, after: first.cursor })
    assert.deepEqual([second.complete, second.ids], [true, [top]])
  })

  it('a connection has a hundred follows open at most', async () => {
    const list = { of: 'public', owner: 'lost@lenore.org' }
    for (let n = 1; n <= 100; n++) assert.equal((await ask(list, { follow: true })).outcome, 'found')
    const { outcome, code } = await ask(list, { follow: true })
    assert.deepEqual([outcome, code], ['busy', 'FMTP_RATE'])
    guest.sendFrame({ verb: 'request', n: lastN - 1, follow: false })
    assert.equal((await ask(list, { follow: true })).outcome, 'found')
  })

  it('what the house has fetched is shown to those of the house who may see it', async () => {
    const edgar = handUser(poe, 'edgar@poe.net')
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    const message = handMessage(edgar, ['lost@lenore.org'])
    const frame = { verb: 'describe', n: 1, object: message, for: ['lost@lenore.org'] }
    assert.equal((await end.ask(frame)).outcome, 'stored')
    // As the ladder keeps what it fetched.
    await server.running.store.database.commit([
      { puts: [[`foreign ${message.id}`, String(network.clock.now())]] },
    ])
    const outcomes = []
    for (const who of ['lost', 'alice'] as const) {
      const client = await connectAs(server, await enrol(server, `${who}@lenore.org`))
      outcomes.push((await client.request({ id: message.id, effort: 'lookup' })).answer.outcome)
      client.close()
    }
    assert.deepEqual(outcomes, ['found', 'absent'])
    end.close()
  })

  it('a user is for everyone who did not say otherwise', async () => {
    const annabel = handUser(poe, 'annabel@poe.net')
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    const { public: _, encryptedKey: __, hash: ___, ...silent } = handProfile(annabel)
    const profiles = [silent, { ...silent, public: false, version: silent.version + 1 }]
    const outcomes = []
    for (const [at, members] of profiles.entries()) {
      const { public: isPublic, version } = members as FmtpObject
      const profile = handProfile(annabel, { version, public: isPublic } as Partial<FmtpObject>)
      const bare = JSON.parse(JSON.stringify(profile)) as object
      await end.ask({ verb: 'describe', n: at + 1, object: bare, for: ['lost@lenore.org'] })
      const n = ++lastN
      outcomes.push((await guest.ask({ verb: 'request', n, address: annabel.address })).outcome)
    }
    assert.deepEqual(outcomes, ['found', 'unreachable'])
    end.close()
  })

  it('guests of one address ask 300 times a minute', async () => {
    const strict = await network.serve('raven.example', { limits: { exempt: [] } })
    const ends = await Promise.all(
      [1, 2].map(async () => {
        const end = await rawTls(strict.address, strict.port, 'raven.example')
        await end.hello('raven.example')
        return end
      }),
    )
    const [first, second] = ends as [RawEnd, RawEnd]
    for (let n = 1; n <= 300; n++) first.sendFrame({ verb: 'request', n, address: 'nobody@raven.example' })
    assert.equal((await first.answer(300)).outcome, 'absent')
    const late = await second.ask({ verb: 'request', n: 1, address: 'nobody@raven.example' })
    assert.deepEqual([late.outcome, late.code], ['busy', 'FMTP_RATE'])
    assert.ok(Number(late.retryAfterMs) > 0 && Number(late.retryAfterMs) <= 60_000)
    const response = await fetch(`${strict.origin}/users/nobody@raven.example`)
    assert.equal(response.status, 429)
    assert.ok(Number(response.headers.get('Retry-After')) > 0)
    const raven = await enrol(strict, 'raven@raven.example')
    const client = await connectAs(strict, raven)
    assert.equal((await client.request({ address: 'nobody@raven.example' })).answer.outcome, 'absent')
    client.close()
    for (const end of ends) end.close()
    await waitUntil('their end', () => ends.every(({ isClosed }) => isClosed))
    await network.stop('raven.example')
  })
})
