/** Objects of every kind (protocol §6): what parsing never changes, and who knows which kinds. The vectors have the rest. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import Type from 'typebox'
import { digestOf, sealObject } from '../../objects/seals/seal.ts'
import { canonicalText, parseJson } from '../../schemas/canonical.ts'
import { coreMembers } from '../../schemas/kinds/kinds.ts'
import { recipientsIn } from '../../schemas/kinds/recipients.ts'
import { limits } from '../../schemas/limits.ts'
import { coreKinds, createKinds, parseAnyObject } from '../../schemas/parse-object.ts'
import { anyObjects } from '../support/any-object.ts'
import { assertCode } from '../support/conditions.ts'
import { handDomain, handMessage, handUser } from '../support/hand.ts'

const poe = handDomain('poe.net')
const edgar = handUser(poe, 'edgar@poe.net')
const server = handUser(poe, 'poe.net')

for (const kind of Object.keys(coreMembers)) {
  const sealer = kind === 'server' ? server : edgar
  describe(`any ${kind}`, () => {
    it('is parsed unchanged, and keeps its canonical form and digest on the way', () => {
      fc.assert(
        fc.property(anyObjects(kind), unsealed => {
          const { object, digest, atRest } = sealObject(unsealed, sealer)
          const arrived = coreKinds.parseObject(parseJson(JSON.stringify(object), limits.objectDepth))
          assert.deepEqual(arrived, object)
          const text = canonicalText(arrived)
          assert.equal(canonicalText(coreKinds.parseObject(parseJson(text, limits.objectDepth))), text)
          assert.equal(digestOf(arrived), digest)
          const { encryptedKey: _, ...kept } = arrived
          assert.equal(canonicalText(kept), atRest)
        }),
      )
    })

    it('keeps unknown members, and has them under its digest', () => {
      fc.assert(
        fc.property(anyObjects(kind), unsealed => {
          const { object, digest } = sealObject(unsealed, sealer)
          const names = Object.keys(unsealed)
          assert.deepEqual(Object.keys(object).sort(), [...names, 'encryptedKey', 'hash'].sort())
          for (const name of names) {
            const { [name]: _, ...others } = object as unknown as Record<string, unknown>
            assert.notEqual(digestOf(others as never), digest, name)
          }
        }),
        { numRuns: 30 },
      )
    })

    it('is a draft without its seal', () => {
      fc.assert(
        fc.property(anyObjects(kind), unsealed => {
          assert.equal(coreKinds.parseDraft(unsealed), unsealed)
        }),
        { numRuns: 30 },
      )
    })
  })
}

describe('kinds', () => {
  const riddle = { ...handMessage(edgar, ['lost@lenore.org']), kind: 'riddle' }
  const added = createKinds([{ kind: 'riddle', members: { body: Type.String({ maxLength: 9 }) } }])

  it('that one knows another need not', async () => {
    const { to: _, ...unaddressed } = riddle
    assert.equal(added.has('riddle'), true)
    assert.equal(coreKinds.has('riddle'), false)
    assert.equal(added.parseObject(unaddressed), unaddressed)
    await assertCode('FMTP_UNKNOWN_KIND', () => coreKinds.parseObject(unaddressed))
    await assertCode('FMTP_BAD_OBJECT', () =>
      added.parseObject({ ...unaddressed, body: 'Evermore than nine' }),
    )
    await assertCode('FMTP_BAD_OBJECT', () => added.parseObject(riddle))
  })

  it('that an operator adds obey the rules of all objects', async () => {
    const { to: _, ...unaddressed } = riddle
    const bad: readonly object[] = [
      { ...unaddressed, id: '1.lost@lenore.org' },
      { ...unaddressed, id: 'user.edgar@poe.net' },
      { ...unaddressed, id: '1.poe.net', owner: 'poe.net' },
      { ...unaddressed, expiresAt: '2001-01-01T00:00:00.000Z' },
      { ...unaddressed, top: unaddressed.id },
      { ...unaddressed, version: 0 },
      { ...unaddressed, deleted: true },
    ]
    for (const object of bad) await assertCode('FMTP_BAD_OBJECT', () => added.parseObject(object))
    const { body: __, format: ___, ...tombstone } = { ...unaddressed, deleted: true }
    assert.equal(added.parseObject(tombstone), tombstone)
  })

  it('that a reader does not know it takes by what all objects share', async () => {
    assert.equal(parseAnyObject(riddle), riddle)
    assert.deepEqual(recipientsIn(riddle), ['lost@lenore.org'])
    await assertCode('FMTP_BAD_OBJECT', () => parseAnyObject({ ...riddle, to: 'lost@lenore.org' }))
    await assertCode('FMTP_BAD_OBJECT', () => parseAnyObject({ ...riddle, kind: 'No kind' }))
    await assertCode('FMTP_BAD_OBJECT', () => parseAnyObject({ ...riddle, kind: 'message', body: 1 }))
    await assertCode('FMTP_BAD_OBJECT', () => parseAnyObject({ ...riddle, parent: riddle.id }))
    await assertCode('FMTP_NOT_SEALED', () =>
      parseAnyObject({ ...riddle, hash: undefined, encryptedKey: undefined }),
    )
  })

  it('are no names that every object of JavaScript has', async () => {
    for (const kind of ['toString', '__proto__', 'constructor'])
      await assertCode('FMTP_UNKNOWN_KIND', () => added.parseObject({ ...riddle, kind }))
    for (const value of [null, undefined, 'message', [], { kind: 1 }])
      await assertCode('FMTP_BAD_OBJECT', () => added.parseObject(value))
  })
})
