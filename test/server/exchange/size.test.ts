/** The size of an object (protocol §8): its bytes as it is written, whatever text it was read from. */
import assert from 'node:assert/strict'
import { FmtpError } from '../../../schemas/failures.ts'
import { checkSize } from '../../../server/exchange/admit.ts'

describe('the size of an object', () => {
  const cases: readonly (readonly [what: string, text: string, most: number, isTaken: boolean])[] = [
    ['as it was written', '{"a":"bc"}', 10, true],
    ['one byte too many', '{"a":"bcd"}', 10, false],
    ['written with spaces', '{ "a" :                                     "bc" }', 10, true],
    ['written with escapes', '{"a":"\\u0062\\u0063"}', 10, true],
    ['of characters of three bytes', `{"a":"${'€'.repeat(100)}"}`, 307, false],
    ['of characters of three bytes that fit', `{"a":"${'€'.repeat(100)}"}`, 308, true],
    ['of numbers that grow', `[${'9e15,'.repeat(99)}9e15]`, 1700, false],
    ['of numbers that grow and fit', `[${'9e15,'.repeat(99)}9e15]`, 1701, true],
    ['of which the text tells enough', `{"a":"${'b'.repeat(100)}"}`, 1000, true],
  ]
  for (const [what, text, most, isTaken] of cases) {
    it(`${what}: ${isTaken ? 'taken' : 'refused'}`, () => {
      const object = JSON.parse(text) as object
      for (const chars of [text.length, undefined]) {
        const check = (): void => checkSize(object, most, chars)
        const isTooLarge = (thrown: unknown): boolean =>
          thrown instanceof FmtpError && thrown.code === 'FMTP_OBJECT_TOO_LARGE'
        if (isTaken) check()
        else assert.throws(check, isTooLarge)
      }
    })
  }
})
