/** The first door (protocol §8) where what comes is old, comes twice at once, is for too many, or answers what takes no answers. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import { digestOf, sealObject } from '../../../objects/seals/seal.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import { waitUntil } from '../../support/conditions.ts'
import { type HandDomain, type HandUser, handMessage, handProfile, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { type RawEnd, type Received, rawTls } from '../../support/raw.ts'

describe('admit', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let mallory: HandDomain
  let edgar: HandUser
  let lost: Person
  let alice: Person

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org', { limits: { recipients: 3 } })
    poe = network.hand('poe.net')
    mallory = network.hand('mallory.example')
    edgar = handUser(poe, 'edgar@poe.net')
    lost = await enrol(server, 'lost@lenore.org')
    alice = await enrol(server, 'alice@lenore.org')
  })

  after(() => network[Symbol.asyncDispose]())

  async function openAs({ name, signer }: HandDomain): Promise<RawEnd> {
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: name, signer })
    return end
  }

  let lastN = 0
  const describeTo = (object: object, ...recipients: string[]) => ({
    verb: 'describe',
    n: ++lastN,
    object,
    for: recipients,
  })
  const resultsOf = ({ results }: Received) => results as { outcome: string; code?: string }[]

  /** Asks as a client who looks up. */
  async function lookUp(address: string) {
    const client = await connectAs(server, lost)
    const { answer, describes } = await client.request({ address, effort: 'lookup' })
    client.close()
    return { outcome: answer.outcome, object: describes[0]?.object as { version: number } | undefined }
  }

  it('a user object that another brings is not taken for how it stands now', async () => {
    const old = handProfile(edgar, { version: Date.now() - 1000 })
    const forwarder = await openAs(mallory)
    const forwarded = await forwarder.ask(describeTo(old, lost.address))
    assert.equal(forwarded.outcome, 'stored')
    // Its home has no host: what can not be asked for is not known.
    assert.equal((await lookUp('edgar@poe.net')).outcome, 'unreachable')
    const home = await openAs(poe)
    const now = handProfile(edgar, { quote: 'Nevermore' })
    await home.ask(describeTo(now, lost.address))
    assert.deepEqual(await lookUp('edgar@poe.net'), { outcome: 'found', object: now })
    forwarder.close()
    home.close()
  })

  it('an object that the disk has changed is told, given to nobody, and taken again from its home', async () => {
    const end = await openAs(poe)
    const message = handMessage(edgar, [lost.address])
    assert.equal((await end.ask(describeTo(message, lost.address))).outcome, 'stored')
    const { store } = server.running
    const [key, text = ''] = [keyOf.object(message.id), store.findText(message.id)]
    await store.database.commit([{ puts: [[key, text.replace('Nevermore', 'Evermore')]] }])
    const client = await connectAs(server, lost)
    const ask = async () => (await client.request({ id: message.id })).describes[0]?.object
    assert.equal(await ask(), undefined)
    const told = await waitUntil('it is told', () =>
      server.log.find(({ event }) => event === 'object.damaged'),
    )
    assert.deepEqual([told.level, told.record.id], ['error', message.id])
    assert.equal((await end.ask(describeTo(message, lost.address))).outcome, 'stored')
    assert.deepEqual(await ask(), message)
    client.close()
    end.close()
  })

  it('one recipient is given an object once, however many bring it at once', async () => {
    const end = await openAs(poe)
    const message = handMessage(edgar, [lost.address, alice.address])
    assert.equal((await end.ask(describeTo(message, lost.address))).outcome, 'stored')
    const frames = Array.from({ length: 4 }, () => describeTo(message, alice.address))
    // In one packet, so that the server has all of them before any is on its disk.
    end.sendText(frames.map(frame => JSON.stringify(frame)).join('\n'))
    const answers = await Promise.all(frames.map(({ n }) => end.answer(n)))
    const outcomes = answers.map(answer => resultsOf(answer)[0]?.outcome)
    assert.deepEqual(outcomes.sort(), ['duplicate', 'duplicate', 'duplicate', 'stored'])
    const reader = await connectAs(server, alice)
    const { describes } = await reader.request({ list: { of: 'box' } })
    assert.equal(describes.filter(({ object }) => (object as Message).id === message.id).length, 1)
    reader.close()
    end.close()
  })

  it('what its own domain brings past its credential is refused, and nobody is asked', async () => {
    const early = handUser(poe, 'edgar@poe.net', Date.now() - 30 * 24 * 3_600_000)
    const end = await openAs(poe)
    const answer = await end.ask(
      describeTo(handMessage(early, [lost.address], { version: Date.now() }), lost.address),
    )
    assert.equal(answer.code, 'FMTP_SEAL_EXPIRED')
    assert.ok(!end.frames.some(({ verb }) => verb === 'request'))
    end.close()
  })

  it('for more recipients than config allows is FMTP_TOO_MANY_RECIPIENTS', async () => {
    const end = await openAs(poe)
    const many = Array.from({ length: 4 }, (_, at) => `poet${at}@lenore.org`)
    const answer = await end.ask(describeTo(handMessage(edgar, [lost.address]), ...many))
    assert.deepEqual([answer.outcome, answer.code], ['refused', 'FMTP_TOO_MANY_RECIPIENTS'])
    const client = await connectAs(server, lost)
    const draft = { kind: 'message', format: 'text/plain', body: 'Nevermore' }
    const published = await client.describe({ object: { ...draft, id: `1.${lost.address}`, to: many } })
    assert.equal(published.code, 'FMTP_TOO_MANY_RECIPIENTS')
    const few = await client.describe({ object: { ...draft, id: `2.${lost.address}`, to: many.slice(1) } })
    assert.equal(few.outcome, 'stored')
    client.close()
    end.close()
  })

  it('an answer to what takes no answers is refused, from a friend too; its deletion is not', async () => {
    const client = await connectAs(server, lost)
    const settings = { id: `user.${lost.address}`, kind: 'user', whitelist: ['*@poe.net'] }
    assert.equal((await client.describe({ object: settings })).outcome, 'stored')
    const id = `notice.${lost.address}`
    const notice = { id, kind: 'message', format: 'text/plain', body: 'Closed', to: [edgar.address] }
    assert.equal((await client.describe({ object: { ...notice, noReply: true } })).outcome, 'stored')
    const { describes } = await client.request({ id })
    const parentHash = digestOf(describes[0]?.object as Message)
    const answer = handMessage(edgar, [lost.address], { parent: id, top: id, parentHash })
    const end = await openAs(poe)
    const refused = await end.ask(describeTo(answer, lost.address))
    assert.deepEqual([refused.outcome, resultsOf(refused)[0]?.code], ['refused', 'FMTP_REFUSED'])
    const said = server.log.find(({ event, record }) => event === 'admit' && record.id === answer.id)
    assert.match(String(said?.record.reason), /takes no answers/)
    const { body: _, format: __, to: ___, encryptedKey: ____, hash: _____, ...common } = answer
    const tombstone = { ...common, deleted: true, version: answer.version + 1 } as unknown as Unsealed
    const gone = await end.ask(describeTo(sealObject(tombstone, edgar).object, lost.address))
    assert.equal(gone.outcome, 'stored')
    const other = await end.ask(describeTo(handMessage(edgar, [lost.address]), lost.address))
    assert.equal(other.outcome, 'stored')
    client.close()
    end.close()
  })

  describe('from somebody whom the policy rejects', () => {
    /** A new user of ours who takes nothing but from these. */
    async function settle(address: string, whitelist: string[] = []): Promise<Connection> {
      const client = await connectAs(server, await enrol(server, address))
      const settings = { id: `user.${address}`, kind: 'user', policy: 'reject', whitelist }
      assert.equal((await client.describe({ object: settings })).outcome, 'stored')
      return client
    }

    /** Writes a message to these, and gives what an answer needs to know of it. */
    async function write(client: Connection, id: string, to: string[]) {
      const message = { id, kind: 'message', format: 'text/plain', body: 'Who knocks?', to }
      assert.equal((await client.describe({ object: message })).outcome, 'stored')
      const { describes } = await client.request({ id })
      return { parent: id, top: id, parentHash: digestOf(describes[0]?.object as Message) }
    }

    async function outcomeOf(to: string, members: Partial<Message> = {}): Promise<string> {
      const end = await openAs(poe)
      const { outcome } = await end.ask(describeTo(handMessage(edgar, [to], members), to))
      end.close()
      return String(outcome)
    }

    it('takes the answer to what the recipient wrote, and nothing else', async () => {
      const client = await settle('bob@lenore.org')
      const thread = await write(client, 'knock.bob@lenore.org', [edgar.address])
      assert.equal(await outcomeOf('bob@lenore.org'), 'refused')
      assert.equal(
        await outcomeOf('bob@lenore.org', {
          ...thread,
          parentHash: digestOf(handMessage(edgar, ['bob@lenore.org'])),
        }),
        'refused',
      )
      assert.equal(await outcomeOf('bob@lenore.org', thread), 'stored')
      client.close()
    })

    it('takes the end of what it took before, from the home and from whoever brings it, and no edit', async () => {
      const client = await connectAs(server, await enrol(server, 'carol@lenore.org'))
      const [end, forwarder] = [await openAs(poe), await openAs(mallory)]
      const first = handMessage(edgar, ['carol@lenore.org'])
      const second = handMessage(edgar, ['carol@lenore.org'])
      for (const message of [first, second])
        assert.equal((await end.ask(describeTo(message, 'carol@lenore.org'))).outcome, 'stored')
      const settings = {
        id: 'user.carol@lenore.org',
        kind: 'user',
        policy: 'reject',
        blacklist: ['*@poe.net'],
      }
      assert.equal((await client.describe({ object: settings })).outcome, 'stored')
      const nextOf = ({ id, kind, owner, createdAt, version }: Message, more: object): object =>
        sealObject(
          { id, kind, owner, createdAt, version: version + 1, ...more } as unknown as Unsealed,
          edgar,
        ).object
      const edit = nextOf(first, { to: first.to, format: first.format, body: 'Evermore' })
      assert.equal((await end.ask(describeTo(edit, 'carol@lenore.org'))).outcome, 'refused')
      const gone = nextOf(first, { deleted: true })
      assert.equal((await end.ask(describeTo(gone, 'carol@lenore.org'))).outcome, 'stored')
      const brought = nextOf(second, { deleted: true })
      assert.equal((await forwarder.ask(describeTo(brought, 'carol@lenore.org'))).outcome, 'stored')
      for (const { id } of [first, second])
        assert.equal((server.running.store.findObject(id) as Message).body, undefined)
      // What was never here has no end here.
      const never = nextOf(handMessage(edgar, ['carol@lenore.org']), { deleted: true })
      assert.equal((await end.ask(describeTo(never, 'carol@lenore.org'))).outcome, 'refused')
      for (const each of [client, end, forwarder]) each.close()
    })

    it('takes no answer in a thread where only a name that ends alike has spoken', async () => {
      const alike = await settle('x.alice2@lenore.org')
      const client = await settle('alice2@lenore.org', ['x.alice2@lenore.org'])
      const thread = await write(alike, 'knock.x.alice2@lenore.org', [edgar.address, 'alice2@lenore.org'])
      assert.equal(await outcomeOf('alice2@lenore.org', thread), 'refused')
      alike.close()
      client.close()
    })
  })
})
