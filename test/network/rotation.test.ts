/**
 * The change of a domain key between two servers (protocol §5.9, §7.1): a peer that kept the old key goes on at the first
 * attempt, what was sealed before keeps its seal, and clients that pinned the old key find the new one.
 */
import assert from 'node:assert/strict'
import { Connection } from '../../client/connection.ts'
import { dialOrigin } from '../../client/dial.ts'
import { mintId } from '../../objects/id.ts'
import { readCredential } from '../../objects/seals/credential.ts'
import { generateKeyPair, signerOf } from '../../objects/seals/keys.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { parseAddress, parseDomain } from '../../schemas/text/names.ts'
import { pinnedTo } from '../../server/cli/people/connect.ts'
import type { Signer } from '../../wire/jws.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, handMessage, handUser, randomNonce } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const poeNet = parseDomain('poe.net')

describe('a domain key that changes', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let person: Person
  let edgar: Connection

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    network.zone.set('fmtpkey.poe.net', 'TXT', [own().current.record], 86_400)
    person = await enrol(poe, 'edgar@poe.net')
    await enrol(lenore, 'lost@lenore.org')
    edgar = await connectAs(poe, person)
  })

  afterEach(async () => {
    edgar.close()
    await network[Symbol.asyncDispose]()
  })

  function own() {
    const domain = poe.running.domains.get(poeNet)
    assert.ok(domain !== undefined)
    return domain
  }

  /** Rotates as an operator does who published the record a while ago. */
  async function rotate(): Promise<void> {
    const { rotation } = poe.running
    const old = own().current
    const next = (await rotation.rotate(poeNet)).find(({ state }) => state === 'next')
    network.zone.set('fmtpkey.poe.net', 'TXT', [old.record, next?.record ?? ''], 86_400)
    network.clock.advance(61_000)
    await rotation.rotate(poeNet, { isHurried: true })
    assert.equal(own().current.record, next?.record)
  }

  async function send(): Promise<string> {
    const id = mintId(parseAddress('edgar@poe.net'), network.clock.now())
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['lost@lenore.org'] }
    assert.equal((await edgar.describe({ object })).outcome, 'stored')
    return id
  }

  async function isStoredAtOnce(id: string): Promise<void> {
    const admitted = await waitUntil('it is admitted', () =>
      lenore.log.find(({ event, record }) => event === 'admit' && record.id === id),
    )
    assert.equal(admitted.record.outcome, 'stored')
    assert.ok(!poe.log.some(({ event }) => event === 'deliver.put-off' || event === 'deliver.unreachable'))
    assert.ok(!lenore.log.some(({ event }) => event === 'hello.failed' || event === 'answer.refused'))
  }

  it('is believed at the first attempt by a peer that kept the old one, over the open connection', async () => {
    await isStoredAtOnce(await send())
    await rotate()
    await isStoredAtOnce(await send())
    assert.ok(poe.log.some(({ event }) => event === 'key.switched'))
  })

  it('is believed at the first attempt by a peer that is called anew', async () => {
    await isStoredAtOnce(await send())
    await rotate()
    const selector = own().current.selector
    const records = own().keys.map(({ record }) => record)
    edgar.close()
    await network.stop('poe.net')
    poe = await network.serve('poe.net')
    network.zone.set('fmtpkey.poe.net', 'TXT', records, 86_400)
    assert.equal(own().current.selector, selector, 'the switch outlives the process')
    edgar = await connectAs(poe, person)
    await isStoredAtOnce(await send())
  })

  it('leaves every seal as it is: an object goes out under a credential of the new key', async () => {
    const id = await send()
    const read = async (): Promise<FmtpObject> => {
      const { describes } = await edgar.request({ id })
      return describes[0]?.object as FmtpObject
    }
    const before = await read()
    await rotate()
    const after = await read()
    assert.equal(after.hash, before.hash)
    assert.notEqual(after.encryptedKey, before.encryptedKey)
    assert.equal(readCredential(after.encryptedKey)?.kid, own().current.selector)
    const nbf = (object: FmtpObject) => readCredential(object.encryptedKey)?.payload.nbf
    assert.equal(nbf(after), nbf(before))
    assert.equal((await read()).encryptedKey, after.encryptedKey, 'made once')
  })

  it('issues credentials of the new key to devices', async () => {
    await rotate()
    edgar.close()
    edgar = await connectAs(poe, person)
    assert.equal(readCredential(edgar.issued ?? '')?.kid, own().current.selector)
  })

  describe('and is stolen', () => {
    let mallory: HandDomain

    beforeEach(() => {
      mallory = network.hand('mallory.example')
    })

    /** What lenore.org says to this hello. */
    async function helloAs(who: Pick<HandDomain, 'name' | 'signer'>) {
      const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
      const reply = await end.hello('lenore.org', { as: who.name, signer: who.signer })
      return { end, reply }
    }

    async function forward(object: object) {
      const { end } = await helloAs(mallory)
      const answer = await end.ask({ verb: 'describe', n: 1, object, for: ['lost@lenore.org'] })
      end.close()
      return answer
    }

    /** A message in Edgar's name by a key of the thief, under a credential of the stolen domain key. */
    function forge(stolen: Signer, nowMs: number) {
      const thief = handUser({ ...mallory, signer: stolen }, 'edgar@poe.net', nowMs)
      return handMessage(thief, ['lost@lenore.org'], { version: nowMs })
    }

    async function retire(): Promise<Signer> {
      const { selector, signer } = own().current
      await rotate()
      poe.running.rotation.retire(poeNet, selector, { isForced: true })
      network.zone.set('fmtpkey.poe.net', 'TXT', [own().current.record])
      // Peers keep what DNS said for the TTL of the record.
      network.clock.advance(86_400_000)
      return signer
    }

    it('a thief of a key that DNS still shows is believed: the limit of this scheme', async () => {
      const stolen = own().current.signer
      await rotate()
      const { end, reply } = await helloAs({ name: 'poe.net', signer: stolen })
      assert.equal(reply.verb, 'hello')
      end.close()
      assert.equal((await forward(forge(stolen, network.clock.now()))).outcome, 'stored')
    })

    it('a thief of one that was retired says no hello', async () => {
      const signer = await retire()
      const { end, reply } = await helloAs({ name: 'poe.net', signer })
      assert.equal(reply.code, 'FMTP_PROOF')
      end.close()
    })

    it('a thief of one that was retired makes nothing that is believed, at no date', async () => {
      const stolen = await retire()
      const nowMs = network.clock.now()
      assert.equal((await forward(forge(stolen, nowMs))).code, 'FMTP_SEAL_CREDENTIAL')
      assert.equal((await forward(forge(stolen, nowMs - 30 * 86_400_000))).code, 'FMTP_SEAL_CREDENTIAL')
      assert.ok(
        lenore.log.some(({ record }) => record.climb === 'elder'),
        'its home was asked',
      )
    })

    it('what a device sealed under one that was retired is believed, while the device is enrolled', async () => {
      const nowMs = network.clock.now()
      const times = { version: nowMs, createdAt: new Date(nowMs).toISOString() }
      const old = handMessage(
        { ...person, address: parseAddress(person.address) },
        ['annabel@poe.net'],
        times,
      )
      await retire()
      network.clock.advance(limits.credentialMs)
      assert.equal((await forward(old)).outcome, 'stored')
      assert.equal(lenore.running.store.findObject(old.id)?.hash, old.hash)
    })
  })

  describe('for clients without DNS', () => {
    async function logIn(thumbprint: string, token: string): Promise<string | undefined> {
      let moved: string | undefined
      const pair = generateKeyPair()
      const connection = await Connection.open(await dialOrigin(poe.origin), {
        domain: 'poe.net',
        verifyServer: pinnedTo(thumbprint, now => {
          moved = now
        }),
        randomNonce,
        login: { as: 'edgar@poe.net', token, signer: signerOf(pair), key: pair.jwk },
      })
      connection.close()
      return moved
    }
    const token = () => poe.running.accounts.makeToken(parseAddress('edgar@poe.net'))

    it('a link from before still works, over any number of changes, and the new key is pinned', async () => {
      const { thumbprint } = own().current.key
      const early = await token()
      assert.equal(await logIn(thumbprint, await token()), undefined)
      await rotate()
      await rotate()
      assert.equal(await logIn(thumbprint, early), own().current.key.thumbprint)
    })

    it('another key is not believed', async () => {
      await rotate()
      const stranger = generateKeyPair().thumbprint
      await assert.rejects(async () => logIn(stranger, await token()), /FMTP_WRONG_PEER/)
    })
  })
})
