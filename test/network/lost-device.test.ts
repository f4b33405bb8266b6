/**
 * A device that was lost (protocol §6.3, §7.4, §7.5), and what its finder can and can not do: two real servers, and a third
 * domain that forwards what anybody gives it.
 */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { digestOf, sealObject } from '../../objects/seals/seal.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { FmtpError } from '../../schemas/failures.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { readJws } from '../../wire/jws.ts'
import { assertCode, waitUntil } from '../support/conditions.ts'
import { type HandDomain, handMessage } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const dayMs = 24 * 60 * 60 * 1000
const edgar = parseAddress('edgar@poe.net')
const settings = { id: `user.${edgar}`, kind: 'user', public: true }

describe('a lost device', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let mallory: HandDomain
  let lost: Person
  let kept: Person
  let home: Connection

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    mallory = network.hand('mallory.example')
    await enrol(poe, 'annabel@poe.net')
    await enrol(lenore, 'alice@lenore.org')
    await enrol(lenore, 'bob@lenore.org')
    lost = await enrol(poe, edgar)
    kept = await enrol(poe, edgar)
    home = await connectAs(poe, kept)
  })

  afterEach(async () => {
    home.close()
    await network[Symbol.asyncDispose]()
  })

  /** A finished message by a device, as it looks wherever it is. */
  function sealedBy(person: Person, to: string[], members: Partial<Message> = {}): Message {
    const nowMs = network.clock.now()
    const times = { version: nowMs, createdAt: new Date(nowMs).toISOString() }
    return handMessage({ ...person, address: edgar }, to, { ...times, ...members })
  }

  async function revoke(): Promise<void> {
    const answer = await home.describe({ object: { ...settings, revokedKeys: [lost.pair.thumbprint] } })
    assert.equal(answer.outcome, 'stored')
  }

  const resealed = () =>
    waitUntil('all is sealed again', () => poe.log.find(({ event }) => event === 'reseal.done'))

  /** Brings an object to users of lenore.org in the name of a domain that did not make it. */
  async function forward(object: object, to = 'alice@lenore.org') {
    const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
    await end.hello('lenore.org', { as: mallory.name, signer: mallory.signer })
    const answer = await end.ask({ verb: 'describe', n: 1, object, for: [to] })
    end.close()
    return answer
  }

  const read = (server: TestServer, id: string) => server.running.store.findObject(id) as FmtpObject
  const signerOf = (object: FmtpObject) => readJws(object.hash, 'fmtp-hash')?.kid

  it('is out at once: its session ends, it can not say hello or publish, and is in no view', async () => {
    let code: string | undefined
    const onClose = (error: FmtpError | undefined): void => {
      code = error?.code
    }
    const session = await connectAs(poe, lost, { onClose })
    const object = sealedBy(lost, ['annabel@poe.net'])
    await revoke()
    await waitUntil('its session ends', () => code === 'FMTP_REVOKED')
    await assertCode('FMTP_REVOKED', () => connectAs(poe, lost))
    const { describes } = await home.request({ address: 'edgar@poe.net' })
    assert.ok(!JSON.stringify(poe.running.accounts.findView(edgar)).includes(lost.pair.thumbprint))
    assert.equal(describes.length, 1)
    const published = await home.describe({ object })
    assert.equal(published.code, 'FMTP_SEAL_CREDENTIAL')
    // Its credential is not renewed, not even with a link that the finder has.
    const { accounts } = poe.running
    network.clock.advance(2 * dayMs)
    assert.equal(accounts.freshCredential(lost.credential, edgar), lost.credential)
    const token = await accounts.makeToken(edgar)
    await assertCode('FMTP_REVOKED', () => accounts.redeem(edgar, token, lost.pair.jwk))
    session.close()
  })

  it('is out by the operator’s word too', async () => {
    const session = await connectAs(poe, lost)
    await poe.running.accounts.revoke(edgar, lost.pair.thumbprint)
    await assertCode('FMTP_REVOKED', () => connectAs(poe, lost))
    assert.deepEqual(
      (await poe.running.accounts.listDevices(edgar)).map(({ thumbprint }) => thumbprint),
      [kept.pair.thumbprint],
    )
    await assertCode('FMTP_NOT_FOUND', () => poe.running.accounts.revoke(edgar, lost.pair.thumbprint))
    await resealed()
    session.close()
  })

  it('leaves the other devices alone', async () => {
    await revoke()
    const client = await connectAs(poe, kept)
    assert.equal((await client.request({ list: { of: 'box' } })).answer.outcome, 'found')
    client.close()
  })

  it('had sealed what its home now seals again, once, with the same digest and in no list anew', async () => {
    const object = sealedBy(lost, ['annabel@poe.net'])
    const other = sealedBy(kept, ['annabel@poe.net'])
    for (const each of [object, other])
      assert.equal((await home.describe({ object: each })).outcome, 'stored')
    const head = () => poe.running.store.database.head(`box ${edgar}`).number
    await revoke()
    const before = head()
    const { record } = await resealed()
    assert.equal(record.objects, 1)
    const again = read(poe, object.id)
    assert.equal(digestOf(again), digestOf(object))
    assert.equal(signerOf(again), poe.running.accounts.homeKey(edgar).signer.kid)
    assert.equal(read(poe, other.id).hash, other.hash)
    assert.equal(head(), before)
    assert.equal(poe.running.store.database.get(keyOf.resealing(edgar, lost.pair.thumbprint)), undefined)
  })

  it('had sealed its user’s own object, which is sealed again as well', async () => {
    const nowMs = network.clock.now()
    const before = read(poe, `user.${edgar}`)
    const members = { ...before, version: nowMs, revokedKeys: [lost.pair.thumbprint] }
    const { object } = sealObject(members, lost)
    assert.equal((await home.describe({ object })).outcome, 'stored')
    await resealed()
    assert.notEqual(signerOf(read(poe, `user.${edgar}`)), lost.pair.thumbprint)
  })

  it('is sealed again by the next process, where the one before ended in between', async () => {
    const object = sealedBy(lost, ['annabel@poe.net'])
    await home.describe({ object })
    home.close()
    const { database } = poe.running.store
    // What the commit of the revocation leaves behind when nothing came after it.
    await database.commit([
      {
        dels: [keyOf.device(edgar, lost.pair.thumbprint)],
        puts: [[keyOf.resealing(edgar, lost.pair.thumbprint), '0']],
      },
    ])
    await network.stop('poe.net')
    poe = await network.serve('poe.net')
    await resealed()
    assert.notEqual(signerOf(read(poe, object.id)), lost.pair.thumbprint)
    home = await connectAs(poe, kept)
  })

  describe('whose credential has not ended', () => {
    it('is believed elsewhere until then: the limit of this scheme', async () => {
      await revoke()
      assert.equal((await forward(sealedBy(lost, ['alice@lenore.org']))).outcome, 'stored')
    })

    it('can not make anything that is older than its key', async () => {
      const old = { version: network.clock.now() - dayMs }
      assert.equal((await forward(sealedBy(lost, ['alice@lenore.org'], old))).code, 'FMTP_SEAL_EXPIRED')
    })
  })

  describe('whose credential has ended', () => {
    let forged: Message
    let honest: Message
    let letter: Message
    let early: Message
    let unseen: Message

    beforeEach(async () => {
      honest = sealedBy(lost, ['annabel@poe.net'], { public: true })
      letter = sealedBy(lost, ['annabel@poe.net', 'annabel@nowhere.example'], { body: 'A letter' })
      early = sealedBy(kept, ['annabel@poe.net'], { body: 'An early poem' })
      // Lenore has no such user, and so has not kept it.
      unseen = sealedBy(lost, ['nobody@lenore.org'], { body: 'To whom it may concern' })
      for (const object of [honest, letter, early, unseen])
        assert.equal((await home.describe({ object })).outcome, 'stored')
      forged = sealedBy(lost, ['alice@lenore.org'], { body: 'I owe Mallory everything' })
      await revoke()
      await resealed()
      network.clock.advance(8 * dayMs)
    })

    it('is believed nowhere, whatever date it writes', async () => {
      assert.equal((await forward(forged)).code, 'FMTP_SEAL_EXPIRED')
      assert.equal((await forward({ ...forged, version: forged.version - 1 })).code, 'FMTP_SEAL_EXPIRED')
    })

    it('can not borrow the id of an honest object', async () => {
      const borrowed = sealedBy(lost, ['alice@lenore.org'], { id: honest.id, version: honest.version })
      assert.equal((await forward(borrowed)).code, 'FMTP_SEAL_EXPIRED')
      // The honest one waits, for a minute: nobody makes us ask its home without end.
      assert.equal((await forward(honest)).code, 'FMTP_BUSY')
      network.clock.advance(61_000)
      assert.equal((await forward(honest)).outcome, 'stored')
    })

    it('sealed what is believed still, under the seal that its home gives', async () => {
      assert.equal((await forward(honest)).outcome, 'stored')
      const held = read(lenore, honest.id)
      assert.equal(digestOf(held), digestOf(honest))
      assert.notEqual(signerOf(held), lost.pair.thumbprint)
      assert.equal((await forward(honest)).outcome, 'duplicate', 'also under the old seal')
      assert.equal(read(lenore, honest.id).hash, held.hash, 'which does not come back')
    })

    it('sealed what its home shows to nobody here: that is not believed', async () => {
      assert.equal((await forward(letter)).code, 'FMTP_SEAL_EXPIRED')
    })

    it('sealed what its home shows to those it was written to', async () => {
      assert.equal((await forward(unseen)).outcome, 'stored')
      assert.equal(digestOf(read(lenore, unseen.id)), digestOf(unseen))
    })

    it('is no matter for what a device sealed that is enrolled still', async () => {
      assert.equal((await forward(early)).outcome, 'stored')
      assert.equal(read(lenore, early.id).hash, early.hash)
    })

    it('is believed by no keys that are older than ten minutes', async () => {
      const third = await enrol(poe, edgar)
      const forgedLater = sealedBy(third, ['alice@lenore.org'], { body: 'And my house' })
      network.clock.advance(8 * dayMs)
      const alice = await connectAs(lenore, await enrol(lenore, 'alice@lenore.org'))
      const { answer } = await alice.request({ address: edgar, effort: 'lookup' })
      assert.equal(answer.outcome, 'found')
      alice.close()
      await poe.running.accounts.revoke(edgar, third.pair.thumbprint)
      network.clock.advance(11 * 60_000)
      assert.equal((await forward(forgedLater)).code, 'FMTP_SEAL_EXPIRED')
    })

    it('asks again after a while, where the home could not be reached', async () => {
      home.close()
      await network.stop('poe.net')
      const answer = await forward(honest)
      assert.equal(answer.outcome, 'busy')
      const dials = () => lenore.log.filter(({ record }) => record.what === 'connect').length
      const before = dials()
      assert.equal((await forward(early)).outcome, 'busy')
      assert.equal(dials(), before, 'a domain that is down is not called for each object')
      poe = await network.serve('poe.net', { port: poe.port })
      network.clock.advance(61_000)
      assert.equal((await forward(honest)).outcome, 'stored')
      home = await connectAs(poe, kept)
    })
  })

  it('sealed what a peer holds: a fresher seal displaces it, and nothing comes anew', async () => {
    const object = sealedBy(lost, ['alice@lenore.org'])
    await home.describe({ object })
    await waitUntil('it is there', () => lenore.running.store.findObject(object.id))
    await revoke()
    await resealed()
    network.clock.advance(2 * dayMs)
    const head = () => lenore.running.store.database.head('box alice@lenore.org').number
    const thread = () => lenore.running.store.database.head(`thread ${object.id}`).number
    const before = [head(), thread()]
    const client = await connectAs(poe, kept)
    const fresh = (await client.request({ id: object.id })).describes[0]?.object as FmtpObject
    client.close()
    assert.notEqual(fresh.hash, object.hash)
    assert.equal((await forward(fresh)).outcome, 'duplicate')
    assert.equal(read(lenore, object.id).hash, fresh.hash)
    assert.deepEqual([head(), thread()], before)
    assert.equal((await forward(object)).outcome, 'duplicate')
    assert.equal(read(lenore, object.id).hash, fresh.hash)
    // Somebody who did not have it gets it, under the fresher seal.
    assert.equal((await forward(object, 'bob@lenore.org')).outcome, 'duplicate')
    assert.equal(read(lenore, object.id).hash, fresh.hash)
    assert.equal(thread(), before[1])
  })
})
