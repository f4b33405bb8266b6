import assert from 'node:assert/strict'
import { isHarmless } from '../../../routing/dns/message.ts'
import { record, reply, text, wireName } from '../../support/name-server.ts'

const query = Buffer.concat([
  Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
  wireName('poe.net'),
  Buffer.from([0, 15, 0, 1]),
])
const pointer = (at: number): Buffer => Buffer.from([0xc0 | (at >> 8), at & 0xff])
/** Where the first answer begins. */
const answerAt = query.length

describe('isHarmless', () => {
  const preference = Buffer.from([0, 10])
  const mx = (name: Buffer): Buffer => record(15, Buffer.concat([preference, name]))
  const table: readonly (readonly [what: string, message: Buffer, expected: boolean])[] = [
    ['a query', query, true],
    ['an answer', reply(query, { answers: [mx(wireName('mx.poe.net'))] }), true],
    [
      'a name that ends in a pointer',
      reply(query, { answers: [mx(Buffer.concat([text('mx'), pointer(12)]))] }),
      true,
    ],
    [
      'a pointer forwards',
      reply(query, { answers: [record(1, Buffer.alloc(4), 1, pointer(answerAt + 4))] }),
      false,
    ],
    [
      'a pointer to itself',
      reply(query, { answers: [record(1, Buffer.alloc(4), 1, pointer(answerAt))] }),
      false,
    ],
    ['a pointer into the header', reply(query, { answers: [mx(pointer(4))] }), false],
    ['a name in rdata that points forwards', reply(query, { answers: [mx(pointer(0x3000))] }), false],
    ['a name in rdata that ends behind it', reply(query, { answers: [mx(Buffer.from([9, 0x61]))] }), false],
    ['a reserved kind of label', reply(query, { answers: [mx(Buffer.from([0x80, 0]))] }), false],
    [
      'a name of 256 octets',
      reply(query, { answers: [mx(wireName(Array(5).fill('a'.repeat(50)).join('.')))] }),
      false,
    ],
    ['a record that is cut', reply(query, { answers: [mx(wireName('mx.poe.net'))] }).subarray(0, -1), false],
    ['more records than anybody has', reply(query, { answers: Array(201).fill(mx(pointer(12))) }), false],
    ['eleven octets', query.subarray(0, 11), false],
  ]
  for (const [what, message, expected] of table) {
    it(`says ${expected} of ${what}`, () => assert.equal(isHarmless(message), expected))
  }

  it('says false of a long chain of pointers, at once', () => {
    // Unknown rdata full of pointers, each to the one before it; then names that begin at its end.
    const start = answerAt + 12
    const links = Array.from({ length: 6000 }, (_, index) =>
      pointer(index === 0 ? 12 : start + 2 * index - 2),
    )
    const chain = record(10, Buffer.concat(links))
    const entry = pointer(start + 2 * (links.length - 1))
    const message = reply(query, {
      answers: [chain, ...Array(190).fill(record(1, Buffer.alloc(4), 1, entry))],
    })
    const startedAt = performance.now()
    assert.equal(isHarmless(message), false)
    assert.ok(performance.now() - startedAt < 20)
  })
})
