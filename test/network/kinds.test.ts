/** Objects of all kinds through the doors of running servers (protocol §6, §8, §9): published, delivered, listed, asked for. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { markNonce } from '../../objects/mark.ts'
import { digestOf, sealObject } from '../../objects/seals/seal.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { putBlob } from '../support/blob.ts'
import { waitUntil } from '../support/conditions.ts'
import { handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const recipe = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 200 }, serves: { type: 'integer' }, to: true },
  required: ['name'],
}
const sha256 = 'A'.repeat(43)

describe('kinds', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let plain: TestServer
  let edgarDevice: Person
  let edgar: Connection
  let alice: Connection
  let lost: Connection

  before(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net', { kinds: { recipe } })
    lenore = await network.serve('lenore.org', { kinds: { recipe } })
    plain = await network.serve('plain.example')
    edgarDevice = await enrol(poe, 'edgar@poe.net')
    edgar = await connectAs(poe, edgarDevice)
    alice = await connectAs(poe, await enrol(poe, 'alice@poe.net'))
    lost = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
    await enrol(plain, 'bob@plain.example')
  })

  after(async () => {
    for (const each of [edgar, alice, lost]) each.close()
    await network[Symbol.asyncDispose]()
  })

  const mint = () => mintId(parseAddress('edgar@poe.net'), network.clock.now())
  const codeOf = async (object: object, by = edgar) => {
    const { code, outcome } = await by.describe({ object })
    return code ?? outcome
  }
  const decisionAbout = ({ log }: TestServer, id: string) =>
    waitUntil(
      'it arrives',
      () => log.find(({ event, record }) => event === 'admit' && record.id === id)?.record,
    )
  async function listed(by: Connection, list: object): Promise<FmtpObject[]> {
    const { describes } = await by.request({ list: list as never })
    return describes.map(({ object }) => object as FmtpObject)
  }

  it('of an operator are stored, listed, asked for and delivered like any other', async () => {
    const id = mint()
    const draft = { id, kind: 'recipe', name: 'Raven soup', serves: 4, mood: 'bleak', public: true }
    const to = ['lost@lenore.org', 'alice@poe.net', 'bob@plain.example']
    const answer = await edgar.describe({ object: { ...draft, to } })
    assert.deepEqual(
      answer.results?.map(({ outcome }) => outcome),
      ['queued', 'stored', 'queued'],
    )
    assert.equal((await decisionAbout(lenore, id)).outcome, 'stored')
    const [boxed] = (await listed(lost, { of: 'box' })).filter(object => object.id === id)
    assert.ok(boxed)
    const { encryptedKey: _, hash: __, owner, createdAt: ___, version: ____, ...said } = boxed
    assert.deepEqual({ owner, ...said }, { owner: 'edgar@poe.net', ...draft, to })
    assert.ok((await listed(alice, { of: 'box' })).some(object => object.id === id))
    const [inPublic] = await listed(alice, { of: 'public', owner: 'edgar@poe.net', kind: 'recipe' })
    assert.equal(inPublic?.id, id)
    const refused = await waitUntil('it is refused', () =>
      plain.log.find(({ record }) => record.code === 'FMTP_UNKNOWN_KIND'),
    )
    assert.equal(refused.level, 'info')
    assert.ok(!poe.log.some(({ event }) => event === 'deliver.put-off'), 'nobody tries again')

    const second = mint()
    assert.equal(await codeOf({ id: second, kind: 'recipe', name: 'Stew', public: true }), 'stored')
    const { describes } = await lost.request({ id: second, effort: 'lookup' })
    assert.equal((describes[0]?.object as FmtpObject | undefined)?.id, second)
    const edited = { id: second, kind: 'recipe', name: 'Raven stew', public: true }
    assert.equal(await codeOf(edited), 'stored')
    assert.equal(await codeOf({ id: second, kind: 'recipe', deleted: true }), 'stored')
    assert.equal(await codeOf({ id: mint(), kind: 'recipe' }), 'FMTP_BAD_OBJECT')
    assert.equal(await codeOf({ id: mint(), kind: 'riddle' }), 'FMTP_UNKNOWN_KIND')
  })

  it('written to somebody are judged by their owner, as messages are', async () => {
    const settings = {
      id: 'user.lost@lenore.org',
      kind: 'user',
      policy: 'reject',
      whitelist: ['edgar@poe.net'],
    }
    assert.equal(await codeOf(settings, lost), 'stored')
    const hand = network.hand('mallory.example')
    const mallory = handUser(hand, 'mallory@mallory.example')
    const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'mallory.example', signer: hand.signer })
    const { describes } = await edgar.request({ list: { of: 'box', kind: 'recipe' } })
    const sent = describes.map(({ object }) => object as FmtpObject).find(object => 'to' in object)
    const nowMs = network.clock.now()
    const own = {
      ...{ id: `1.${mallory.address}`, kind: 'recipe', owner: mallory.address, name: 'Poison' },
      ...{ createdAt: new Date(nowMs).toISOString(), version: nowMs, to: ['lost@lenore.org'] },
    }
    let n = 0
    const bring = async (object: object) => {
      const answer = await end.ask({ verb: 'describe', n: ++n, object, for: ['lost@lenore.org'] })
      return (answer.results as { outcome: string }[])[0]?.outcome
    }
    assert.equal(await bring(sealObject(own as unknown as Unsealed, mallory).object), 'refused')
    assert.equal(await bring(sent ?? {}), 'duplicate', "a friend's, whoever brings it")
    end.close()
  })

  it('of the protocol are published by whom they belong to', async () => {
    const blob = await putBlob(poe, edgarDevice, Buffer.from('a'))
    const file = { name: 'raven.png', format: 'image/png', bytes: 1, sha256: blob }
    const post = { format: 'text/plain', body: 'Nevermore', title: 'The Raven', public: true }
    const cases: readonly (readonly [draft: object, code: string])[] = [
      [{ id: mint(), kind: 'post', ...post, attachments: [file] }, 'stored'],
      [{ id: mint(), kind: 'file', ...file }, 'stored'],
      [{ id: mint(), kind: 'invite', keySha256: sha256, name: 'Annabel' }, 'stored'],
      [{ id: mint(), kind: 'invite', keySha256: sha256, public: true }, 'FMTP_BAD_OBJECT'],
      [{ id: mint(), kind: 'report', about: mint(), outcome: 'failed' }, 'FMTP_NOT_OWNER'],
      [{ id: 'group.edgar@poe.net', kind: 'group', title: 'Ravens' }, 'FMTP_BAD_NAME'],
      [{ id: mint(), kind: 'post', ...post, to: ['lost@lenore.org'] }, 'FMTP_BAD_OBJECT'],
    ]
    for (const [draft, code] of cases) assert.equal(await codeOf(draft), code, JSON.stringify(draft))
  })

  it('of an object are fitted to what its home filled in', async () => {
    const first = { id: mint(), kind: 'post', format: 'text/plain', body: 'Nevermore' }
    const expiresAt = new Date(network.clock.now() - 1000).toISOString()
    assert.equal(await codeOf({ ...first, expiresAt }), 'FMTP_BAD_OBJECT')
    assert.equal(await codeOf(first), 'stored')
    const answer = { ...first, id: mint(), parent: first.id }
    assert.equal(await codeOf(answer), 'stored')
    assert.equal(await codeOf({ ...first, body: 'Evermore', parent: answer.id }), 'FMTP_BAD_OBJECT', 'a ring')
    const asMessage = { id: first.id, kind: 'message', format: 'text/plain', body: '', to: ['alice@poe.net'] }
    assert.equal(await codeOf(asMessage), 'FMTP_BAD_OBJECT', 'another kind')
  })

  describe('mark', () => {
    const about = '1763629200000-k3v7q2m5x4ab.lost@lenore.org'
    const mark = { id: `${markNonce(about)}.edgar@poe.net`, kind: 'mark', about, read: true }

    it('is one for each object', async () => {
      assert.equal(markNonce('1763629200000-k3v7q2m5x4ab.edgar@poe.net'), 'mark-hh_eWiQzvPchPXvhtZrN')
      assert.equal(await codeOf(mark), 'stored')
      assert.equal(await codeOf({ ...mark, kept: true }), 'stored')
      assert.equal(await codeOf({ ...mark, id: mint() }), 'FMTP_BAD_OBJECT')
      assert.equal(await codeOf({ ...mark, about: mint() }), 'FMTP_BAD_OBJECT')
    })

    it('is seen by its owner alone', async () => {
      assert.ok((await listed(edgar, { of: 'box', kind: 'mark' })).some(({ id }) => id === mark.id))
      assert.deepEqual(await listed(alice, { of: 'thread', top: mark.id }), [])
      assert.equal((await alice.request({ id: mark.id })).answer.outcome, 'absent')
      assert.equal((await edgar.request({ id: mark.id })).answer.outcome, 'found')
    })

    it('is taken from nobody', async () => {
      const hand = network.hand('annabel.example')
      const annabel = handUser(hand, 'annabel@annabel.example')
      const nowMs = network.clock.now()
      const own = {
        ...{ id: `1.${annabel.address}`, kind: 'mark', owner: annabel.address, about },
        ...{ createdAt: new Date(nowMs).toISOString(), version: nowMs },
      }
      const { object } = sealObject(own as unknown as Unsealed, annabel)
      const end = await rawTls(poe.address, poe.port, 'poe.net')
      await end.hello('poe.net', { as: 'annabel.example', signer: hand.signer })
      const answer = await end.ask({ verb: 'describe', n: 1, object, for: ['alice@poe.net'] })
      assert.deepEqual(
        (answer.results as { outcome: string; code?: string }[]).map(({ outcome, code }) => [outcome, code]),
        [['refused', 'FMTP_REFUSED']],
      )
      end.close()
    })

    it('goes, and comes again', async () => {
      assert.equal(await codeOf({ id: mark.id, kind: 'mark', deleted: true }), 'stored')
      assert.equal(await codeOf(mark), 'stored')
    })
  })

  it('keep what no version knows through both servers, under the seal', async () => {
    const id = mint()
    const strange = { mood: { bleak: [null, { '10': 1, '9': 'é😀' }] }, Über: true }
    const draft = { id, kind: 'post', format: 'text/plain', body: 'Nevermore', public: true, ...strange }
    assert.equal(await codeOf(draft), 'stored')
    const home = (await edgar.request({ id })).describes[0]?.object as FmtpObject
    const { describes } = await lost.request({ id, effort: 'lookup' })
    const there = describes[0]?.object as FmtpObject & typeof strange
    assert.deepEqual(there, home)
    assert.deepEqual({ mood: there.mood, Über: there.Über }, strange)
    assert.equal(digestOf(there), digestOf(home))
  })
})
