/** What goes by itself (protocol §6.6, §10.2): what has ended, what its user keeps no longer, what the cache has no room for. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import { keyOf, listOf } from '../../../objects/store/layout.ts'
import { removeUnheld } from '../../../objects/store/removal.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { waitUntil } from '../../support/conditions.ts'
import { type HandDomain, type HandUser, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { type RawEnd, rawTls } from '../../support/raw.ts'

const dayMs = 86_400_000

describe('upkeep', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let edgar: HandUser
  let lost: Person
  let client: Connection
  let lastN = 0

  beforeEach(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org', { limits: { cacheBytes: 65_536 } })
    poe = network.hand('poe.net')
    edgar = handUser(poe, 'edgar@poe.net')
    lost = await enrol(server, 'lost@lenore.org')
    client = await connectAs(server, lost)
  })

  afterEach(async () => {
    client.close()
    await network[Symbol.asyncDispose]()
  })

  async function bring(object: FmtpObject, ...to: string[]): Promise<void> {
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
    const answer = await end.ask({ verb: 'describe', n: ++lastN, object, for: to })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    end.close()
  }

  async function publish(object: object): Promise<void> {
    const answer = await client.describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
  }

  /** Every key and value of the store in which this stands. */
  async function mentions(text: string): Promise<string[]> {
    const rows = await server.running.store.database.scan({ gt: '', lt: '~' }, { limit: 100_000 })
    return rows.filter(row => row.some(part => part.includes(text))).map(([key]) => key)
  }

  const keep = (id: string, address: string) =>
    server.running.store.database.commit([{ puts: [[keyOf.kept(id, address), '']] }])

  const bytesOf = (list: Parameters<TestServer['running']['store']['database']['head']>[0]) =>
    server.running.store.database.head(list).bytes

  describe('of what has ended', () => {
    it('leaves nothing, and gives the room back', async () => {
      const expiresAt = new Date(network.clock.now() + 60_000).toISOString()
      const message = handMessage(edgar, [lost.address], { expiresAt })
      await bring(message, lost.address)
      await publish({
        id: '1.lost@lenore.org',
        kind: 'message',
        format: 'text/plain',
        body: 'Soon',
        to: [edgar.address],
        public: true,
        expiresAt,
      })
      assert.ok(bytesOf(listOf.box(lost.address)) > 0)
      assert.deepEqual(await server.running.upkeep.once(), { ended: 0, retired: 0, evicted: 0, blobs: 0 })
      network.clock.advance(61_000)
      await server.running.upkeep.once()
      assert.deepEqual(await mentions(message.id), [])
      const left = await mentions('1.lost@lenore.org')
      assert.ok(
        left.every(key => /^(entry outbox|spoke) /.test(key)),
        left.join(),
      )
      assert.equal(bytesOf(listOf.box(lost.address)), 0)
    })

    it('is not taken any more, from outside or from a device', async () => {
      const expiresAt = new Date(network.clock.now() - 1).toISOString()
      const createdAt = new Date(network.clock.now() - 1000).toISOString()
      const end = await rawTls(server.address, server.port, 'lenore.org')
      await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
      const object = handMessage(edgar, [lost.address], { createdAt, expiresAt })
      const brought = await end.ask({ verb: 'describe', n: 1, object, for: [lost.address] })
      assert.deepEqual([brought.outcome, brought.code], ['refused', 'FMTP_ENDED'])
      const draft = {
        id: '9.lost@lenore.org',
        kind: 'message',
        format: 'text/plain',
        body: 'Late',
        to: [edgar.address],
      }
      assert.equal((await client.describe({ object: { ...draft, createdAt, expiresAt } })).code, 'FMTP_ENDED')
      assert.deepEqual([await mentions(object.id), await mentions('9.lost@lenore.org')], [[], []])
      end.close()
    })

    it('keeps it for whom it is a favourite, and for nobody else', async () => {
      const alice = await enrol(server, 'alice@lenore.org')
      const expiresAt = new Date(network.clock.now() + 60_000).toISOString()
      const message = handMessage(edgar, [lost.address, alice.address], { expiresAt })
      await bring(message, lost.address, alice.address)
      await keep(message.id, lost.address)
      network.clock.advance(61_000)
      await server.running.upkeep.once()
      const other = await connectAs(server, alice)
      const outcomes = []
      for (const each of [client, other])
        outcomes.push((await each.request({ id: message.id })).answer.outcome)
      assert.deepEqual(outcomes, ['found', 'unreachable'])
      assert.equal(server.running.store.findBoxed(alice.address, message.id), undefined)
      other.close()
    })
  })

  describe('of what a user keeps no longer', () => {
    const old = (days: number, members: Partial<Message> = {}): Message => {
      const atMs = network.clock.now() - days * dayMs
      const from = handUser(poe, 'edgar@poe.net', atMs)
      return handMessage(from, [lost.address], {
        version: atMs,
        createdAt: new Date(atMs).toISOString(),
        ...members,
      })
    }

    it('takes messages that are older and came before, and nothing else', async () => {
      const messages = Array.from({ length: 12 }, () => handMessage(edgar, [lost.address]))
      for (const message of messages) await bring(message, lost.address)
      const [first] = messages as [Message]
      await keep(first.id, lost.address)
      await publish({
        id: '1.lost@lenore.org',
        kind: 'message',
        format: 'text/plain',
        body: 'Mine',
        to: [edgar.address],
      })
      await publish({ id: 'user.lost@lenore.org', kind: 'user', keepDays: 7 })
      assert.equal((await server.running.upkeep.once()).retired, 0)
      network.clock.advance(8 * dayMs)
      await server.running.upkeep.once()
      for (const message of messages.slice(1)) assert.deepEqual(await mentions(message.id), [])
      const { describes } = await client.request({ list: { of: 'box' } })
      const left = describes.map(({ object }) => object as FmtpObject)
      // That it was never delivered may have been told by then.
      assert.deepEqual(
        left.flatMap(({ id, kind }) => (kind === 'report' ? [] : [id])).sort(),
        [first.id, 'user.lost@lenore.org'].sort(),
      )
    })

    it('does not take what came late, before its user could read it', async () => {
      network.clock.advance(20 * dayMs)
      await publish({ id: 'user.lost@lenore.org', kind: 'user', keepDays: 1 })
      const message = old(3)
      await bring(message, lost.address)
      await server.running.upkeep.once()
      assert.ok(server.running.store.findBoxed(lost.address, message.id))
      network.clock.advance(2 * dayMs)
      await server.running.upkeep.once()
      assert.equal(server.running.store.findBoxed(lost.address, message.id), undefined)
    })

    it('does not take what may still be on its way to others', async () => {
      await publish({ id: 'user.lost@lenore.org', kind: 'user', keepDays: 1 })
      await publish({
        id: '1.lost@lenore.org',
        kind: 'message',
        format: 'text/plain',
        body: 'Mine',
        to: [edgar.address],
      })
      network.clock.advance(5 * dayMs)
      await server.running.upkeep.once()
      assert.equal((await client.request({ id: '1.lost@lenore.org' })).answer.outcome, 'found')
      network.clock.advance(2 * dayMs)
      await server.running.upkeep.once()
      assert.deepEqual(await mentions('newest box lost@lenore.org message'), [])
    })

    it('leaves it to others who have it', async () => {
      const alice = await enrol(server, 'alice@lenore.org')
      const message = handMessage(edgar, [lost.address, alice.address])
      await bring(message, lost.address, alice.address)
      await publish({ id: 'user.lost@lenore.org', kind: 'user', keepDays: 1 })
      network.clock.advance(2 * dayMs)
      await server.running.upkeep.once()
      const other = await connectAs(server, alice)
      assert.equal((await other.request({ id: message.id })).answer.outcome, 'found')
      const { describes } = await client.request({ list: { of: 'box', kind: 'message' } })
      assert.deepEqual(describes, [])
      other.close()
    })
  })

  describe('of the cache', () => {
    /** A home of its own whose users are asked for. */
    async function poets(count: number): Promise<TestServer> {
      const raven = await network.serve('raven.example')
      for (let at = 0; at < count; at++) {
        const address = `poet${at}@raven.example`
        await raven.running.accounts.create(address as never)
        const { store, accounts } = raven.running
        const user = store.findObject(`user.${address}`) as User
        const next = sealObject(
          { ...user, quote: 'x'.repeat(900), version: user.version + 1 } as Unsealed<User>,
          accounts.homeKey(address as never),
        )
        const write = await accounts.userWrite(next.object, user)
        await store.database.commit([
          { ...write, puts: [...write.puts, [keyOf.object(user.id), next.atRest]] },
        ])
      }
      return raven
    }

    const look = async (at: number): Promise<string> =>
      String((await client.request({ address: `poet${at}@raven.example`, effort: 'lookup' })).answer.outcome)

    const isHere = (at: number): boolean =>
      server.running.store.findObject(`user.poet${at}@raven.example`) !== undefined

    it('counts bytes and lets the least recently used go first', async () => {
      await poets(60)
      for (let at = 0; at < 30; at++) {
        assert.equal(await look(at), 'found')
        network.clock.advance(1)
      }
      const bytes = bytesOf(listOf.cache)
      assert.ok(bytes > 30 * 1000 && bytes < 65_536, `${bytes}`)
      // A day later the first is used again, which is noted.
      network.clock.advance(dayMs)
      assert.equal(await look(0), 'found')
      await waitUntil('the use is noted', async () =>
        (await mentions('user.poet0@raven.example')).some(
          key => key.startsWith('used') && key.includes(String(network.clock.now()).slice(0, 7)),
        ),
      )
      for (let at = 30; at < 60; at++) {
        network.clock.advance(1)
        assert.equal(await look(at), 'found')
      }
      await server.running.upkeep.evict()
      assert.ok(bytesOf(listOf.cache) <= 65_536)
      assert.ok(isHere(0) && isHere(59) && !isHere(1))
      assert.equal(await look(1), 'found', 'it can be fetched again')
    })

    it('counts an object once, however often it was fetched anew', async () => {
      const raven = await poets(1)
      assert.equal(await look(0), 'found')
      const before = bytesOf(listOf.cache)
      const { accounts } = raven.running
      const poet = await connectAs(raven, await enrol(raven, 'poet0@raven.example'))
      for (let edit = 1; edit <= 3; edit++) {
        network.clock.advance(dayMs)
        const object = { id: 'user.poet0@raven.example', kind: 'user', public: true, quote: `${edit}` }
        assert.equal((await poet.describe({ object })).outcome, 'stored')
        accounts.forget('poet0@raven.example' as never)
        assert.equal(await look(0), 'found')
        await waitUntil('it is kept', () => {
          const user = server.running.store.findObject('user.poet0@raven.example') as User | undefined
          return user?.quote === `${edit}`
        })
      }
      const text = server.running.store.findText('user.poet0@raven.example') ?? ''
      assert.equal(bytesOf(listOf.cache), text.length)
      assert.ok(bytesOf(listOf.cache) < before)
      poet.close()
    })

    it('never lets go what somebody here has in a box or among the favourites', async () => {
      await poets(60)
      for (const at of [0, 1]) assert.equal(await look(at), 'found')
      const { store } = server.running
      await keep('user.poet0@raven.example', lost.address)
      const held = store.findObject('user.poet1@raven.example') as FmtpObject
      const end: RawEnd = await rawTls(server.address, server.port, 'lenore.org')
      await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
      const given = await end.ask({ verb: 'describe', n: 1, object: held, for: [lost.address] })
      assert.equal(given.outcome, 'duplicate')
      assert.ok(!(await mentions('user.poet1@raven.example')).some(key => /^(cached|used) /.test(key)))
      for (let at = 2; at < 60; at++) {
        network.clock.advance(1)
        await look(at)
      }
      await server.running.upkeep.evict()
      assert.ok(isHere(0) && isHere(1) && !isHere(2))
      end.close()
    })

    it('an object that somebody is given while it goes stays, or goes before', async () => {
      const { store } = server.running
      for (let at = 0; at < 40; at++) {
        const message = handMessage(edgar, [lost.address, 'alice@lenore.org'])
        await bring(message, lost.address)
        const { id } = message
        await store.database.commit([{ dels: [keyOf.boxed(lost.address, id)] }])
        const ended = await Promise.all([
          removeUnheld(store, id),
          new Promise(resolve => setTimeout(resolve, at % 4)).then(() =>
            bring(message, lost.address).catch(() => undefined),
          ),
        ])
        const boxed = store.findBoxed(lost.address, id)
        assert.equal(store.findObject(id) !== undefined, boxed !== undefined || !ended[0])
        assert.equal(store.database.get(keyOf.leaving(id)), undefined)
      }
    })

    describe('while one is said to go', () => {
      const leave = (id: string) =>
        server.running.store.database.commit([{ puts: [[keyOf.leaving(id), '']] }])
      const stay = (id: string) => server.running.store.database.commit([{ dels: [keyOf.leaving(id)] }])
      let message: Message
      let end: RawEnd

      beforeEach(async () => {
        message = handMessage(edgar, [lost.address, 'alice@lenore.org'])
        await bring(message, lost.address)
        await enrol(server, 'alice@lenore.org')
        await leave(message.id)
        end = await rawTls(server.address, server.port, 'lenore.org')
        await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
      })

      afterEach(() => end.close())

      const give = () => end.ask({ verb: 'describe', n: 5, object: message, for: ['alice@lenore.org'] })

      it('others are served, and it is given when it stays', async () => {
        const given = give()
        const { answer } = await client.request({ address: lost.address })
        assert.equal(answer.outcome, 'found')
        assert.equal(server.running.store.findBoxed('alice@lenore.org', message.id), undefined)
        await stay(message.id)
        assert.deepEqual((await given).results, [{ for: 'alice@lenore.org', outcome: 'stored' }])
      })

      it('and never does, who brings it is told to come back, and upkeep sets it right', async () => {
        const given = await give()
        assert.equal(given.outcome, 'busy')
        assert.equal(given.code, 'FMTP_BUSY')
        assert.ok(Number(given.retryAfterMs) > 0)
        await server.running.upkeep.once()
        assert.deepEqual((await give()).results, [{ for: 'alice@lenore.org', outcome: 'stored' }])
      })
    })
  })
})
