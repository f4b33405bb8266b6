/** Views of a user (protocol §6.3): everyone's, friends' and the owner's, and that coming and going writes nothing. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../../client/connection.ts'
import { verifySeal } from '../../../../objects/seals/seal.ts'
import { keyOf } from '../../../../objects/store/layout.ts'
import type { User } from '../../../../schemas/kinds/user.ts'
import { waitUntil } from '../../../support/conditions.ts'
import { type HandDomain, handProfile, handUser } from '../../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../../support/network.ts'
import { type RawEnd, rawTls } from '../../../support/raw.ts'

describe('views of a user', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let lost: Person
  let home: RawEnd
  let lastUser = 0
  let lastN = 0

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org')
    poe = network.hand('poe.net')
    home = await rawTls(server.address, server.port, 'lenore.org')
    await home.hello('lenore.org', { as: poe.name, signer: poe.signer })
  })

  after(async () => {
    home.close()
    await network[Symbol.asyncDispose]()
  })

  beforeEach(async () => {
    lost = await enrol(server, `lost${++lastUser}@lenore.org`)
  })

  /** What poe.net sees of lost on behalf of these users of its own. */
  async function seenBy(...viewers: string[]): Promise<User | undefined> {
    const n = ++lastN
    const answer = await home.ask({
      verb: 'request',
      n,
      address: lost.address,
      ...(viewers.length > 0 ? { for: viewers } : {}),
    })
    assert.ok(answer.outcome === 'found' || answer.outcome === 'absent', JSON.stringify(answer))
    return home.frames.find(({ re, object }) => re === n && object !== undefined)?.object as User | undefined
  }

  async function set(client: Connection, members: object): Promise<void> {
    const answer = await client.describe({ object: { id: `user.${lost.address}`, kind: 'user', ...members } })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
  }

  async function offline(): Promise<void> {
    await waitUntil('offline', async () => (await seenBy('edgar@poe.net'))?.status === 'offline')
  }

  const friends = { whitelist: ['edgar@poe.net'], buddies: ['edgar@poe.net'] }

  it('everyone, friends and the owner each have their own, sealed by the home', async () => {
    const client = await connectAs(server, lost)
    await set(client, { ...friends, quote: 'Nevermore', statusText: 'at the door' })
    const { describes } = await client.request({ address: lost.address })
    const owners = describes[0]?.object as User
    const [everyones, ofFriend] = [await seenBy(), await seenBy('edgar@poe.net')]
    assert.deepEqual(
      [owners.view, owners.whitelist, owners.statusText],
      [undefined, ['edgar@poe.net'], 'at the door'],
    )
    assert.deepEqual(
      [everyones?.view, everyones?.quote, everyones?.status, everyones?.statusText, everyones?.whitelist],
      ['everyone', 'Nevermore', undefined, undefined, undefined],
    )
    assert.deepEqual(
      [ofFriend?.view, ofFriend?.quote, ofFriend?.status, ofFriend?.statusText, ofFriend?.buddies],
      ['friends', 'Nevermore', 'online', 'at the door', undefined],
    )
    const own = server.running.domains.get('lenore.org' as never)
    assert.ok(own !== undefined && ofFriend !== undefined)
    const verdict = await verifySeal(
      ofFriend,
      { find: async () => own.keys.map(({ key }) => key) },
      network.clock.now(),
    )
    assert.ok(verdict.isBelieved)
    client.close()
  })

  it('coming and going writes no object and moves no version of the view for everyone', async () => {
    const { database } = server.running.store
    const client = await connectAs(server, lost)
    await set(client, friends)
    const texts = () =>
      [keyOf.object(`user.${lost.address}`), keyOf.view('everyone', lost.address)].map(key =>
        database.get(key),
      )
    const before = texts()
    const seen: User[] = []
    const look = async () => seen.push((await seenBy('edgar@poe.net')) as User)
    await look()
    await look()
    client.close()
    await offline()
    await look()
    const again = await connectAs(server, lost)
    await look()
    again.close()
    assert.deepEqual(
      seen.map(({ status }) => status),
      ['online', 'online', 'offline', 'online'],
    )
    const versions = seen.map(({ version }) => version)
    assert.equal(versions[0], versions[1], 'the same words are the same version')
    assert.ok(versions.every((version, at) => at < 2 || version > (versions[at - 1] as number)))
    assert.deepEqual(texts(), before)
    assert.deepEqual(
      await server.running.store.readNewest(`box ${lost.address}`, { limit: 10 }).then(rows => rows.length),
      1,
    )
  })

  it('devices may say away or busy, or offline to be left alone', async () => {
    const client = await connectAs(server, lost)
    for (const status of ['away', 'busy', 'offline'] as const) {
      await set(client, { ...friends, status })
      assert.equal((await seenBy('edgar@poe.net'))?.status, status)
    }
    await set(client, { ...friends, status: 'away' })
    client.close()
    await offline()
  })

  for (const [statusFor, friend, other, guest] of [
    [undefined, 'friends', 'everyone', 'everyone'],
    ['friends', 'friends', 'everyone', 'everyone'],
    ['everyone', 'friends', 'friends', 'everyone'],
    ['nobody', 'everyone', 'everyone', 'everyone'],
  ] as const) {
    it(`statusFor ${statusFor}: friends see ${friend}, others ${other}, guests ${guest}`, async () => {
      const client = await connectAs(server, lost)
      await set(client, { ...friends, ...(statusFor === undefined ? {} : { statusFor }) })
      const views = [await seenBy('edgar@poe.net'), await seenBy('bob@poe.net'), await seenBy()]
      assert.deepEqual(
        views.map(view => view?.view),
        [friend, other, guest],
      )
      client.close()
    })
  }

  it('what several viewers get is what each of them may have', async () => {
    const client = await connectAs(server, lost)
    await set(client, friends)
    assert.equal((await seenBy('edgar@poe.net', 'bob@poe.net'))?.view, 'everyone')
    await set(client, { ...friends, public: false })
    assert.equal((await seenBy('edgar@poe.net'))?.view, 'friends')
    assert.equal(await seenBy('edgar@poe.net', 'bob@poe.net'), undefined)
    const answer = await client.describe({
      object: {
        id: `1.${lost.address}`,
        kind: 'message',
        format: 'text/plain',
        body: 'Hush',
        to: ['edgar@poe.net'],
      },
    })
    assert.equal(answer.outcome, 'stored')
    for (const [viewers, outcome] of [
      [['edgar@poe.net'], 'found'],
      [['edgar@poe.net', 'bob@poe.net'], 'absent'],
    ] as const) {
      const n = ++lastN
      const asked = await home.ask({ verb: 'request', n, id: `1.${lost.address}`, for: viewers })
      assert.equal(asked.outcome, outcome)
    }
    client.close()
  })

  it('a view that is not for everyone is not taken from outside, described or looked up', async () => {
    const edgar = handUser(poe, 'edgar@poe.net')
    for (const view of ['friends', 'owner', 'net:inside']) {
      const n = ++lastN
      const object = handProfile(edgar, { view, status: 'online' })
      const answer = await home.ask({ verb: 'describe', n, object, for: [lost.address] })
      assert.deepEqual([answer.outcome, answer.code], ['refused', 'FMTP_BAD_OBJECT'])
    }
    assert.equal(server.running.store.findObject('user.edgar@poe.net'), undefined)
  })
})
