/**
 * Somebody is added to a conversation (protocol §8.3, §8.6, §10.4): the messages before follow in the author's name, in whatever
 * order they come, also to somebody who takes nothing from strangers; and nobody gets anything into a box by that way who may
 * not write there.
 */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { readCredential } from '../../objects/seals/credential.ts'
import { signerOf } from '../../objects/seals/keys.ts'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { leaveBox } from '../../objects/store/removal.ts'
import type { ListQuery } from '../../schemas/frame.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Domain, parseAddress } from '../../schemas/text/names.ts'
import { openCore } from '../../server/core/core.ts'
import { verifyStore } from '../../server/verify/verify.ts'
import type { Signer } from '../../wire/jws.ts'
import { waitUntil } from '../support/conditions.ts'
import { handMessage, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const [edgar, bob, lost] = ['edgar@poe.net', 'bob@poe.net', 'lost@lenore.org'] as const
const [alice, ada] = ['alice@raven.example', 'ada@raven.example'] as const

describe('somebody who is added to a conversation', function () {
  this.timeout(30_000)
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let raven: TestServer
  let people: Map<string, Connection>
  let lastMs: number

  beforeEach(async () => {
    network = await Network.start()
    lastMs = 0
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    raven = await network.serve('raven.example')
    people = new Map()
    for (const server of [poe, lenore, raven])
      for (const address of [edgar, bob, lost, alice, ada])
        if (address.endsWith(`@${server.domain}`))
          people.set(address, await connectAs(server, await enrol(server, address)))
  })

  afterEach(async () => {
    for (const each of people.values()) each.close()
    await network[Symbol.asyncDispose]()
  })

  function by(address: string): Connection {
    const connection = people.get(address)
    assert.ok(connection, address)
    return connection
  }

  async function publish(address: string, object: object): Promise<string[]> {
    const answer = await by(address).describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    return (answer.results ?? []).map(({ outcome }) => outcome)
  }

  /** Ids, and so the order of making, follow each other. */
  function message(address: string, to: readonly string[], more: object = {}): Message {
    lastMs = Math.max(lastMs + 1, network.clock.now())
    const id = mintId(parseAddress(address), lastMs) as string
    const createdAt = new Date(lastMs).toISOString()
    return {
      body: `by ${address}`,
      createdAt,
      format: 'text/plain',
      id,
      kind: 'message',
      to: [...to],
      ...more,
    } as Message
  }

  async function listed(address: string, list: ListQuery = { of: 'box' }): Promise<FmtpObject[]> {
    const { describes } = await by(address).request({ list })
    return describes.map(({ object }) => object as FmtpObject)
  }

  const idsOf = async (address: string, list?: ListQuery) => (await listed(address, list)).map(({ id }) => id)

  const arrived = (address: string, ids: readonly string[]) =>
    waitUntil(
      `all comes to ${address}`,
      async () => {
        const there = new Set(await idsOf(address, { of: 'box', limit: 500 }))
        return ids.every(id => there.has(id)) ? true : undefined
      },
      10_000,
    )

  /** Writes a message, and waits until others have it. */
  async function say(address: string, to: readonly string[], parent?: string): Promise<string> {
    const sent = message(address, to, parent === undefined ? {} : { parent })
    await publish(address, sent)
    for (const each of to.filter(name => people.has(name))) await arrived(each, [sent.id])
    return sent.id
  }

  /** Edgar and lost talk: five messages, each answering the one before. */
  async function talk(): Promise<string[]> {
    const ids = [await say(edgar, [lost])]
    for (let turn = 1; turn < 5; turn++)
      ids.push(turn % 2 === 1 ? await say(lost, [edgar], ids.at(-1)) : await say(edgar, [lost], ids.at(-1)))
    return ids
  }

  async function settings(address: string, more: object): Promise<void> {
    const answer = await by(address).describe({ object: { id: `user.${address}`, kind: 'user', ...more } })
    assert.match(answer.outcome, /stored|duplicate/)
  }

  const decisions = ({ log }: TestServer, id: string, to: string) =>
    log
      .filter(({ event, record }) => event === 'admit' && record.id === id && record.for === to)
      .map(({ record }) => record)

  const inOrder = { of: 'box', kind: 'message', order: 'newest' } as const

  for (const policy of ['accept', 'reject'])
    it(`has all that was said before, and the thread whole, under policy ${policy}`, async () => {
      await settings(alice, { policy, ...(policy === 'reject' ? { whitelist: [edgar] } : {}) })
      const ids = await talk()
      const top = ids[0] ?? ''
      const added = await say(edgar, [lost, alice], ids.at(-1))
      const all = [...ids, added]
      await arrived(alice, all)
      assert.deepEqual((await idsOf(alice, inOrder)).reverse(), all)
      const thread = await listed(alice, { of: 'thread', top })
      assert.deepEqual(thread.map(({ id }) => id).sort(), [...all].sort())
      for (const [at, object] of (await listed(alice, inOrder)).reverse().entries()) {
        assert.equal(object.parent, all[at - 1])
        assert.equal(object.top, at === 0 ? undefined : top)
      }
      // One after the other: what belongs to the message was not sent before that was taken.
      assert.deepEqual(
        new Set(ids.flatMap(id => decisions(raven, id, alice).map(({ outcome }) => outcome))),
        new Set(['stored']),
      )
      assert.equal(raven.running.store.findBoxed(alice, top)?.by, edgar)
      assert.equal(raven.running.store.findBoxed(alice, added)?.by, undefined)

      await settings(lost, { policy: 'reject', whitelist: [] })
      const answer = await say(alice, [edgar, lost], added)
      for (const address of [edgar, lost, alice])
        assert.deepEqual((await idsOf(address, { of: 'thread', top })).at(-1), answer)
      const last = await say(lost, [edgar, alice], answer)
      assert.equal((await idsOf(alice, { of: 'thread', top })).at(-1), last, 'lost takes part')
    })

  it('has what was said beside what is answered, and one of the same server has it too', async () => {
    for (const address of [alice, bob]) await settings(address, { policy: 'reject', whitelist: [edgar] })
    const top = await say(edgar, [lost])
    const left = await say(lost, [edgar], top)
    const right = await say(lost, [edgar], top)
    const below = await say(edgar, [lost], left)
    const added = await say(edgar, [lost, alice, bob], right)
    const all = [top, left, right, below, added]
    for (const address of [alice, bob]) {
      await arrived(address, all)
      assert.deepEqual((await idsOf(address, inOrder)).reverse(), all)
      assert.equal((await idsOf(address, { of: 'thread', top })).length, all.length)
    }
    assert.equal(poe.running.store.findBoxed(bob, left)?.by, edgar)
    const { describes } = await by(bob).request({ list: { of: 'box', kind: 'message' } })
    const forwarders = new Map(describes.map(frame => [(frame.object as FmtpObject).id, frame.by]))
    assert.deepEqual(
      all.map(id => forwarders.get(id)),
      [edgar, edgar, edgar, edgar, undefined],
    )
    // Nearest first: the parent, its ancestors, then the rest from the newest on.
    const queued = await poe.running.store.database.entries(listOf.outbox('raven.example'), 0, 100)
    const ids = queued.map(({ value }) => (JSON.parse(value) as { id: string }).id)
    assert.deepEqual(ids, ['user.edgar@poe.net', added, right, top, below, left])
  })

  it('is handed on nothing that she has, and nothing twice', async () => {
    const ids = await talk()
    const shown = message(edgar, [lost, alice], { parent: ids[1] })
    await publish(edgar, shown)
    await arrived(alice, [...ids.slice(0, 2), shown.id])
    const { number } = poe.running.store.database.head(listOf.outbox('raven.example'))
    const again = await by(edgar).describe({ object: shown })
    assert.equal(again.outcome, 'duplicate')
    assert.equal(poe.running.store.database.head(listOf.outbox('raven.example')).number, number)
    await arrived(alice, ids)
    // Both at once, and each adds her to what she was not given.
    const more = await say(lost, [edgar], ids.at(-1))
    const two = [1, 2].map(() => message(edgar, [alice], { parent: more }))
    await Promise.all(two.map(each => publish(edgar, each)))
    await arrived(alice, [more, ...two.map(({ id }) => id)])
    for (const id of [...ids, shown.id, more, ...two.map(each => each.id)])
      assert.equal(decisions(raven, id, alice).length, 1, id)
  })

  it('is handed on again what she did not take before', async () => {
    await settings(alice, { policy: 'reject' })
    const ids = await talk()
    await publish(edgar, message(edgar, [lost, alice], { parent: ids.at(-1) }))
    const state = async (id: string) => {
      const { answer } = await by(edgar).request({ id })
      return (answer.results ?? []).find(each => each.for === alice)?.outcome
    }
    const [top = ''] = ids
    await waitUntil('she has refused', async () => ((await state(top)) === 'refused' ? true : undefined))
    assert.deepEqual(decisions(raven, top, alice), [], 'what belongs to a refused message is not even sent')
    await settings(alice, { policy: 'reject', whitelist: [edgar] })
    const added = await say(edgar, [lost, alice], ids.at(-1))
    await arrived(alice, [...ids, added])
    await waitUntil('it is known', async () => ((await state(top)) === 'stored' ? true : undefined))
    const { answer } = await by(edgar).request({ id: top })
    assert.deepEqual(
      (answer.results ?? []).map(each => [each.for, each.outcome]),
      [
        [lost, 'stored'],
        [alice, 'stored'],
      ],
    )
    const reports = (await listed(edgar)).filter(({ kind }) => kind === 'report') as { about?: string }[]
    assert.ok(
      reports.every(({ about }) => !ids.includes(String(about))),
      'nobody is told of what was handed on',
    )
  })

  it('has it all when her server was away and that of the author ended meanwhile', async () => {
    await settings(alice, { policy: 'reject', whitelist: [edgar] })
    const ids = await talk()
    by(alice).close()
    await network.stop('raven.example')
    const added = message(edgar, [lost, alice], { parent: ids.at(-1) })
    await publish(edgar, added)
    by(edgar).close()
    await network.stop('poe.net')
    raven = await network.serve('raven.example')
    poe = await network.serve('poe.net')
    people.set(alice, await connectAs(raven, await enrol(raven, alice)))
    network.clock.advance(120_000)
    await arrived(alice, [...ids, added.id])
    assert.equal((await idsOf(alice, { of: 'thread', top: ids[0] ?? '' })).length, 6)
  })

  it('adds others in turn, and they have what was handed on to who adds them', async () => {
    const top = await say(lost, [bob])
    const reply = await say(bob, [lost], top)
    const second = await say(lost, [bob], reply)
    const first = await say(bob, [lost, edgar], second)
    await arrived(edgar, [top, reply, second, first])
    assert.equal(poe.running.store.findBoxed(edgar, top)?.by, bob)
    // Neither bob nor lost may write to her, and nothing before was written to edgar.
    await settings(alice, { policy: 'reject', whitelist: [edgar] })
    const added = await say(edgar, [lost, bob, alice], first)
    const all = [top, reply, second, first, added]
    await arrived(alice, all)
    assert.deepEqual((await idsOf(alice, inOrder)).reverse(), all)
    for (const id of [top, reply, second]) assert.equal(raven.running.store.findBoxed(alice, id)?.by, edgar)
    // At the same server, and to a third domain; hers stands for nobody else.
    await settings(ada, { policy: 'reject', whitelist: [alice] })
    const last = await say(alice, [edgar, bob, lost, ada], added)
    await arrived(ada, [...all, last])
    assert.deepEqual((await idsOf(ada, inOrder)).reverse(), [...all, last])
    assert.equal(raven.running.store.findBoxed(ada, top)?.by, alice)
  })

  it('is not brought what was written to somebody whom she does not want to hear of', async () => {
    const top = await say(lost, [bob])
    const first = await say(bob, [lost, edgar], top)
    await arrived(edgar, [top, first])
    await settings(alice, { policy: 'reject', whitelist: [edgar], blacklist: [bob] })
    const added = await say(edgar, [lost, alice], first)
    await waitUntil('all are judged', () =>
      [top, first, added].every(id => decisions(raven, id, alice).length === 1) ? true : undefined,
    )
    assert.deepEqual(await idsOf(alice, { of: 'box', kind: 'message' }), [added])
  })

  it('has the newest version of what was edited before she could have it', async () => {
    await settings(alice, { policy: 'reject', whitelist: [edgar] })
    const ids = await talk()
    const [top = '', reply = ''] = ids
    by(alice).close()
    await network.stop('raven.example')
    const added = message(edgar, [lost, alice], { parent: ids.at(-1) })
    await publish(edgar, added)
    const edited = (id: string, to: string, body: string) => ({
      id,
      kind: 'message',
      to: [to],
      format: 'text/plain',
      body,
    })
    await publish(edgar, edited(top, lost, 'by edgar, edited'))
    await publish(lost, edited(reply, edgar, 'by lost, edited'))
    await waitUntil('edgar has it', () => (/edited/.test(bodyOf(poe, reply)) ? true : undefined))
    raven = await network.serve('raven.example')
    people.set(alice, await connectAs(raven, await enrol(raven, alice)))
    // Her server is heard from.
    await say(alice, [edgar])
    await arrived(alice, [...ids, added.id])
    for (const id of [top, reply]) {
      await waitUntil(`${id} is edited`, () => (/edited$/.test(bodyOf(raven, id)) ? true : undefined))
      assert.deepEqual(
        decisions(raven, id, alice).filter(({ outcome }) => outcome === 'refused'),
        [],
      )
    }
  })

  describe('has the newest version of what is edited at that very moment', () => {
    /** Both are made at poe.net, one of them while the other is between reading and writing. */
    const cases = {
      'before the edit is written': async (edit: object, id: string, added: Message) => {
        const { store } = poe.running
        const findHolders = store.findHolders.bind(store)
        divertOnce<'findHolders', typeof findHolders>(store, 'findHolders', {
          id,
          instead: async about => {
            const holders = await findHolders(about)
            await publish(edgar, added)
            return holders
          },
        })
        await publish(edgar, edit)
      },
      'before it is handed on': async (edit: object, _: string, added: Message) => {
        const { database } = poe.running.store
        const commit = database.commit.bind(database)
        divertOnce<'commit', typeof commit>(database, 'commit', {
          id: added.id,
          instead: async writes => {
            await publish(edgar, edit)
            return commit(writes)
          },
        })
        await publish(edgar, added)
      },
    }
    for (const [moment, makeBoth] of Object.entries(cases))
      it(moment, async () => {
        for (const address of [alice, bob]) await settings(address, { policy: 'reject', whitelist: [edgar] })
        const top = await say(edgar, [lost])
        const added = message(edgar, [lost, alice, bob], { parent: top })
        const edit = { id: top, kind: 'message', to: [lost], format: 'text/plain', body: 'edited' }
        await makeBoth(edit, top, added)
        await arrived(alice, [top, added.id])
        await arrived(bob, [top, added.id])
        await waitUntil('alice has the edit', () => (bodyOf(raven, top) === 'edited' ? true : undefined))
        assert.equal(bodyOf(poe, top), 'edited')
        const { store } = poe.running
        assert.equal(store.findBoxed(bob, top)?.version, store.findObject(top)?.version)
      })
  })

  it('is handed on no more than there is room for, the nearest first', async () => {
    for (const address of [alice, ada]) await settings(address, { policy: 'reject', whitelist: [edgar] })
    const ids: string[] = []
    for (let count = 0; count < limits.forwards + 3; count++) {
      const next = message(edgar, [bob], { parent: ids.at(-1) })
      await publish(edgar, next)
      ids.push(next.id)
    }
    const added = message(edgar, [bob, alice, ada], { parent: ids.at(-1) })
    await publish(edgar, added)
    const all = [...ids.slice(3), added.id]
    for (const address of [alice, ada]) {
      await arrived(address, all)
      assert.equal(
        (await idsOf(address, { of: 'box', kind: 'message', limit: 500 })).length,
        limits.forwards + 1,
      )
    }
    assert.equal(decisions(raven, all[0] ?? '', alice).length, 1)
    // Once for both of them.
    const queued = await poe.running.store.database.entries(listOf.outbox('raven.example'), 0, 500)
    assert.equal(queued.length, limits.forwards + 2)
  })

  it('sees what is edited and deleted later, also by those who do not know of her', async () => {
    for (const address of [alice, bob]) await settings(address, { policy: 'reject', whitelist: [edgar] })
    const [top = '', reply = ''] = await talk()
    const mine = await say(edgar, [lost, alice, bob], reply)
    await arrived(alice, [top, reply, mine])
    const bodyAt = async (address: string, id: string) =>
      ((await listed(address)).find(object => object.id === id) as { body?: string } | undefined)?.body
    const everywhere = (id: string, body: string | undefined) =>
      waitUntil(`${id} says ${body}`, async () => {
        const said = await Promise.all([edgar, alice, bob].map(address => bodyAt(address, id)))
        return said.every(each => each === body) ? true : undefined
      })
    await publish(lost, { id: reply, kind: 'message', to: [edgar], format: 'text/plain', body: 'Lenore' })
    await everywhere(reply, 'Lenore')
    await publish(edgar, { id: top, kind: 'message', to: [lost], format: 'text/plain', body: 'Evermore' })
    await everywhere(top, 'Evermore')
    await publish(lost, { id: reply, kind: 'message', deleted: true })
    await publish(edgar, { id: top, kind: 'message', deleted: true })
    await everywhere(reply, undefined)
    await everywhere(top, undefined)
    for (const [server, address] of [
      [poe, bob],
      [raven, alice],
    ] as const)
      for (const id of [top, reply]) {
        assert.equal(server.running.store.findObject(id)?.deleted, true)
        assert.equal(
          server.running.store.findBoxed(address, id)?.version,
          server.running.store.findObject(id)?.version,
        )
      }
  })

  it('gets nothing of a room, whose home decides who reads it', async () => {
    const attic = 'attic@poe.net'
    await publish(edgar, { id: `group.${attic}`, kind: 'group', title: 'Attic', members: [lost, bob] })
    await arrived(lost, [`group.${attic}`])
    const top = message(edgar, [attic])
    await publish(edgar, top)
    await arrived(lost, [top.id])
    const answer = message(lost, [attic], { parent: top.id })
    await publish(lost, answer)
    await arrived(edgar, [answer.id])
    const added = await say(edgar, [attic, alice], answer.id)
    const foreign = await say(lost, [attic, alice], answer.id)
    await arrived(alice, [added, foreign])
    for (const { store } of [poe.running, lenore.running])
      for (const id of [top.id, answer.id])
        assert.equal(store.database.get(keyOf.delivery(id, 'raven.example')), undefined)
    assert.deepEqual((await idsOf(alice, { of: 'box', kind: 'message' })).sort(), [added, foreign].sort())
  })

  describe('and nobody else gets anything into the box that way', () => {
    /** A session of this name at raven.example, and what becomes of an object that it brings to alice. */
    async function session(as: string, key: { signer: Signer; credential?: string }) {
      const end = await rawTls(raven.address, raven.port, 'raven.example')
      await end.hello('raven.example', { as, ...key })
      let n = 0
      return async (object: object | undefined): Promise<string> => {
        const { results, outcome } = await end.ask({ verb: 'describe', n: ++n, object, for: [alice] })
        return (results as { outcome: string }[] | undefined)?.[0]?.outcome ?? String(outcome)
      }
    }

    const objectAt = (server: TestServer, id: string | undefined) => server.running.store.findObject(id ?? '')

    function signerOfPoe(): { signer: Signer } {
      const own = poe.running.domains.get('poe.net' as Domain)
      assert.ok(own)
      return { signer: signerOf(own.current.pair, own.current.selector) }
    }

    beforeEach(() => settings(alice, { policy: 'reject', whitelist: [edgar] }))

    it('neither before she is added, nor after, nor with a message that names the thread', async () => {
      const ids = await talk()
      const hand = network.hand('mallory.example')
      const mallory = handUser(hand, 'mallory@mallory.example')
      const asMallory = await session('mallory.example', hand)
      const asPoe = await session('poe.net', signerOfPoe())
      const stolen = objectAt(poe, ids[2])
      assert.equal(await asMallory(stolen), 'refused')
      assert.equal(await asPoe(stolen), 'refused', 'nobody has added her yet')
      const added = await say(edgar, [lost, alice], ids.at(-1))
      await arrived(alice, [...ids, added])
      const later = await say(lost, [edgar], added)
      assert.equal(await asMallory(objectAt(poe, later)), 'refused')
      const { parentHash, top } = objectAt(poe, later) ?? {}
      const forged = handMessage(mallory, [alice], { parent: added, parentHash, top } as Partial<Message>)
      assert.equal(await asMallory(forged), 'refused', 'an answer of somebody who has no part in it')
      assert.equal(await asMallory(objectAt(poe, later)), 'refused')
      const other = handMessage(mallory, [edgar], {
        parent: ids[0] ?? '',
        top: mallory.address,
      } as Partial<Message>)
      assert.equal(await asPoe(other), 'refused', 'of another thread')
      const own = await say(edgar, [lost], later)
      assert.equal(await asPoe(objectAt(poe, own)), 'stored', 'by the domain of who added her')
    })

    it('nor another user of the domain of who added her', async () => {
      const ids = await talk()
      const added = await say(edgar, [lost, alice], ids.at(-1))
      await arrived(alice, [...ids, added])
      const later = objectAt(poe, await say(edgar, [lost], added))
      // By what she has of edgar alone.
      await settings(alice, { policy: 'reject', whitelist: [] })
      const asBob = await session(bob, await enrol(poe, bob))
      assert.equal(await asBob(later), 'refused')
      const asEdgar = await session(edgar, await enrol(poe, edgar))
      assert.equal(await asEdgar(later), 'stored')
      // Nor can he write to her what looks like a part of it: it is he who writes then.
      const { parentHash, top } = later ?? {}
      const forged = message(bob, [alice], { parent: added, parentHash, top })
      await publish(bob, forged)
      await waitUntil('it is judged', () =>
        decisions(raven, forged.id, alice).length > 0 ? true : undefined,
      )
      assert.deepEqual(
        decisions(raven, forged.id, alice).map(({ outcome }) => outcome),
        ['refused'],
      )
    })

    it('nor who added her, when she has that message no more', async () => {
      const ids = await talk()
      const added = await say(edgar, [lost, alice], ids.at(-1))
      await arrived(alice, [...ids, added])
      const later = objectAt(poe, await say(edgar, [lost], added))
      await publish(edgar, { id: added, kind: 'message', deleted: true })
      await waitUntil('it is deleted', () => (objectAt(raven, added)?.deleted === true ? true : undefined))
      const note = keyOf.answered(ids[0] ?? '', alice, 'poe.net')
      const { database } = raven.running.store
      assert.equal(database.get(note), undefined)
      const asPoe = await session('poe.net', signerOfPoe())
      assert.equal(await asPoe(later), 'refused')
      // A note alone proves nothing: neither of what was deleted, nor of what is not in her box.
      const beside = await say(edgar, [lost, ada], ids.at(-1))
      for (const id of [added, beside, `1.${edgar}`]) {
        await database.commit([{ puts: [[note, id]] }])
        assert.equal(await asPoe(later), 'refused', id)
      }
    })

    it('nor those whom she does not want, whoever brings it', async () => {
      const ids = await talk()
      await settings(alice, { policy: 'reject', whitelist: [edgar], blacklist: ['lost@*'] })
      const added = await say(edgar, [lost, alice], ids.at(-1))
      const [first = '', , third = '', , fifth = ''] = ids
      await arrived(alice, [first, third, fifth, added])
      await waitUntil('all are judged', () =>
        ids.every(id => decisions(raven, id, alice).length === 1) ? true : undefined,
      )
      assert.equal((await idsOf(alice, { of: 'box', kind: 'message' })).length, 4)
      const later = await say(edgar, [lost], added)
      await settings(alice, { policy: 'reject', whitelist: [edgar], blacklist: ['poe.net'] })
      const asPoe = await session('poe.net', signerOfPoe())
      assert.equal(await asPoe(objectAt(poe, later)), 'refused', 'the domain itself')
    })

    it('nor one of the same server who does not take the message', async () => {
      await settings(bob, { policy: 'reject' })
      const ids = await talk()
      assert.deepEqual(await publish(edgar, message(edgar, [lost, bob], { parent: ids.at(-1) })), [
        'queued',
        'refused',
      ])
      assert.deepEqual(await idsOf(bob, { of: 'box', kind: 'message' }), [])
    })
  })

  it('is believed of old messages too, by the keys that their authors have now', async () => {
    await settings(alice, { policy: 'reject', whitelist: [edgar] })
    const ids = await talk()
    // Of nobody is a younger credential of that key known at poe.net.
    network.clock.advance(8 * 86_400_000)
    for (const server of [poe, raven])
      for (const address of [edgar, alice])
        if (address.endsWith(`@${server.domain}`)) {
          by(address).close()
          people.set(address, await connectAs(server, await enrol(server, address)))
        }
    const added = message(edgar, [lost, alice], { parent: ids.at(-1) })
    await publish(edgar, added)
    await arrived(alice, [...ids, added.id])
    assert.equal((await idsOf(alice, { of: 'thread', top: ids[0] ?? '' })).length, 6)
    const old = objectOf(poe, ids[1])
    assert.ok(
      (readCredential(old.encryptedKey)?.payload.exp ?? 0) * 1000 < network.clock.now(),
      'it has ended',
    )
  })

  it('leaves stores that are whole, and a note that goes with the message', async () => {
    const ids = await talk()
    const added = await say(edgar, [lost, alice, bob], ids.at(-1))
    await arrived(alice, ids)
    const note = keyOf.answered(ids[0] ?? '', alice, 'poe.net')
    const { store } = raven.running
    assert.equal(store.database.get(note), added)
    assert.ok(await leaveBox(store, added, alice))
    assert.equal(store.database.get(note), undefined)
    for (const { domain, config } of [poe, lenore, raven]) {
      await network.stop(domain)
      await using core = await openCore(config)
      const ports = { onProgress: () => undefined, signal: new AbortController().signal }
      assert.deepEqual((await verifyStore(core, ports)).found, [], domain)
    }
  })
})

type Call = (...args: never[]) => unknown

/** The first call of a method that names an object goes another way. */
function divertOnce<K extends string, F extends Call>(
  target: { [key in K]: F },
  name: K,
  { id, instead }: { readonly id: string; readonly instead: F },
): void {
  const own = target[name].bind(target)
  const diverted: Call = (...args) => {
    if (!JSON.stringify(args).includes(id)) return own(...args)
    target[name] = own as F
    return instead(...args)
  }
  target[name] = diverted as F
}

function bodyOf({ running }: TestServer, id: string): string {
  return String((running.store.findObject(id) as Message | undefined)?.body)
}

function objectOf({ running }: TestServer, id: string | undefined): FmtpObject {
  const object = running.store.findObject(id ?? '')
  assert.ok(object)
  return object
}
