import assert from 'node:assert/strict'
import { issueCredential, readCredential } from '../../../objects/seals/credential.ts'
import { signerOf } from '../../../objects/seals/keys.ts'
import {
  type DomainKey,
  type DomainKeys,
  digestOf,
  sealObject,
  verifyOldSeal,
  verifySeal,
} from '../../../objects/seals/seal.ts'
import { domainKeyOf } from '../../../routing/dns/domain-keys.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import { type FailureCode, FmtpError } from '../../../schemas/failures.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import { signJws } from '../../../wire/jws.ts'
import { assertCode } from '../../support/conditions.ts'
import { type HandUser, handDomain, handMessage, handUser } from '../../support/hand.ts'

const dayMs = 24 * 60 * 60 * 1000
const poe = handDomain('poe.net')
const lenore = handDomain('lenore.org')
const edgar = handUser(poe, 'edgar@poe.net')
const message = handMessage(edgar, ['lost@lenore.org'])

/** What DNS says; keys given as `later` are seen only by who asks again. */
function keysOf(now: Record<string, readonly DomainKey[]>, later = now): DomainKeys & { asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    async find(domain, options) {
      const isFresh = options?.isFresh === true
      asked.push(`${domain}${isFresh ? ' again' : ''}`)
      const keys = (isFresh ? later : now)[domain]
      if (keys === undefined) throw new FmtpError('FMTP_DNS_FAILED', domain)
      return keys
    },
  }
}

const keyOfDomain = ({ pair, signer }: typeof poe): DomainKey => domainKeyOf(signer.kid, pair.jwk)
const known = () => ({ 'poe.net': [keyOfDomain(poe)], 'lenore.org': [keyOfDomain(lenore)] })

async function verdictOf(
  object: object,
  nowMs = Date.now(),
  keys = keysOf(known()),
): Promise<FailureCode | 'believed'> {
  const verdict = await verifySeal(object as Message, keys, nowMs)
  return verdict.isBelieved ? 'believed' : verdict.code
}

/** Edgar's message under a credential that says these things instead. */
function underCredential(members: Partial<Parameters<typeof issueCredential>[0]>, issuer = poe): Message {
  const nowMs = Date.now()
  const enrolment = { sub: 'edgar@poe.net', jwk: edgar.pair.jwk, enrolledAtMs: nowMs, nowMs, ...members }
  return handMessage({ ...edgar, credential: issueCredential(enrolment, issuer.signer) } as HandUser, [
    'lost@lenore.org',
  ])
}

describe('seal', () => {
  const cases: readonly (readonly [what: string, object: () => object, verdict: FailureCode | 'believed'])[] =
    [
      ['as it was made', () => message, 'believed'],
      [
        'with a member inside that looks like its hash, and that in a text',
        () => {
          const members = { about: { aa: 1, hash: message.hash }, body: ',"hash":"a.b.c"', zz: ',"hash":' }
          return handMessage(edgar, ['lost@lenore.org'], members as Partial<Message>)
        },
        'believed',
      ],
      [
        'with its own hash inside as well',
        () => ({ ...message, about: { aa: 1, hash: message.hash } }),
        'FMTP_SEAL',
      ],
      ['with a hash that needs escapes', () => ({ ...message, hash: `${message.hash}"` }), 'FMTP_SEAL'],
      [
        'with its members in another order',
        () => Object.fromEntries(Object.entries(message).reverse()),
        'believed',
      ],
      ['with a changed body', () => ({ ...message, body: 'Evermore' }), 'FMTP_SEAL'],
      ['with a member more', () => ({ ...message, mood: 'bleak' }), 'FMTP_SEAL'],
      ['with a member less', () => ({ ...message, version: undefined }), 'FMTP_SEAL'],
      ['made public by another', () => ({ ...message, public: true }), 'FMTP_SEAL'],
      [
        'with the hash of another message',
        () => ({ ...message, hash: handMessage(edgar, ['a@b.c']).hash }),
        'FMTP_SEAL',
      ],
      ['with a hash that is a credential', () => ({ ...message, hash: message.encryptedKey }), 'FMTP_SEAL'],
      ['with a hash that is no JWS', () => ({ ...message, hash: 'a.b.c' }), 'FMTP_SEAL'],
      [
        'sealed by a key that its credential does not name',
        () => handMessage({ ...edgar, signer: handUser(poe, 'edgar@poe.net').signer }, ['lost@lenore.org']),
        'FMTP_SEAL',
      ],
      [
        'sealed by another key under that name',
        () => handMessage({ ...edgar, signer: signerOf(lenore.pair, edgar.signer.kid) }, ['lost@lenore.org']),
        'FMTP_SEAL',
      ],
      [
        'under the credential of another user',
        () => underCredential({ sub: 'annabel@poe.net' }),
        'FMTP_SEAL_CREDENTIAL',
      ],
      [
        'under the credential of its whole domain',
        () => underCredential({ sub: 'poe.net' }),
        'FMTP_SEAL_CREDENTIAL',
      ],
      ['under a credential by another domain', () => underCredential({}, lenore), 'FMTP_SEAL_CREDENTIAL'],
      [
        'under a credential that is no JWS',
        () => ({ ...message, encryptedKey: 'a.b.c' }),
        'FMTP_SEAL_CREDENTIAL',
      ],
      [
        'under a credential that its own key made',
        () => {
          const payload = readCredential(edgar.credential)?.payload
          const bytes = new TextEncoder().encode(JSON.stringify(payload))
          return {
            ...message,
            encryptedKey: signJws('fmtp-key', bytes, signerOf(edgar.pair, poe.signer.kid)),
          }
        },
        'FMTP_SEAL_CREDENTIAL',
      ],
      [
        'under a credential that has ended',
        () => underCredential({ nowMs: Date.now() - 8 * dayMs }),
        'FMTP_SEAL_EXPIRED',
      ],
      [
        'under a credential that ended within the skew of clocks',
        () => underCredential({ nowMs: Date.now() - 7 * dayMs - 60_000, enrolledAtMs: 1000 }),
        'believed',
      ],
      [
        'from before its key was enrolled',
        () => underCredential({ enrolledAtMs: Date.now() + 400_000 }),
        'FMTP_SEAL_EXPIRED',
      ],
      [
        'enrolled within the skew of clocks',
        () => underCredential({ enrolledAtMs: Date.now() + 200_000 }),
        'believed',
      ],
    ]
  for (const [what, object, verdict] of cases) {
    it(`of a message ${what} is ${verdict}`, async () => {
      assert.equal(await verdictOf(object()), verdict)
    })
  }

  it('ends with its credential', async () => {
    assert.equal(await verdictOf(message, Date.now() + 6.9 * dayMs), 'believed')
    assert.equal(await verdictOf(message, Date.now() + 7.1 * dayMs), 'FMTP_SEAL_EXPIRED')
  })

  it('asks DNS again for a key that it does not know, and no more for one that it does', async () => {
    const keys = keysOf({ 'poe.net': [keyOfDomain(lenore)] }, known())
    assert.equal(await verdictOf(message, Date.now(), keys), 'believed')
    assert.deepEqual(keys.asked, ['poe.net', 'poe.net again'])
    const settled = keysOf(known())
    await verdictOf(message, Date.now(), settled)
    assert.deepEqual(settled.asked, ['poe.net'])
  })

  it('whose key cannot be fetched now throws what DNS did, and is not refused', async () => {
    await assertCode('FMTP_DNS_FAILED', () => verdictOf(message, Date.now(), keysOf({})))
  })

  it('is remembered with the domain key, and dies with it', async () => {
    const key = keyOfDomain(poe)
    assert.equal(await verdictOf(message, Date.now(), keysOf({ 'poe.net': [key] })), 'believed')
    assert.equal(key.credentials.size, 1)
    const rotated = keysOf({ 'poe.net': [domainKeyOf('next', lenore.pair.jwk)] })
    assert.equal(await verdictOf(message, Date.now(), rotated), 'FMTP_SEAL_CREDENTIAL')
  })

  it('is old when its credential has ended, and holds under the key that it names', async () => {
    const later = Date.now() + 8 * dayMs
    assert.equal(await verifyOldSeal(message, Date.now()), undefined)
    assert.equal((await verifyOldSeal(message, later))?.thumbprint, edgar.pair.thumbprint)
    const broken = [
      { ...message, body: 'Evermore' },
      { ...message, hash: handMessage(edgar, ['a@b.c']).hash },
      { ...message, encryptedKey: handUser(poe, 'edgar@poe.net').credential },
      { ...message, encryptedKey: 'a.b.c' },
      underCredential({ sub: 'annabel@poe.net' }),
      underCredential({ enrolledAtMs: Date.now() + 400_000 }),
    ]
    for (const object of broken) assert.equal(await verifyOldSeal(object, later), undefined)
  })

  it('leaves the digest as it is when it is made again with another key', () => {
    const { encryptedKey: _, hash, ...unsealed } = message
    const again = sealObject(unsealed, handUser(poe, 'edgar@poe.net'))
    assert.notEqual(again.object.hash, hash)
    assert.equal(again.digest, digestOf(message))
    assert.equal(digestOf(unsealed), digestOf(message))
  })

  it('keeps at rest the canonical text without the credential', async () => {
    const verdict = await verifySeal(message, keysOf(known()), Date.now())
    assert.ok(verdict.isBelieved)
    const { encryptedKey: _, ...atRest } = message
    assert.equal(verdict.verified.atRest, canonicalText(atRest))
    assert.equal(verdict.verified.thumbprint, edgar.pair.thumbprint)
  })

  it('gives an object that is sealed here the texts that any reader makes of it', async () => {
    const {
      encryptedKey: _,
      hash: __,
      ...unsealed
    } = handMessage(edgar, ['lost@lenore.org'], {
      body: '$& $1 "hash":"',
    })
    const sealed = sealObject<Message>({ zz: 1, ...unsealed, hush: 2 } as Unsealed<Message>, edgar)
    const { encryptedKey: ___, ...atRest } = sealed.object
    assert.equal(sealed.atRest, canonicalText(atRest))
    assert.equal(sealed.digest, digestOf(sealed.object))
    const verdict = await verifySeal(sealed.object, keysOf(known()), Date.now())
    assert.ok(verdict.isBelieved)
    assert.deepEqual(verdict.verified, sealed)
  })
})
