/** Schemas of an operator (protocol §6.13): what is taken, what is told of the rest, and what a value can cost at worst. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { checkOperatorKind } from '../../schemas/operator-kind.ts'
import { createKinds, type Kinds } from '../../schemas/parse-object.ts'
import { findCostly } from '../../schemas/text/linear-pattern.ts'
import { anyObjects } from '../support/any-object.ts'
import { assertCode } from '../support/conditions.ts'

const recipe = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'A recipe',
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 200, description: 'What it is called' },
    serves: { type: 'integer', minimum: 1, maximum: 1000 },
    course: { enum: ['starter', 'main', 'dessert'] },
    vegan: { type: 'boolean' },
    code: { type: 'string', maxLength: 20, pattern: '^[A-Z]{1,3}-[0-9]+$' },
    by: { type: 'string', format: 'address' },
    needs: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        properties: {
          what: { type: 'string', maxLength: 100 },
          amount: { anyOf: [{ type: 'integer', minimum: 0 }, { const: 'some' }] },
        },
        required: ['what'],
      },
    },
    labels: { type: 'array', maxItems: 10, uniqueItems: true, items: { type: 'string', maxLength: 20 } },
    to: true,
  },
  required: ['name'],
}

function kindsOf(schema: unknown, kind = 'recipe'): Kinds {
  const checked = checkOperatorKind(kind, schema)
  assert.deepEqual(checked.problems, [])
  return createKinds(checked.kind === undefined ? [] : [checked.kind])
}

const draft = { id: '1.edgar@poe.net', kind: 'recipe', name: 'Soup' }

describe('operator kind', () => {
  it('takes values of its schema, and no others', async () => {
    const { parseDraft } = kindsOf(recipe)
    const good: readonly object[] = [
      {},
      { serves: 4, course: 'main', vegan: true, code: 'AB-12', by: 'edgar@poe.net', labels: ['a', 'b'] },
      {
        needs: [
          { what: 'salt', amount: 'some' },
          { what: 'water', amount: 2, more: [1] },
        ],
      },
      { to: ['lost@lenore.org'], mood: 'bleak' },
    ]
    for (const members of good) assert.ok(parseDraft({ ...draft, ...members }))
    const bad: readonly object[] = [
      { name: '' },
      { name: 'x'.repeat(201) },
      { serves: 0 },
      { course: 'side' },
      { vegan: 'yes' },
      { code: 'ABCD-1' },
      { by: 'edgar' },
      { needs: [{ amount: 1 }] },
      { needs: [{ what: 'salt', amount: 'much' }] },
      { needs: Array(101).fill({ what: 'salt' }) },
      { labels: ['a', 'a'] },
      { to: [] },
      { to: ['lenore.org'] },
    ]
    for (const members of bad) await assertCode('FMTP_BAD_OBJECT', () => parseDraft({ ...draft, ...members }))
    await assertCode('FMTP_BAD_OBJECT', () => parseDraft({ id: draft.id, kind: 'recipe' }))
  })

  it('has any value that its schema allows', () => {
    const { kind } = checkOperatorKind('recipe', recipe)
    assert.ok(kind)
    const { parseDraft } = createKinds([kind])
    fc.assert(
      fc.property(anyObjects('recipe', kind.members), object => {
        assert.equal(parseDraft(object), object)
      }),
    )
  })

  const text = { type: 'string', maxLength: 9 }
  const having = (member: unknown) => ({ type: 'object', properties: { a: member } })
  const deep = (levels: number): object =>
    levels === 1 ? text : { type: 'object', properties: { a: deep(levels - 1) } }
  const many = (count: number) => ({
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: count }, (_, at) => [`m${at}`, text])),
  })

  const refused: readonly (readonly [what: string, schema: unknown, problem: RegExp])[] = [
    ['no object', [], /^expected an object with type "object" and properties$/],
    ['true', true, /^expected an object/],
    ['another type at the top', { type: 'array', items: text, maxItems: 1 }, /^expected an object/],
    ['no properties', { type: 'object' }, /^expected an object/],
    [
      'another dialect',
      { $schema: 'http://json-schema.org/draft-07/schema#', ...many(1) },
      /^"\$schema": exp/,
    ],
    ['a keyword at the top', { ...many(1), additionalProperties: false }, /^additionalProperties: not taken/],
    [
      'a member of every object',
      { type: 'object', properties: { version: text } },
      /^properties.version: is a/,
    ],
    ['a member of users', { type: 'object', properties: { view: text } }, /^properties.view: is a member/],
    ['recipients of its own', { type: 'object', properties: { to: text } }, /^properties.to: expected true/],
    [
      'a name of JavaScript',
      having({ type: 'object', properties: { constructor: text } }),
      /constructor: exp/,
    ],
    [
      'a name with a blank',
      { type: 'object', properties: { 'a b': text } },
      /^properties."a b": expected a name/,
    ],
    ['an unknown required', { ...many(1), required: ['b'] }, /^required: expected a list of names/],
    ['a required twice', { ...many(1), required: ['m0', 'm0'] }, /^required: expected/],
    ['required that is no list', { ...many(1), required: true }, /^required: expected/],
    ['a schema that is true', having(true), /^properties.a: expected a schema/],
    ['a schema that is a list', having([text]), /^properties.a: expected a schema/],
    ['no type', having({ maxLength: 9 }), /^properties.a.type: expected one of object, array/],
    ['several types', having({ type: ['string', 'null'], maxLength: 9 }), /^properties.a.type: expected one/],
    ['a type of JavaScript', having({ type: 'toString' }), /^properties.a.type: expected one/],
    ['a text without maxLength', having({ type: 'string' }), /^properties.a: expected maxLength$/],
    [
      'a pattern without maxLength',
      having({ type: 'string', pattern: '^a$' }),
      /^properties.a: expected maxL/,
    ],
    [
      'an array without maxItems',
      having({ type: 'array', items: text }),
      /^properties.a: expected maxItems$/,
    ],
    [
      'an array without items',
      having({ type: 'array', maxItems: 1 }),
      /^properties.a.items: expected a schema/,
    ],
    ['a format of others', having({ type: 'string', format: 'email' }), /^properties.a.format: expected one/],
    ['a format of the config', having({ type: 'string', format: 'network' }), /^properties.a.format: exp/],
    ['a keyword of another type', having({ ...text, maximum: 9 }), /^properties.a.maximum: not taken here/],
    ['a reference', having({ $ref: '#' }), /^properties.a.type: expected/],
    ['a reference beside a type', having({ ...text, $ref: '#' }), /^properties.a."\$ref": not taken here/],
    [
      'a remote reference',
      having({ ...text, $dynamicRef: 'https://x.example' }),
      /"\$dynamicRef": not taken/,
    ],
    [
      'patternProperties',
      having({ type: 'object', patternProperties: {} }),
      /a.patternProperties: not taken/,
    ],
    [
      'unevaluated',
      having({ type: 'object', unevaluatedProperties: false }),
      /unevaluatedProp\w+: not taken/,
    ],
    ['allOf', having({ allOf: [text] }), /^properties.a.type: expected/],
    ['anyOf beside a type', having({ ...text, anyOf: [text] }), /^properties.a.type: not taken here/],
    ['anyOf of none', having({ anyOf: [] }), /^properties.a.anyOf: expected a list of 1 to 8/],
    [
      'anyOf of nine',
      having({ anyOf: Array(9).fill(text) }),
      /^properties.a.anyOf: expected a list of 1 to 8/,
    ],
    [
      'a bad branch',
      having({ anyOf: [text, { type: 'string' }] }),
      /^properties.a.anyOf\[1\]: expected maxL/,
    ],
    ['anyOf in anyOf', having({ anyOf: [{ anyOf: [text] }] }), /^properties.a.anyOf\[0\]: anyOf inside/],
    ['enum of none', having({ enum: [] }), /^properties.a.enum: expected a list of 1 to 200/],
    ['enum of objects', having({ enum: [{}] }), /^properties.a: expected texts, numbers/],
    ['const of a list', having({ const: [1] }), /^properties.a: expected texts, numbers/],
    ['enum of another type', having({ type: 'string', enum: [1] }), /^properties.a.type: is not the type/],
    ['enum with a pattern', having({ enum: ['a'], pattern: '^a$' }), /^properties.a.pattern: not taken here/],
    [
      'a negative length',
      having({ type: 'string', maxLength: -1 }),
      /^properties.a.maxLength: expected a whole/,
    ],
    ['a length that is a text', having({ type: 'string', maxLength: '9' }), /a.maxLength: expected a whole/],
    ['a length beyond an object', having({ type: 'string', maxLength: 262_145 }), /a.maxLength: expected/],
    [
      'least above most',
      having({ ...text, minLength: 10 }),
      /^properties.a.minLength: is more than maxLength/,
    ],
    [
      'uniqueItems of many',
      having({ type: 'array', maxItems: 101, uniqueItems: true, items: text }),
      /^properties.a.uniqueItems: expected at most 100/,
    ],
    [
      'uniqueItems of objects',
      having({ type: 'array', maxItems: 9, uniqueItems: true, items: { type: 'object' } }),
      /^properties.a.uniqueItems: expected at most 100 texts/,
    ],
    [
      'uniqueItems of unions',
      having({ type: 'array', maxItems: 9, uniqueItems: true, items: { anyOf: [text] } }),
      /^properties.a.uniqueItems: expected/,
    ],
    ['nine levels', { type: 'object', properties: { a: deep(8) } }, /: deeper than 8 schemas$/],
    ['201 schemas', many(201), /^properties.m200: more than 200 schemas/],
    ['a costly pattern', having({ ...text, pattern: '^(a+)+$' }), /^properties.a.pattern: repeats a group/],
  ]
  for (const [what, schema, problem] of refused) {
    it(`refuses ${what}`, () => {
      const { problems } = checkOperatorKind('recipe', schema)
      assert.ok(
        problems.some(each => problem.test(each)),
        problems.join('\n'),
      )
    })
  }

  it('tells all that is wrong at once', () => {
    const properties = { id: text, b: { type: 'string' }, c: { type: 'array', items: { type: 'text' } } }
    assert.deepEqual(checkOperatorKind('recipe', { type: 'object', properties }).problems, [
      'properties.id: is a member of every object, or of a user',
      'properties.b: expected maxLength',
      'properties.c: expected maxItems',
      'properties.c.items.type: expected one of object, array, string, integer, number, boolean, null, or enum, const or anyOf beside it',
    ])
  })

  it('takes eight levels and 200 schemas', () => {
    kindsOf({ type: 'object', properties: { a: deep(7) } }).parseDraft(draft)
    kindsOf(many(200)).parseDraft(draft)
  })

  it('has a name of its own', () => {
    for (const name of ['', 'Recipe', '1st', 'a_b', 'a.b', 'x'.repeat(33), 'post', 'user', 'mark'])
      assert.equal(checkOperatorKind(name, many(1)).problems.length, 1, name)
    for (const name of ['r', 'to-string', `x${'9'.repeat(31)}`]) kindsOf(many(1), name)
  })
})

describe('operator kind / patterns', () => {
  const good = [
    ...[
      '^$',
      '^[a-z]+$',
      '^[A-Z]{1,3}-[0-9]+$',
      '^\\d{4}-\\d{2}-\\d{2}$',
      '^(?:red|green|blue)$',
      '^https://\\S+$',
    ],
    ...[
      '^[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}$',
      '^\\p{L}{1,1000}$',
      '^[^\\]\\n]*\\]$',
      '^.*x$',
      '^a\\$$',
    ],
    ...['^[a-z]{2,20}-[a-z]{2,20}$', '^(a|b)(c|d)$', '^😀{3}$', '^\\u{1f600}\\u00e9[\\u{1f600}-\\u{1f64f}]$'],
  ]
  for (const pattern of good) it(`${pattern} is taken`, () => assert.equal(findCostly(pattern), undefined))

  const bad: readonly (readonly [pattern: string, why: RegExp])[] = [
    ['[a-z]+$', /begin with \^/],
    ['^[a-z]+', /end with \$/],
    ['^a\\$', /end with \$/],
    ['^a|b$', /inside a group/],
    ['^(a)|(b)$', /inside a group/],
    ['^a$b$', /not at its end/],
    ['^(a+)+$', /repeats a group/],
    ['^(a|a)*$', /repeats a group/],
    ['^(?:ab){2}$', /repeats a group/],
    ['^(a)\\1$', /not taken/],
    ['^(?<n>a)\\k<n>$', /not taken/],
    ['^(?=a)a$', /not taken/],
    ['^(?!a)b$', /not taken/],
    ['^(?<=a)b$', /not taken/],
    ['^a\\bb$', /not taken/],
    ['^a+?$', /repeat of a repeat/],
    ['^a*b*$', /more than one/],
    ['^a{3,}b+$', /more than one/],
    ['^a{1001}$', /more than 1000 times/],
    ['^a{0,1001}$', /more than 1000 times/],
    ['^a{99999}$', /not taken|more than 1000/],
    ['^a{0,1000}a{0,1000}$', /too many ways/],
    ['^a*a{999}b$', /too many ways/],
    ['^(a|b|c)(a|b|c)(a|b|c)(a|b|c)aaa$', /too many ways/],
    ['^a?a?a?a?a?a?a?a?a?bbb$', /too many ways/],
    ['^(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)$', /too many ways/],
    ['^[a$', /no regular expression/],
    ['^(a$', /no regular expression/],
    [`^${'a'.repeat(1000)}$`, /more than 1000 characters/],
  ]
  for (const [pattern, why] of bad)
    it(`${pattern.slice(0, 50)} is refused`, () => assert.match(findCostly(pattern) ?? 'taken', why))
})

describe('operator kind / cost', function () {
  this.timeout(60_000)

  /** The hardest patterns that are taken, and what they find hard. */
  const patterns: readonly (readonly [pattern: string, hard: string])[] = [
    ['^.*a{190}b$', 'a'],
    ['^a*a{190}b$', 'a'],
    ['^a?a?a?a?a*b$', 'a'],
    ['^a{0,6}a{0,6}a{0,1000}b$', 'a'],
    ['^(a|aa)(a|aa)(a|aa)a*b$', 'a'],
    ['^\\p{L}*[^x]$', 'x'],
    ['^[a-z]{1,63}x{2,63}$', 'x'],
  ]
  const of = (pattern: string, maxLength: number) => ({ type: 'string', maxLength, pattern })

  /** Of the processor, for others may want it at the same time. */
  function msOf(work: () => unknown): number {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }

  /** The quickest of a few, since memory is cleared now and then. */
  function leastMs(kinds: Kinds, value: object): number {
    const once = () => assertRefused(kinds, value)
    return Math.min(...Array.from({ length: 3 }, () => msOf(once)))
  }

  function assertRefused(kinds: Kinds, value: object): void {
    let isRefused = false
    try {
      kinds.parseDraft({ id: '1.edgar@poe.net', kind: 'recipe', ...value })
    } catch {
      isRefused = true
    }
    assert.ok(isRefused, 'a hard value is one that is refused at its end')
  }

  const cases: readonly (readonly [what: string, schema: object, value: (size: number) => object])[] = [
    ...patterns.flatMap(
      ([pattern, hard]) =>
        [
          [
            `one long text against ${pattern}`,
            { type: 'object', properties: { a: of(pattern, 262_144) } },
            (size: number) => ({ a: hard.repeat(size) }),
          ],
          [
            `many short texts against ${pattern}`,
            {
              type: 'object',
              properties: {
                a: {
                  type: 'array',
                  maxItems: 262_144,
                  items: { anyOf: [of(pattern, 100), { type: 'string', maxLength: 100 }] },
                },
              },
              required: ['a'],
            },
            (size: number) => ({ a: [...Array(Math.floor(size / 20)).fill(hard.repeat(20)), 1] }),
          ],
        ] as const,
    ),
    [
      'many small values against a union',
      {
        type: 'object',
        properties: {
          a: {
            type: 'array',
            maxItems: 262_144,
            items: { anyOf: Array.from({ length: 8 }, (_, at) => ({ const: at })) },
          },
        },
      },
      (size: number) => ({ a: [...Array(Math.floor(size / 2)).fill(7), 8] }),
    ],
    [
      'lists of what must differ',
      {
        type: 'object',
        properties: {
          a: {
            type: 'array',
            maxItems: 262_144,
            items: {
              type: 'array',
              maxItems: 100,
              uniqueItems: true,
              items: { type: 'integer' },
            },
          },
        },
      },
      (size: number) => {
        const list = Array.from({ length: 100 }, (_, at) => at)
        return { a: [...Array(Math.floor(size / 300)).fill(list), [1, 1]] }
      },
    ],
  ]
  for (const [what, schema, make] of cases) {
    it(`of ${what} grows with the size of the value alone`, () => {
      const kinds = kindsOf(schema)
      const [small, large] = [make(16_384), make(131_072)]
      leastMs(kinds, small)
      const [smallMs, largeMs] = [leastMs(kinds, small), leastMs(kinds, large)]
      // Eight times the size; what grew with the square would take 64 times as long.
      assert.ok(largeMs < 24 * smallMs + 10, `${smallMs} ms, then ${largeMs} ms`)
      assert.ok(largeMs < 1000, `${largeMs} ms`)
    })
  }
})
