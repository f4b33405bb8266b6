/**
 * The change of a domain key between two servers (protocol §5.9, §7.1): a peer that kept the old key goes on at the first
 * attempt, what was sealed before keeps its seal, and clients that pinned the old key find the new one.
 */
import assert from 'node:assert/strict'
import { Connection } from '../../client/connection.ts'
import { dialOrigin } from '../../client/dial.ts'
import { readCredential } from '../../objects/credential.ts'
import { mintId } from '../../objects/id.ts'
import { generateKeyPair, signerOf } from '../../objects/keys.ts'
import { parseAddress, parseDomain } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { pinnedTo } from '../../server/cli/connect.ts'
import { waitUntil } from '../support/conditions.ts'
import { randomNonce } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'

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
