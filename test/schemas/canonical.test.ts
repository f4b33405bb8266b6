import assert from 'node:assert/strict'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { canonicalText, checkValue, parseJson } from '../../schemas/canonical.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'

const depth = 32

function codeOf(work: () => unknown): FailureCode | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof FmtpError) return error.code
    throw error
  }
}

/** Any name but the one that is never allowed, which fast-check likes to try. */
const anyName = fc.string({ unit: 'grapheme' }).filter(name => name !== '__proto__')

/** JSON values that I-JSON allows, with names that sort in surprising ways. */
const { value: ijson } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.oneof(anyName, fc.nat().map(String), fc.constantFrom('é', '\ufb33', '😀', 'constructor')),
      tie('value'),
      { maxKeys: 6, noNullPrototype: true },
    ),
  ),
}))
const ijsonObject = fc
  .dictionary(anyName, ijson, { noNullPrototype: true })
  .filter(object => codeOf(() => checkValue(object, depth)) === undefined)

describe('canonical', () => {
  const texts: readonly (readonly [text: string, canonical: string])[] = [
    ['{}', '{}'],
    ['{"b":1,"a":2}', '{"a":2,"b":1}'],
    ['{ "a" : [ 1 , 2 ] }', '{"a":[1,2]}'],
    ['{"10":1,"9":2}', '{"10":1,"9":2}'],
    ['{"b":{"d":1,"c":2},"a":[{"f":1,"e":2}]}', '{"a":[{"e":2,"f":1}],"b":{"c":2,"d":1}}'],
    ['{"a":"\\u0041\\/\\u000a\\u2028"}', '{"a":"A/\\n\u2028"}'],
    ['{"a":1.0,"b":1e3}', '{"a":1,"b":1000}'],
    // UTF-16 units, not code points: the surrogates of an emoji come before U+FB33 (RFC 8785 §3.2.3).
    ['{"\ufb33":1,"😀":2,"ö":3}', '{"ö":3,"😀":2,"\ufb33":1}'],
  ]
  for (const [text, canonical] of texts) {
    it(`of ${text} is ${canonical}`, () => {
      assert.equal(canonicalText(parseJson(text, depth) as object), canonical)
    })
  }

  it('is stable: what is parsed from it has it again', () => {
    fc.assert(
      fc.property(ijsonObject, object => {
        const text = canonicalText(object)
        assert.equal(canonicalText(parseJson(text, depth) as object), text)
      }),
    )
  })

  it('agrees with the canonicalize package, whatever the order of names', () => {
    fc.assert(
      fc.property(ijsonObject, fc.boolean(), (object, isSorted) => {
        const entries = Object.entries(object)
        const given = isSorted ? Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))) : object
        assert.equal(canonicalText(given), canonicalize(given))
      }),
    )
  })
})

describe('parseJson', () => {
  const bad: readonly (readonly [text: string, code: FailureCode])[] = [
    ['', 'FMTP_NOT_JSON'],
    ['{', 'FMTP_NOT_JSON'],
    ['{"a":1}{', 'FMTP_NOT_JSON'],
    ["{'a':1}", 'FMTP_NOT_JSON'],
    ['NaN', 'FMTP_NOT_JSON'],
    ['1.5', 'FMTP_UNSAFE_VALUE'],
    ['-0', 'FMTP_UNSAFE_VALUE'],
    ['1e400', 'FMTP_UNSAFE_VALUE'],
    ['9007199254740992', 'FMTP_UNSAFE_VALUE'],
    ['[{"a":[-9007199254740992]}]', 'FMTP_UNSAFE_VALUE'],
    ['"\\ud800"', 'FMTP_UNSAFE_VALUE'],
    ['{"\\udc00":1}', 'FMTP_UNSAFE_VALUE'],
    ['{"__proto__":1}', 'FMTP_UNSAFE_NAME'],
    ['[{"a":{"__proto__":{}}}]', 'FMTP_UNSAFE_NAME'],
    ['{"\\u005f_proto__":1}', 'FMTP_UNSAFE_NAME'],
    ['{"a":1,"a":1}', 'FMTP_DUPLICATE_NAME'],
    ['{"a":1,"\\u0061":1}', 'FMTP_DUPLICATE_NAME'],
    ['{"a":{"b":1},"c":[{"d":1,"e":{},"d":2}]}', 'FMTP_DUPLICATE_NAME'],
    ['{"":1,"":2}', 'FMTP_DUPLICATE_NAME'],
    ['{"a\\"":1,"a\\"" :2}', 'FMTP_DUPLICATE_NAME'],
    [`${'['.repeat(33)}${']'.repeat(33)}`, 'FMTP_TOO_DEEP'],
  ]
  for (const [text, code] of bad) {
    it(`of ${text.slice(0, 40)} is ${code}`, () => {
      assert.equal(
        codeOf(() => parseJson(text, depth)),
        code,
      )
    })
  }

  const good = [
    `${'['.repeat(32)}${']'.repeat(32)}`,
    '{"a":"a","b":"a"}',
    '{"a":{"a":{"a":1}},"b":["a","a"]}',
    '{"a":":","b":"\\":{"}',
    '{"a": "}{\\\\", "b": "a"}',
    '9007199254740991',
    '"\\ud83d\\ude00"',
    '{"constructor":1,"toString":2,"proto":3}',
  ]
  for (const text of good) {
    it(`takes ${text.slice(0, 40)}`, () => {
      assert.deepEqual(parseJson(text, depth), JSON.parse(text))
    })
  }

  it('finds every duplicate, wherever it stands and however it is written', () => {
    const escaped = (name: string): string =>
      `"${[...name].map(char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
    const name = fc.stringMatching(/^[a-z":{}[\],\\ ]{0,6}$/)
    const place = fc.record({
      name,
      before: fc.nat(3),
      after: fc.nat(3),
      depth: fc.nat(8),
      isEscaped: fc.boolean(),
    })
    fc.assert(
      fc.property(place, fc.array(ijson, { minLength: 8, maxLength: 8 }), (where, values) => {
        const filler = (count: number, mark: string): string[] =>
          values.slice(0, count).map((value, at) => `"${mark}${at}-": ${JSON.stringify(value) ?? 'null'}`)
        const twice = [
          JSON.stringify(where.name),
          where.isEscaped ? escaped(where.name) : JSON.stringify(where.name),
        ]
        const members = [
          `${twice[0]}:1`,
          ...filler(where.before, 'b'),
          `${twice[1]} :2`,
          ...filler(where.after, 'a'),
        ]
        const open = '{"x":['.repeat(where.depth)
        const text = `${open}{${members.join(' , ')}}${']}'.repeat(where.depth)}`
        assert.equal(
          codeOf(() => parseJson(text, 64)),
          'FMTP_DUPLICATE_NAME',
          text,
        )
      }),
    )
  })

  it('sees no duplicate where there is none', () => {
    fc.assert(
      fc.property(ijsonObject, fc.nat(2), (object, spaces) => {
        assert.deepEqual(parseJson(JSON.stringify(object, undefined, spaces), depth), object)
      }),
    )
  })
})
