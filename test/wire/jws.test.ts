import assert from 'node:assert/strict'
import fc from 'fast-check'
import { generateKeyPair, signerOf, verifierOf } from '../../objects/seals/keys.ts'
import { fromBase64url, toBase64url } from '../../wire/base64url.ts'
import { encodeHeader, readJws, signDetached, signJws } from '../../wire/jws.ts'

const pair = generateKeyPair()
const signer = signerOf(pair)
const verifier = verifierOf(pair.jwk)
const payload = new TextEncoder().encode('Nevermore')
const text = signJws('fmtp-hash', payload, signer)

const header = (value: string): string => toBase64url(new TextEncoder().encode(value))
const withHeader = (value: string): string => [header(value), ...text.split('.').slice(1)].join('.')

describe('a compact JWS', () => {
  it('says its key and payload, and verifies', async () => {
    const jws = readJws(text, 'fmtp-hash')
    assert.ok(jws)
    assert.equal(jws.kid, pair.thumbprint)
    assert.deepEqual(Buffer.from(jws.payload).toString(), 'Nevermore')
    assert.equal(await verifier.verify(jws.input, jws.signature), true)
    assert.equal(await verifierOf(generateKeyPair().jwk).verify(jws.input, jws.signature), false)
  })

  it('with its payload left out verifies beside it, and beside no other', async () => {
    const detached = signDetached('fmtp-hello', payload, signer)
    assert.match(detached, /^[\w-]+\.\.[\w-]+$/)
    for (const [given, isValid] of [
      [payload, true],
      [new TextEncoder().encode('Evermore'), false],
    ] as const) {
      const jws = readJws(detached, 'fmtp-hello', given)
      assert.ok(jws)
      assert.equal(await verifier.verify(jws.input, jws.signature), isValid)
    }
  })

  const kid = pair.thumbprint
  const refused: readonly (readonly [what: string, text: string])[] = [
    ['of another type', signJws('fmtp-key', payload, signer)],
    ['with its payload left out, where it is needed', signDetached('fmtp-hash', payload, signer)],
    ['in two parts', text.split('.').slice(1).join('.')],
    ['in four parts', `${text}.x`],
    ['without a signature', text.slice(0, text.lastIndexOf('.') + 1)],
    ['with a short signature', text.slice(0, -4)],
    ['with a signature in another spelling', text.slice(0, -1) + nextInAlphabet(text.at(-1) ?? '')],
    ['of no algorithm', withHeader(`{"alg":"none","kid":"${kid}","typ":"fmtp-hash"}`)],
    ['of an algorithm with a shared secret', withHeader(`{"alg":"HS256","kid":"${kid}","typ":"fmtp-hash"}`)],
    ['of EdDSA, the older name', withHeader(`{"alg":"EdDSA","kid":"${kid}","typ":"fmtp-hash"}`)],
    ['with spaces in its header', withHeader(`{"alg":"Ed25519", "kid":"${kid}","typ":"fmtp-hash"}`)],
    ['with its header in another order', withHeader(`{"kid":"${kid}","alg":"Ed25519","typ":"fmtp-hash"}`)],
    [
      'with a critical member',
      withHeader(`{"alg":"Ed25519","crit":["b64"],"kid":"${kid}","typ":"fmtp-hash"}`),
    ],
    ['with a jwk of its own', withHeader(`{"alg":"Ed25519","jwk":{},"kid":"${kid}","typ":"fmtp-hash"}`)],
    [
      'with a header that is no text',
      `${toBase64url(Uint8Array.of(255, 254))}${text.slice(text.indexOf('.'))}`,
    ],
  ]
  for (const [what, value] of refused) {
    it(`${what} is none`, () => {
      assert.notEqual(value, text)
      assert.equal(readJws(value, 'fmtp-hash'), undefined)
    })
  }

  it('has one header for a type and a key', () => {
    assert.equal(
      Buffer.from(encodeHeader('fmtp-key', 'k1'), 'base64url').toString(),
      '{"alg":"Ed25519","kid":"k1","typ":"fmtp-key"}',
    )
  })

  it('of any text is one or none, and never throws', () => {
    const parts = fc.array(fc.oneof(fc.base64String(), fc.string(), fc.constantFrom(...text.split('.'))), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(parts, pieces => {
        const read = readJws(pieces.join('.'), 'fmtp-hash')
        assert.ok(read === undefined || read.signature.length === 64)
      }),
    )
  })
})

describe('base64url', () => {
  it('gives bytes back, without padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
        const encoded = toBase64url(bytes)
        assert.match(encoded, /^[A-Za-z0-9_-]*$/)
        assert.deepEqual([...fromBase64url(encoded)], [...bytes])
      }),
    )
  })

  it('encodes a part of a buffer as that part', () => {
    assert.equal(
      toBase64url(Uint8Array.of(1, 2, 3, 4, 5).subarray(1, 4)),
      toBase64url(Uint8Array.of(2, 3, 4)),
    )
  })
})

/** The character whose bits beyond the last byte differ: it reads as the same bytes. */
function nextInAlphabet(char: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(char) + 1] ?? ''
}
