/** Forums and comments between servers (protocol §6.7, §6.8, §8.3, §9.4): who may post, what is listed, what is removed. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { digestOf, sealObject } from '../../objects/seals/seal.ts'
import { removalId } from '../../objects/store/forum-list.ts'
import { listOf } from '../../objects/store/layout.ts'
import type { ListQuery, Result } from '../../schemas/frame.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { type Address, parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const ravens = 'ravens@poe.net' as Address

describe('a forum', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let edgar: Connection
  let alice: Connection
  let lost: Connection
  let mallory: Awaited<ReturnType<typeof openMallory>>

  before(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    edgar = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
    alice = await connectAs(poe, await enrol(poe, 'alice@poe.net'))
    lost = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
    mallory = await openMallory()
    await settle({})
  })

  after(async () => {
    mallory.end.close()
    for (const each of [edgar, alice, lost]) each.close()
    await network[Symbol.asyncDispose]()
  })

  const forum = { id: `group.${ravens}`, kind: 'group', public: true, title: 'Ravens' }
  async function settle(members: object): Promise<void> {
    const answer = await edgar.describe({
      object: { ...forum, description: String(Math.random()), ...members },
    })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
  }
  const names = new Map<Connection, string>()
  beforeEach(() => {
    names.set(edgar, 'edgar@poe.net').set(alice, 'alice@poe.net').set(lost, 'lost@lenore.org')
  })
  const draft = (by: Connection, members: object = {}) => ({
    body: 'Nevermore',
    format: 'text/plain',
    group: ravens,
    id: mintId(parseAddress(names.get(by)), network.clock.now()) as string,
    kind: 'post',
    public: true,
    ...members,
  })
  async function publish(by: Connection, object: object): Promise<readonly Result[]> {
    const answer = await by.describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    return answer.results ?? []
  }
  const outcomes = (results: readonly Result[]) => results.map(each => [each.for, each.outcome])
  /** What became of an object at a server, once it came there. */
  async function decisionAt({ log }: TestServer, id: string, to: string) {
    const { record } = await waitUntil('it arrives', () =>
      log.find(({ event, record }) => event === 'admit' && record.id === id && record.for === to),
    )
    return String(record.outcome)
  }
  async function listed(by: Connection, list: Partial<ListQuery> = {}): Promise<string[]> {
    const query = { of: 'public', owner: ravens, kind: 'post', ...list } as ListQuery
    const { answer, describes } = await by.request({ list: query })
    assert.equal(answer.outcome, 'found', JSON.stringify(answer))
    return describes.map(({ object }) => (object as FmtpObject).id)
  }
  const thread = (by: Connection, top: string) => listed(by, { of: 'thread', top, owner: undefined } as never)
  async function get(by: Connection, id: string): Promise<FmtpObject> {
    return (await by.request({ id, effort: 'lookup' })).describes[0]?.object as FmtpObject
  }
  /** Somebody of a domain that the test plays itself. */
  async function openMallory() {
    const hand = network.hand('mallory.example')
    const user = handUser(hand, 'mallory@mallory.example')
    const end = await rawTls(poe.address, poe.port, 'poe.net')
    await end.hello('poe.net', { as: 'mallory.example', signer: hand.signer })
    let n = 0
    return {
      end,
      /** A new post for one recipient; what became of it. */
      async bring(members: object, to: string) {
        const nowMs = network.clock.now()
        const own = { owner: user.address, createdAt: new Date(nowMs).toISOString(), version: nowMs }
        const object = { ...draft(alice), ...own, id: `${++n}.${user.address}`, ...members }
        const sealed = sealObject(JSON.parse(JSON.stringify(object)) as Unsealed, user).object
        const answer = await end.ask({ verb: 'describe', n, object: sealed, for: [to] })
        return answer.results === undefined ? answer.code : answer.outcome
      },
    }
  }

  const answering = (parent: FmtpObject) => ({
    parent: parent.id,
    parentHash: digestOf(parent),
    top: parent.top ?? parent.id,
  })

  it('lists posts from home and from abroad for anybody, in both orders, page by page', async () => {
    const first = draft(alice)
    assert.deepEqual(outcomes(await publish(alice, first)), [[ravens, 'stored']])
    const second = draft(lost, { title: 'From abroad' })
    assert.deepEqual(outcomes(await publish(lost, second)), [[ravens, 'queued']])
    assert.equal(await decisionAt(poe, second.id, ravens), 'stored')
    assert.deepEqual(await listed(alice), [first.id, second.id])
    const guest = await rawTls(poe.address, poe.port, 'poe.net')
    await guest.hello('poe.net')
    const list = { of: 'public', owner: ravens, kind: 'post', order: 'newest', limit: 1 }
    const page = await guest.ask({ verb: 'request', n: 1, list })
    assert.equal(page.complete, false)
    await guest.ask({ verb: 'request', n: 2, list: { ...list, after: page.cursor } })
    const ids = guest.frames.flatMap(({ object }) => (object as FmtpObject | undefined)?.id ?? [])
    assert.deepEqual(ids, [second.id, first.id])
    guest.close()
    // The list of the domain has what its own users made.
    assert.ok(!(await listed(alice, { owner: 'poe.net' })).includes(second.id))
    assert.ok((await listed(alice, { owner: 'poe.net' })).includes(first.id))
  })

  it('follows edits and deletions by the author, and no change of the forum', async () => {
    const post = draft(lost)
    await publish(lost, post)
    await decisionAt(poe, post.id, ravens)
    const { describes } = await alice.request({ list: { of: 'public', owner: ravens } })
    const after = String(describes.at(-1)?.cursor)
    await publish(lost, { ...post, body: 'Evermore' })
    await waitUntil('it is edited', async () =>
      ((await get(alice, post.id)) as FmtpObject & { body: string }).body === 'Evermore' ? true : undefined,
    )
    assert.deepEqual(await listed(alice, { after }), [post.id])
    const moved = await lost.describe({ object: { ...post, group: 'owls@poe.net' } })
    assert.equal(moved.code, 'FMTP_BAD_OBJECT')
    await publish(lost, { id: post.id, kind: 'post', deleted: true })
    await waitUntil('it goes', async () => ((await get(alice, post.id)).deleted === true ? true : undefined))
    assert.ok(!(await listed(alice, { order: 'newest' })).includes(post.id))
    assert.deepEqual(await listed(alice, { after }), [post.id], 'a reader learns that it was deleted')
  })

  it('refuses whom its lists and policy refuse, and takes them back what they said', async () => {
    const said = draft(lost)
    await publish(lost, said)
    await decisionAt(poe, said.id, ravens)
    await settle({ blacklist: ['*@lenore.org', 'alice@*'] })
    const cases = [draft(lost), draft(alice)] as const
    await publish(lost, cases[0])
    assert.equal(await decisionAt(poe, cases[0].id, ravens), 'refused')
    assert.deepEqual(outcomes(await publish(alice, cases[1])), [[ravens, 'refused']])
    const seen = await listed(edgar)
    for (const { id } of cases) assert.ok(!seen.includes(id))
    assert.deepEqual(await thread(edgar, cases[1].id), [], 'in no thread')
    assert.deepEqual(await thread(alice, cases[1].id), [cases[1].id], 'but for its author')
    await publish(lost, { id: said.id, kind: 'post', deleted: true })
    await waitUntil('it goes', async () => ((await get(alice, said.id)).deleted === true ? true : undefined))

    await settle({ policy: 'reject', whitelist: ['lost@*'] })
    assert.deepEqual(outcomes(await publish(alice, draft(alice))), [[ravens, 'refused']])
    const friends = draft(lost)
    await publish(lost, friends)
    assert.equal(await decisionAt(poe, friends.id, ravens), 'stored')
    await settle({ policy: 'reject', blacklist: ['*@poe.net'], members: ['alice@poe.net'] })
    assert.deepEqual(outcomes(await publish(alice, draft(alice))), [[ravens, 'stored']], 'a member')
    await settle({})
  })

  it('takes public posts that name it, and nothing else', async () => {
    const message = { kind: 'message', to: [ravens], group: undefined, public: undefined }
    for (const members of [{ public: undefined }, message]) {
      const object = JSON.parse(JSON.stringify(draft(alice, members)))
      assert.deepEqual(outcomes(await publish(alice, object)), [[ravens, 'refused']], JSON.stringify(members))
    }
    const bring = (members: object) => mallory.bring(members, ravens)
    assert.equal(await bring({ group: undefined }), 'refused')
    assert.equal(await bring({ group: 'owls@poe.net' }), 'refused')
    assert.equal(await bring({}), 'stored')
  })

  it('gets comments from abroad, and so does the owner of what they answer', async () => {
    const top = draft(alice)
    await publish(alice, top)
    const comment = draft(lost, answering(await get(lost, top.id)))
    const results = await publish(lost, comment)
    assert.deepEqual(outcomes(results), [
      [ravens, 'queued'],
      ['alice@poe.net', 'queued'],
    ])
    for (const to of [ravens, 'alice@poe.net']) assert.equal(await decisionAt(poe, comment.id, to), 'stored')
    const reply = { ...draft(edgar), group: undefined, parent: comment.id }
    const replied = await publish(edgar, JSON.parse(JSON.stringify(reply)))
    assert.deepEqual(outcomes(replied), [
      [ravens, 'stored'],
      ['lost@lenore.org', 'queued'],
      ['alice@poe.net', 'stored'],
    ])
    assert.equal(await decisionAt(lenore, reply.id, 'lost@lenore.org'), 'stored')
    assert.deepEqual(await thread(edgar, top.id), [top.id, comment.id, reply.id])
    // A draft of the next version need not say what stays.
    const { group: _, ...edit } = { ...draft(edgar), id: reply.id, body: 'Evermore' }
    assert.equal((await edgar.describe({ object: edit })).outcome, 'stored')
    const others = { ...draft(alice, { group: 'owls@poe.net' }), parent: top.id }
    assert.equal((await alice.describe({ object: others })).code, 'FMTP_PARENT', 'of another group')
  })

  it('keeps out of its threads what came past it', async () => {
    const top = draft(alice)
    await publish(alice, top)
    await settle({ blacklist: ['*@mallory.example'] })
    const about = answering(await get(alice, top.id))
    // Its author is welcome to alice, and says that it is for no forum, or hands it to her alone.
    const past = { ...about, group: undefined }
    assert.equal(await mallory.bring(past, 'alice@poe.net'), 'FMTP_PARENT')
    assert.equal(await mallory.bring(about, ravens), 'refused')
    assert.equal(await mallory.bring(about, 'alice@poe.net'), 'stored')
    assert.deepEqual(await thread(edgar, top.id), [top.id])
    await settle({})
  })

  it('has no entry any more for what has ended', async () => {
    const expiresAt = new Date(network.clock.now() + 1000).toISOString()
    const post = draft(alice, { expiresAt })
    await publish(alice, post)
    assert.ok((await listed(edgar)).includes(post.id))
    network.clock.advance(2000)
    await poe.running.upkeep.once()
    const { entries } = await poe.running.store.readList(listOf.public(ravens), 0, 1000)
    assert.ok(entries.length > 0 && !entries.some(({ id }) => id === post.id))
  })

  describe('removes a post', () => {
    const removal = (about: string) => ({
      id: removalId(about, ravens),
      kind: 'report',
      about,
      outcome: 'removed',
    })
    let post: { id: string }

    beforeEach(async () => {
      post = draft(lost)
      await publish(lost, post)
      await decisionAt(poe, post.id, ravens)
    })

    it('by a report of a moderator, which its author is told, and takes it back', async () => {
      assert.deepEqual(outcomes(await publish(edgar, removal(post.id))), [['lost@lenore.org', 'queued']])
      assert.equal(await decisionAt(lenore, removal(post.id).id, 'lost@lenore.org'), 'stored')
      for (const order of ['arrival', 'newest'] as const)
        assert.ok(!(await listed(alice, { order })).includes(post.id))
      assert.deepEqual(await thread(alice, post.id), [])
      const [report] = await listed(alice, { kind: 'report' })
      assert.equal(report, removal(post.id).id)
      assert.deepEqual((await get(alice, post.id)).id, post.id, 'the object itself stays')
      assert.deepEqual(
        await listed(lost, { owner: 'lost@lenore.org' }).then(ids => ids.includes(post.id)),
        true,
      )
      // An edit does not bring it back.
      await publish(lost, { ...post, body: 'Evermore' })
      await waitUntil('it is edited', async () =>
        ((await get(alice, post.id)) as FmtpObject & { body: string }).body === 'Evermore' ? true : undefined,
      )
      assert.ok(!(await listed(alice)).includes(post.id))
      await publish(edgar, { id: removal(post.id).id, kind: 'report', deleted: true })
      assert.ok((await listed(alice)).includes(post.id))
      assert.deepEqual(await thread(alice, post.id), [post.id])
    })

    it('by nobody else, once, and only what it has', async () => {
      const code = async (by: Connection, object: object) => {
        const { code, outcome } = await by.describe({ object })
        return code ?? outcome
      }
      assert.equal(await code(alice, removal(post.id)), 'FMTP_NOT_OWNER')
      assert.equal(await code(lost, removal(post.id)), 'FMTP_NOT_OWNER')
      assert.ok((await listed(alice)).includes(post.id))
      assert.equal(await code(edgar, { ...removal(post.id), id: `1.${ravens}` }), 'FMTP_BAD_OBJECT')
      assert.equal(await code(edgar, { ...removal(post.id), outcome: 'failed' }), 'FMTP_BAD_OBJECT')
      assert.equal(await code(edgar, removal('1.lost@lenore.org')), 'FMTP_ABSENT')
      const refused = draft(alice, { public: false })
      await publish(alice, refused)
      assert.equal(await code(edgar, removal(refused.id)), 'FMTP_ABSENT', 'what the forum did not take')
      assert.equal(await code(edgar, removal(post.id)), 'stored')
      assert.equal(await code(edgar, removal(post.id)), 'duplicate')
    })
  })
})

describe('a comment on a blog', () => {
  it("reaches the blog's home, and is judged by its owner's lists", async () => {
    await using network = await Network.start()
    const poe = await network.serve('poe.net')
    const lenore = await network.serve('lenore.org')
    const edgar = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
    const lost = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
    const post = { body: 'Once', format: 'text/plain', kind: 'post', public: true }
    const top = '1.edgar@poe.net'
    assert.deepEqual((await edgar.describe({ object: { ...post, id: top } })).results, [])
    const { describes } = await lost.request({ id: top, effort: 'lookup' })
    const parentHash = digestOf(describes[0]?.object as FmtpObject)
    const decision = async (id: string) => {
      const { record } = await waitUntil('it arrives', () =>
        poe.log.find(({ event, record }) => event === 'admit' && record.id === id),
      )
      return record.outcome
    }
    const comment = async (id: string) => {
      await lost.describe({ object: { ...post, id, parent: top, top, parentHash } })
      return decision(id)
    }
    assert.equal(await comment('1.lost@lenore.org'), 'stored')
    const settings = { id: 'user.edgar@poe.net', kind: 'user', blacklist: ['lost@lenore.org'] }
    assert.equal((await edgar.describe({ object: settings })).outcome, 'stored')
    assert.equal(await comment('2.lost@lenore.org'), 'refused')
    const thread = await lost.request({ list: { of: 'thread', top } })
    assert.equal(thread.answer.outcome, 'found')
    const home = await edgar.request({ list: { of: 'thread', top } })
    assert.deepEqual(
      home.describes.map(({ object }) => (object as FmtpObject).id),
      [top, '1.lost@lenore.org'],
    )
    edgar.close()
    lost.close()
  })
})
