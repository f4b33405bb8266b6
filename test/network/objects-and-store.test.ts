/**
 * What objects and their store promise, one after the other, on two servers that are processes of their own: a test of each
 * part looks closer, this one that all of it works in the running program.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { markNonce } from '../../objects/mark.ts'
import { digestOf } from '../../objects/seals/seal.ts'
import type { ListQuery } from '../../schemas/frame.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import { putBlob } from '../support/blob.ts'
import { waitUntil } from '../support/conditions.ts'
import { runFmtp } from '../support/fmtp-process.ts'
import { type HandDomain, type HandUser, handMessage, handUser } from '../support/hand.ts'
import { Network, type Person, type TestServer } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'
import { type RawEnd, rawTls } from '../support/raw.ts'

const dayMs = 86_400_000

describe('objects and their store, in two running servers', function () {
  this.timeout(60_000)
  let network: Network
  let poe: ServerProcess
  let lenore: ServerProcess
  let edgar: Person
  let lost: Person
  let asEdgar: Connection
  let asLost: Connection
  let raven: HandDomain
  let annabel: HandUser
  let end: RawEnd
  let lastId = 0
  let lastN = 0

  before(async () => {
    network = await Network.start()
    poe = await startProcess(network, 'poe.net')
    lenore = await startProcess(network, 'lenore.org')
    edgar = await poe.enrol('edgar@poe.net')
    lost = await lenore.enrol('lost@lenore.org')
    raven = network.hand('raven.example')
    annabel = handUser(raven, 'annabel@raven.example')
  })

  beforeEach(async () => {
    asEdgar = await poe.connect(edgar)
    asLost = await lenore.connect(lost)
    end = await rawTls(lenore.address, lenore.port, 'lenore.org')
    await end.hello('lenore.org', { as: raven.name, signer: raven.signer })
  })

  afterEach(() => {
    for (const each of [asEdgar, asLost, end]) each.close()
  })

  after(async () => {
    await poe[Symbol.asyncDispose]()
    await lenore[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  const mint = (owner: string): string => makeObjectId(`n${++lastId}`, owner as Name)

  async function publish(client: Connection, object: object, more: object = {}): Promise<string> {
    const { outcome, code } = await client.describe({ object, ...more })
    return String(code ?? outcome)
  }

  const message = (owner: string, to: string, more: object = {}) => ({
    ...{ id: mint(owner), kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] },
    ...more,
  })

  async function get(client: Connection, id: string): Promise<FmtpObject | undefined> {
    const { describes } = await client.request({ id })
    return describes[0]?.object as FmtpObject | undefined
  }

  async function list(client: Connection, query: ListQuery): Promise<string[]> {
    const { describes } = await client.request({ list: query })
    return describes.map(({ object }) => (object as FmtpObject).id)
  }

  async function bring(object: FmtpObject): Promise<string> {
    const answer = await end.ask({ verb: 'describe', n: ++lastN, object, for: [lost.address] })
    return String(answer.code ?? answer.outcome)
  }

  /** A command of the operator on a server's data; its standard output. */
  const operate = (server: ServerProcess, ...args: string[]) =>
    runFmtp(...args, '--config', join(server.folder, 'fmtp.conf'))

  const verify = (server: ServerProcess) => operate(server, 'verify', '--json')

  it('kinds: every kind is made by whom it belongs to, unknown members untouched and under the hash', async () => {
    const sha256 = await putBlob(poe as unknown as TestServer, edgar, randomBytes(10))
    const about = mint(lost.address)
    const drafts = [
      message(edgar.address, lost.address),
      {
        id: mint(edgar.address),
        kind: 'post',
        format: 'text/plain',
        body: 'Once',
        title: 'The Raven',
        public: true,
      },
      { id: mint(edgar.address), kind: 'file', name: 'raven.png', format: 'image/png', bytes: 10, sha256 },
      { id: mint(edgar.address), kind: 'invite', keySha256: sha256 },
      { id: `${markNonce(about)}.${edgar.address}`, kind: 'mark', about, kept: true },
      { id: 'group.ravens@poe.net', kind: 'group', title: 'Ravens', public: true },
      { id: `user.${edgar.address}`, kind: 'user', quote: 'All that we see', whitelist: ['*@lenore.org'] },
    ]
    for (const draft of drafts) {
      assert.equal(await publish(asEdgar, { ...draft, mood: { bleak: [1] } }), 'stored', draft.kind)
      const object = (await get(asEdgar, draft.id)) as FmtpObject & { mood: object }
      assert.deepEqual(object.mood, { bleak: [1] })
      assert.equal(digestOf(object), object.hash.split('.')[1])
    }
    assert.equal(await publish(asEdgar, { id: mint(edgar.address), kind: 'sonnet' }), 'FMTP_UNKNOWN_KIND')
    assert.equal(
      await publish(asEdgar, { id: mint(edgar.address), kind: 'post', body: 1 }),
      'FMTP_BAD_OBJECT',
    )
  })

  it('views: everyone, friends and the owner see another user each', async () => {
    const settings = { id: `user.${lost.address}`, kind: 'user', whitelist: [annabel.address], quote: 'Lost' }
    assert.equal(await publish(asLost, settings), 'stored')
    const seenFor = async (viewers?: string[]): Promise<User> => {
      const n = ++lastN
      await end.ask({ verb: 'request', n, address: lost.address, ...(viewers && { for: viewers }) })
      return end.frames.find(({ re, object }) => re === n && object !== undefined)?.object as User
    }
    const [everyones, friends] = [await seenFor(), await seenFor([annabel.address])]
    const owners = (await get(asLost, `user.${lost.address}`)) as User
    assert.deepEqual(
      [everyones.view, everyones.status, everyones.whitelist],
      ['everyone', undefined, undefined],
    )
    assert.deepEqual([friends.view, friends.status, friends.whitelist], ['friends', 'online', undefined])
    assert.deepEqual([owners.quote, owners.whitelist], ['Lost', [annabel.address]])
    asLost.close()
    await waitUntil('offline', async () => (await seenFor([annabel.address])).status === 'offline')
    assert.equal((await seenFor()).version, everyones.version, 'coming and going moves no other')
  })

  it('versions: the higher counts, what was edited is named, what is late is refused', async () => {
    const first = message(lost.address, annabel.address)
    assert.equal(await publish(asLost, first), 'stored')
    const { version = 0 } = (await get(asLost, first.id)) ?? {}
    assert.equal(await publish(asLost, { ...first, body: 'Evermore' }, { replaces: version }), 'stored')
    assert.equal(await publish(asLost, { ...first, body: 'Who?' }, { replaces: version }), 'FMTP_CONFLICT')
    const old = handMessage(annabel, [lost.address])
    const newer = handMessage(annabel, [lost.address], {
      id: old.id,
      createdAt: old.createdAt,
      version: old.version + 1,
    })
    assert.deepEqual([await bring(newer), await bring(old)], ['stored', 'FMTP_TOO_OLD'])
    const ties = ['a', 'b'].map(body =>
      handMessage(annabel, [lost.address], {
        id: old.id,
        createdAt: old.createdAt,
        body,
        version: old.version + 2,
      }),
    )
    const [lesser, greater] = (ties as FmtpObject[]).sort((left, right) =>
      digestOf(left) < digestOf(right) ? -1 : 1,
    ) as [FmtpObject, FmtpObject]
    assert.deepEqual([await bring(greater), await bring(lesser)], ['stored', 'FMTP_TOO_OLD'])
  })

  it('threads: an answer waits for its parent and is joined, a false one is refused', async () => {
    const top = handMessage(annabel, [lost.address])
    const answering = (parent: FmtpObject, more: object = {}) =>
      handMessage(annabel, [lost.address], {
        ...{ parent: parent.id, parentHash: digestOf(parent), top: parent.top ?? parent.id },
        ...more,
      })
    const answer = answering(top)
    const last = answering(answer)
    for (const each of [last, answer]) assert.equal(await bring(each), 'stored')
    assert.deepEqual(await list(asLost, { of: 'thread', top: top.id }), [])
    assert.equal(await bring(top), 'stored')
    assert.deepEqual(await list(asLost, { of: 'thread', top: top.id }), [top.id, answer.id, last.id])
    const mine = message(lost.address, annabel.address)
    await publish(asLost, mine)
    const parent = (await get(asLost, mine.id)) as FmtpObject
    assert.equal(await bring(answering(parent, { parentHash: 'A'.repeat(43) })), 'FMTP_PARENT')
    await publish(asLost, { ...mine, body: 'Edited' })
    assert.equal(await bring(answering(parent)), 'stored', 'what was replaced still proves it')
  })

  it('lists: by owner, of the server, in both orders, one kind, page by page while others write', async () => {
    const posts = []
    for (let at = 0; at < 30; at++) {
      const id = mint(lost.address)
      const createdAt = new Date(Date.now() - 1000 * ((at * 7) % 30)).toISOString()
      posts.push({ id, createdAt })
      const post = { kind: 'post', format: 'text/plain', body: `${at}`, public: true }
      assert.equal(await publish(asLost, { ...post, id, createdAt }), 'stored')
    }
    const sorted = [...posts]
      .sort((left, right) => (left.createdAt < right.createdAt ? 1 : -1))
      .map(({ id }) => id)
    for (const owner of [lost.address, 'lenore.org']) {
      const query = { of: 'public', owner, kind: 'post' } as const
      assert.deepEqual(
        (await list(asLost, query)).filter(id => sorted.includes(id)),
        posts.map(({ id }) => id),
      )
      const read: string[] = []
      for (let after: string | undefined; ; ) {
        const page: ListQuery = { ...query, order: 'newest', limit: 7, ...(after !== undefined && { after }) }
        const { answer, describes } = await asLost.request({ list: page })
        read.push(...describes.map(({ object }) => (object as FmtpObject).id))
        if (answer.complete === true) break
        after = answer.cursor
        const late = { kind: 'post', format: 'text/plain', body: 'late', public: true }
        await publish(asLost, {
          ...late,
          id: mint(lost.address),
          createdAt: new Date(Date.now() - dayMs).toISOString(),
        })
      }
      assert.deepEqual(
        read.filter(id => sorted.includes(id)),
        sorted,
      )
      assert.equal(new Set(read).size, read.length)
    }
  })

  it('blobs: kept by their hash, given for a secret, gone with the last object', async () => {
    const bytes = randomBytes(5000)
    const secret = randomBytes(16).toString('base64url')
    const sha256 = await putBlob(lenore as unknown as TestServer, lost, bytes)
    const attachments = [
      { name: 'a.bin', format: 'application/octet-stream', bytes: bytes.length, sha256, secret },
    ]
    const draft = message(lost.address, annabel.address, { attachments })
    assert.equal(await publish(asLost, draft), 'stored')
    const url = `${lenore.origin}/blobs/${sha256}`
    assert.equal((await fetch(url)).status, 404)
    const response = await fetch(`${url}?s=${secret}`)
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes)
    assert.equal(await publish(asLost, { id: draft.id, kind: 'message', deleted: true }), 'stored')
    const file = join(lenore.folder, 'data', 'blobs', sha256.slice(0, 2), sha256.slice(2))
    assert.ok(existsSync(file))
    await lenore.advance(2 * 3_600_000)
    await waitUntil('the file is gone', () => !existsSync(file))
  })

  it('foreign cache: what was fetched is served while its home is away', async () => {
    const look = async () =>
      (await asLost.request({ address: edgar.address, effort: 'lookup' })).answer.outcome
    assert.equal(await look(), 'found')
    await poe.stop()
    assert.equal(await look(), 'found')
    poe = await startProcess(network, 'poe.net')
  })

  it('expiry and retention: what has ended goes, what is kept stays, the rest goes when its user says so', async () => {
    const nowMs = Date.now() + 2 * 3_600_000
    const hour = handMessage(annabel, [lost.address], {
      expiresAt: new Date(nowMs + 3_600_000).toISOString(),
    })
    const [kept, plain] = [handMessage(annabel, [lost.address]), handMessage(annabel, [lost.address])]
    for (const each of [hour, kept, plain]) assert.equal(await bring(each), 'stored')
    const mark = { id: `${markNonce(kept.id)}.${lost.address}`, kind: 'mark', about: kept.id, kept: true }
    assert.equal(await publish(asLost, mark), 'stored')
    await lenore.advance(2 * 3_600_000)
    assert.ok(!(await list(asLost, { of: 'box', limit: 500 })).includes(hour.id))
    assert.equal(await publish(asLost, { id: `user.${lost.address}`, kind: 'user', keepDays: 1 }), 'stored')
    await lenore.advance(2 * dayMs)
    await waitUntil('it is gone', async () => {
      // A look that was under way saw the time of before.
      await lenore.advance(3_600_001)
      return !(await list(asLost, { of: 'box', limit: 500 })).includes(plain.id)
    })
    assert.ok((await list(asLost, { of: 'box', limit: 500 })).includes(kept.id))
  })

  it('keys: a new domain key re-issues credentials, and objects keep their hash', async () => {
    const draft = message(edgar.address, edgar.address)
    assert.equal(await publish(asEdgar, draft), 'stored')
    const before = await get(asEdgar, draft.id)
    const rotate = async () => {
      const told = await operate(poe, 'key', 'rotate', 'poe.net', '--now', '--json')
      return (JSON.parse(told) as { keys: readonly { record: string }[] }).keys.map(({ record }) => record)
    }
    // It signs when DNS shows it beside the old one.
    network.zone.set('fmtpkey.poe.net', 'TXT', await rotate())
    await rotate()
    const after = await get(asEdgar, draft.id)
    assert.equal(after?.hash, before?.hash)
    assert.notEqual(after?.encryptedKey, before?.encryptedKey)
    const keys = await operate(poe, 'key', 'list', '--json')
    assert.match(keys, /"current"/)
    assert.match(keys, /"old"/)
  })

  it('trust in the disk: verify, an online backup, and a restore that verify accepts', async () => {
    for (const server of [poe, lenore]) await verify(server)
    const to = join(lenore.folder, 'copies')
    mkdirSync(to)
    await operate(lenore, 'backup', join(to, 'backup'), '--json')
    const config = join(to, 'fmtp.conf')
    await runFmtp('restore', join(to, 'backup'), '--config', config, '--data', join(to, 'data'), '--json')
    await runFmtp('verify', '--config', config, '--json')
    lenore.child.kill('SIGKILL')
    await waitUntil('it is dead', () => lenore.child.signalCode !== null)
    await verify(lenore)
    lenore = await startProcess(network, 'lenore.org')
    assert.ok((await list(await lenore.connect(lost), { of: 'public', owner: lost.address })).length >= 30)
  })
})
