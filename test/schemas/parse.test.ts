import assert from 'node:assert/strict'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { findNumber, isCredentialPayload, parseDraft, parseFrame, parseObject } from '../../schemas/parse.ts'
import { handDomain, handMessage, handProfile, handUser } from '../support/hand.ts'

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
const message = handMessage(edgar, ['lost@lenore.org'])
const profile = handProfile(edgar)
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

describe('parseObject', () => {
  const objects: readonly (readonly [what: string, object: object, code: FailureCode | undefined])[] = [
    ['a message', message, undefined],
    ['a message with members of a later version', { ...message, mood: 'bleak' }, undefined],
    ['a message without a body', { ...message, body: undefined }, 'FMTP_BAD_OBJECT'],
    ['a message with a top and no parent', { ...message, top: message.id }, 'FMTP_BAD_OBJECT'],
    ['a message to nobody', { ...message, to: [] }, 'FMTP_BAD_OBJECT'],
    ['a message to somebody twice', { ...message, to: ['a@b.c', 'a@b.c'] }, 'FMTP_BAD_OBJECT'],
    ['an id of somebody else', { ...message, id: '1.lost@lenore.org' }, 'FMTP_BAD_OBJECT'],
    ['a message with the id of a user', { ...message, id: 'user.edgar@poe.net' }, 'FMTP_BAD_OBJECT'],
    ['a message with the id of a group', { ...message, id: 'group.edgar@poe.net' }, 'FMTP_BAD_OBJECT'],
    ['a message of a domain', { ...message, id: '1.poe.net', owner: 'poe.net' }, 'FMTP_BAD_OBJECT'],
    ['an answer without the digest of its parent', { ...message, parent: message.id }, 'FMTP_BAD_OBJECT'],
    ['a day that does not exist', { ...message, createdAt: '2026-02-31T00:00:00.000Z' }, 'FMTP_BAD_OBJECT'],
    ['half a seal', { ...message, hash: undefined }, 'FMTP_BAD_OBJECT'],
    ['no seal', { ...message, hash: undefined, encryptedKey: undefined }, 'FMTP_NOT_SEALED'],
    ['an unknown kind', { ...message, kind: 'riddle' }, 'FMTP_UNKNOWN_KIND'],
    ['no kind', { ...message, kind: undefined }, 'FMTP_BAD_OBJECT'],
    ['a kind that every object has', { ...message, kind: 'toString' }, 'FMTP_UNKNOWN_KIND'],
    ['a tombstone that keeps its body', { ...message, deleted: true }, 'FMTP_BAD_OBJECT'],
    ['a user', profile, undefined],
    ['a user with the id of a message', { ...profile, id: '1.edgar@poe.net' }, 'FMTP_BAD_OBJECT'],
    ['a user with nine contacts', { ...profile, contacts: Array(9).fill({}) }, 'FMTP_BAD_OBJECT'],
    [
      'a server that speaks of another domain',
      { ...profile, id: 'server.poe.net', owner: 'poe.net', kind: 'server', domain: 'lenore.org' },
      'FMTP_BAD_OBJECT',
    ],
  ]
  for (const [what, object, code] of objects) {
    it(`of ${what} is ${code ?? 'well'}`, () => {
      // What is undefined would not have arrived.
      const arrived = JSON.parse(JSON.stringify(object)) as object
      assert.equal(
        codeOf(() => parseObject(arrived)),
        code,
      )
    })
  }

  it('of a tombstone keeps the common members alone', () => {
    const { body: _, to: __, format: ___, ...rest } = message
    assert.equal(
      codeOf(() => parseObject({ ...rest, deleted: true })),
      undefined,
    )
  })
})

describe('parseDraft', () => {
  const draft = {
    id: message.id,
    kind: 'message',
    to: ['lost@lenore.org'],
    format: 'text/plain',
    body: 'Nevermore',
  }
  const drafts: readonly (readonly [what: string, draft: object, code: FailureCode | undefined])[] = [
    ['what a client must say', draft, undefined],
    ['an owner that the id does not name', { ...draft, owner: 'lost@lenore.org' }, 'FMTP_BAD_OBJECT'],
    ['a message without format', { ...draft, format: undefined }, 'FMTP_BAD_OBJECT'],
    ['a tombstone', { id: draft.id, kind: 'message', deleted: true }, undefined],
    ['a tombstone with a body', { ...draft, deleted: true }, 'FMTP_BAD_OBJECT'],
  ]
  for (const [what, value, code] of drafts) {
    it(`of ${what} is ${code ?? 'well'}`, () => {
      assert.equal(
        codeOf(() => parseDraft(JSON.parse(JSON.stringify(value)))),
        code,
      )
    })
  }
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
