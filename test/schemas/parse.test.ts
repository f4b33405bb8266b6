import assert from 'node:assert/strict'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { findNumber, isCredentialPayload, parseFrame } from '../../schemas/parse.ts'
import { handDomain, handUser } from '../support/hand.ts'

function codeOf(work: () => unknown): FailureCode | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof FmtpError) return error.code
    throw error
  }
}

const edgar = handUser(handDomain('poe.net'), 'edgar@poe.net')
const nonce = 'A'.repeat(22)

describe('parseFrame', () => {
  const frames: readonly (readonly [frame: object, code: FailureCode | undefined])[] = [
    [{ verb: 'hello', version: 1, role: 'opens', nonce }, undefined],
    [{ verb: 'hello', version: 1, role: 'opens', nonce, more: 'of a later version' }, undefined],
    [{ verb: 'hello', version: 1, role: 'listens', nonce }, 'FMTP_BAD_FRAME'],
    [{ verb: 'hello', version: 1, role: 'opens', nonce: 'short' }, 'FMTP_BAD_FRAME'],
    [{ verb: 'hello', version: 1, role: 'opens', nonce, as: 'Edgar@poe.net' }, 'FMTP_BAD_FRAME'],
    [{ verb: 'hello', version: 1, role: 'opens', nonce, proof: 'a.b.c' }, 'FMTP_BAD_FRAME'],
    [{ verb: 'hello', version: 1, role: 'opens', nonce, proof: 'a..c' }, undefined],
    [{ verb: 'describe', n: 1, object: {} }, undefined],
    [{ verb: 'describe', n: 0, object: {} }, 'FMTP_BAD_FRAME'],
    [{ verb: 'describe', n: '1', object: {} }, 'FMTP_BAD_FRAME'],
    [{ verb: 'describe', n: 1, object: [] }, 'FMTP_BAD_FRAME'],
    [{ verb: 'describe', n: 1, object: {}, for: [] }, 'FMTP_BAD_FRAME'],
    [{ verb: 'describe', n: 1, object: {}, for: ['lost'] }, undefined],
    [{ verb: 'describe', n: 1, object: {}, for: ['lost@'] }, 'FMTP_BAD_FRAME'],
    [{ verb: 'request', n: 1, list: { of: 'box' } }, undefined],
    [{ verb: 'request', n: 1, list: { of: 'box', more: 1 } }, 'FMTP_BAD_FRAME'],
    [{ verb: 'request', n: 1, list: { of: 'box', limit: 501 } }, 'FMTP_BAD_FRAME'],
    [{ verb: 'request', n: 1, list: { of: 'box', after: '1' } }, 'FMTP_BAD_FRAME'],
    [{ verb: 'request', address: 'lost@lenore.org' }, 'FMTP_BAD_FRAME'],
    [{ verb: 'answer', re: 1, outcome: 'stored' }, undefined],
    [{ verb: 'answer', re: 1, outcome: 'later', code: 'FMTP_OF_A_LATER_VERSION' }, undefined],
    [{ verb: 'answer', outcome: 'stored' }, 'FMTP_BAD_FRAME'],
    [{ verb: 'goodbye' }, undefined],
    [{ verb: 'goodbye', code: 'tired' }, 'FMTP_BAD_FRAME'],
    [{}, 'FMTP_UNKNOWN_VERB'],
    [{ verb: 1 }, 'FMTP_UNKNOWN_VERB'],
    [{ verb: 'hasOwnProperty' }, 'FMTP_UNKNOWN_VERB'],
  ]
  for (const [frame, code] of frames) {
    it(`of ${JSON.stringify(frame).slice(0, 90)} is ${code ?? 'well'}`, () => {
      assert.equal(
        codeOf(() => parseFrame(frame)),
        code,
      )
    })
  }

  it('finds the number that an answer can name, and no other', () => {
    assert.deepEqual([{ n: 7 }, { n: 0 }, { n: 1.5 }, { n: '7' }, {}, null].map(findNumber), [
      7,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })
})

describe('isCredentialPayload', () => {
  const payload = { sub: 'edgar@poe.net', cnf: { jwk: edgar.pair.jwk }, nbf: 1, exp: 2 }
  const payloads: readonly (readonly [value: unknown, isPayload: boolean])[] = [
    [payload, true],
    [{ ...payload, exp: '2' }, false],
    [{ ...payload, sub: 'Edgar' }, false],
    [{ ...payload, cnf: { jwk: { ...edgar.pair.jwk, crv: 'P-256' } } }, false],
    [{ ...payload, cnf: { jwk: { ...edgar.pair.jwk, d: 'private' } } }, false],
    [null, false],
  ]
  for (const [value, isPayload] of payloads) {
    it(`of ${JSON.stringify(value).slice(0, 60)}… is ${isPayload}`, () => {
      assert.equal(isCredentialPayload(value), isPayload)
    })
  }
})
