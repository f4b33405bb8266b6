/** Threads through the doors (protocol §8.5): what an answer says of its parent is held against what is here. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import { digestOf, sealObject } from '../../../objects/seals/seal.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { type HandDomain, type HandUser, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { type RawEnd, rawTls } from '../../support/raw.ts'

describe('threads through the doors', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let edgar: HandUser
  let lost: Person
  let client: Connection
  let end: RawEnd

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org')
    poe = network.hand('poe.net')
    edgar = handUser(poe, 'edgar@poe.net')
    lost = await enrol(server, 'lost@lenore.org')
    client = await connectAs(server, lost)
    end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
  })

  after(async () => {
    client.close()
    end.close()
    await network[Symbol.asyncDispose]()
  })

  let lastN = 0
  let lastId = 0

  /** Edgar brings something to lost; the code where it was refused, else the outcome. */
  async function bring(object: FmtpObject): Promise<string> {
    const frame = { verb: 'describe', n: ++lastN, object, for: [lost.address] }
    const { outcome, code } = await end.ask(frame)
    return String(code ?? outcome)
  }

  async function publish(members: object): Promise<string> {
    const draft = { kind: 'message', format: 'text/plain', body: 'Nevermore', to: [edgar.address] }
    const { outcome, code } = await client.describe({ object: { ...draft, ...members } })
    return String(code ?? outcome)
  }

  /** A message of lost, as it was sealed. */
  async function write(): Promise<Message> {
    const id = `${++lastId}.${lost.address}`
    assert.equal(await publish({ id }), 'stored')
    return get(id)
  }

  async function get(id: string): Promise<Message> {
    const { describes } = await client.request({ id })
    return describes[0]?.object as Message
  }

  async function thread(top: string): Promise<string[]> {
    const { describes } = await client.request({ list: { of: 'thread', top } })
    return describes.map(({ object }) => (object as FmtpObject).id)
  }

  const answerTo = (parent: FmtpObject, members: Partial<Message> = {}): Message =>
    handMessage(edgar, [lost.address], {
      parent: parent.id,
      parentHash: digestOf(parent),
      top: parent.top ?? parent.id,
      ...members,
    })

  it('an answer that comes before what it answers is kept, and joined when that comes', async () => {
    const top = handMessage(edgar, [lost.address])
    const answer = answerTo(top)
    const last = answerTo(answer)
    assert.deepEqual([await bring(last), await bring(answer)], ['stored', 'stored'])
    assert.deepEqual(await thread(top.id), [])
    assert.equal((await get(last.id)).body, 'Nevermore')
    assert.equal(await bring(top), 'stored')
    assert.deepEqual(await thread(top.id), [top.id, answer.id, last.id])
  })

  it('a false parentHash or top under a parent of ours is FMTP_PARENT, and stores nothing', async () => {
    const mine = await write()
    for (const members of [{ parentHash: 'A'.repeat(43) }, { top: 'other.lost@lenore.org' }]) {
      const answer = answerTo(mine, members)
      assert.equal(await bring(answer), 'FMTP_PARENT')
      assert.equal(await get(answer.id), undefined)
    }
    assert.equal(await bring(answerTo(mine)), 'stored')
  })

  it('of a parent that its author may not see, an answer learns nothing', async () => {
    const id = `secret${++lastId}.${lost.address}`
    assert.equal(await publish({ id, to: ['alice@lenore.org'] }), 'stored')
    const guess = { parent: id, parentHash: 'A'.repeat(43), top: id }
    const none = { parent: `none.${lost.address}`, parentHash: 'A'.repeat(43), top: `none.${lost.address}` }
    const outcomes = [guess, none].map(members => bring(handMessage(edgar, [lost.address], members)))
    assert.deepEqual(await Promise.all(outcomes), ['stored', 'stored'])
    assert.deepEqual(await thread(id), [id])
  })

  it('an answer to a version that was edited since is taken: its digest is kept', async () => {
    const mine = await write()
    assert.equal(await publish({ id: mine.id, body: 'Evermore' }), 'stored')
    const answer = answerTo(mine)
    assert.equal(await bring(answer), 'stored')
    assert.deepEqual(await thread(mine.id), [mine.id, answer.id])
  })

  it('an answer to what was deleted since is taken', async () => {
    const mine = await write()
    assert.equal(
      (await client.describe({ object: { id: mine.id, kind: 'message', deleted: true } })).outcome,
      'stored',
    )
    assert.equal(await bring(answerTo(mine)), 'stored')
  })

  it('two answers that name each other as parents are never in a thread', async () => {
    const mine = await write()
    const [a, b] = ['a.edgar@poe.net', 'b.edgar@poe.net']
    const members = { parentHash: 'A'.repeat(43), top: mine.id }
    const first = handMessage(edgar, [lost.address], { id: a, parent: b, ...members })
    const second = handMessage(edgar, [lost.address], {
      ...members,
      id: b,
      parent: a,
      parentHash: digestOf(first),
    })
    for (const each of [first, second]) await bring(each)
    assert.deepEqual(await thread(mine.id), [mine.id])
  })

  it('an edit keeps parent and top; one that changes them is refused', async () => {
    const mine = await write()
    const other = await write()
    const answer = answerTo(mine)
    assert.equal(await bring(answer), 'stored')
    const { encryptedKey: _, hash: __, ...unsealed } = answer
    const edit = (members: object): FmtpObject =>
      sealObject({ ...unsealed, version: answer.version + 1, ...members } as Unsealed, edgar).object
    for (const members of [
      { parent: other.id, parentHash: digestOf(other), top: other.id },
      { parent: undefined, parentHash: undefined, top: undefined },
      { createdAt: new Date(answer.version - 1000).toISOString() },
    ])
      assert.equal(await bring(JSON.parse(JSON.stringify(edit(members)))), 'FMTP_BAD_OBJECT')
    assert.equal(await bring(edit({ body: 'Evermore' })), 'stored')
    const reply = `${++lastId}.${lost.address}`
    assert.equal(await publish({ id: reply, parent: mine.id }), 'stored')
    assert.equal(await publish({ id: reply, parent: other.id }), 'FMTP_BAD_OBJECT')
    // A draft of the next version need not repeat what stays.
    assert.equal(await publish({ id: reply, body: 'Evermore' }), 'stored')
    const { parent, parentHash, top, body } = await get(reply)
    assert.deepEqual(
      { parent, parentHash, top, body },
      {
        parent: mine.id,
        parentHash: digestOf(mine),
        top: mine.id,
        body: 'Evermore',
      },
    )
    assert.deepEqual(await thread(mine.id), [mine.id, answer.id, reply])
  })

  it('a user who answers what is here must answer what is here', async () => {
    const [mine, other] = [await write(), await write()]
    const id = `${++lastId}.${lost.address}`
    for (const members of [{ parentHash: 'A'.repeat(43) }, { parentHash: digestOf(mine), top: other.id }])
      assert.equal(await publish({ id, parent: mine.id, top: mine.id, ...members }), 'FMTP_PARENT')
  })

  it('at a tie of versions the greater digest counts, from a device as from outside', async () => {
    const id = `${++lastId}.${lost.address}`
    const version = Date.now()
    const createdAt = new Date(version).toISOString()
    const drafts = ['a', 'b', 'c', 'd', 'e', 'f'].map(body => {
      const members = { body, createdAt, format: 'text/plain', id, kind: 'message', owner: lost.address }
      return sealObject({ ...members, to: [edgar.address], version } as Unsealed, lost)
    })
    const [least, ...others] = [...drafts].sort((left, right) => (left.digest < right.digest ? -1 : 1))
    const greatest = others.pop()
    assert.equal((await client.describe({ object: least?.object as object })).outcome, 'stored')
    assert.equal((await client.describe({ object: greatest?.object as object })).outcome, 'stored')
    for (const { object } of others) assert.equal((await client.describe({ object })).code, 'FMTP_TOO_OLD')
    assert.equal((await get(id)).hash, greatest?.object.hash)
  })
})
