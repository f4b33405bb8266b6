import assert from 'node:assert/strict'
import TypeBox from 'typebox'
import { describeFrame, helloFrame, requestFrame } from '../../schemas/frame.ts'
import { Type } from '../../schemas/type.ts'
import { compile } from '../../schemas/validate.ts'

/** The same schema by two builders. */
type Builder = Pick<typeof TypeBox, keyof typeof Type>

const schemas: Readonly<Record<string, (type: Builder) => object>> = {
  'a text': type => type.String({ pattern: '^a$', maxLength: 3 }),
  'a number': type => type.Integer({ minimum: 1 }),
  'true or false': type => type.Boolean({ default: true }),
  'one text': type => type.Literal('hello'),
  'one number': type => type.Literal(1),
  'one truth': type => type.Literal(true),
  'a choice': type => type.Enum(['a', 'b'], { default: 'a' }),
  'a list': type => type.Array(type.String(), { maxItems: 2, uniqueItems: true }),
  'an object': type =>
    type.Object(
      {
        must: type.String(),
        may: type.Optional(type.Array(type.Object({ in: type.Optional(type.Boolean()) }))),
      },
      { additionalProperties: false, description: 'x' },
    ),
  'an object that needs nothing': type => type.Object({ may: type.Optional(type.String()) }),
  'an object of nothing': type => type.Object({}, { additionalProperties: true }),
}

describe('Type', () => {
  for (const [name, make] of Object.entries(schemas)) {
    it(`builds ${name} as typebox does`, () => {
      assert.deepEqual(JSON.parse(JSON.stringify(make(Type))), JSON.parse(JSON.stringify(make(TypeBox))))
    })
  }

  it('leaves a schema that was made optional elsewhere as it was', () => {
    const text = Type.String()
    Type.Object({ may: Type.Optional(text) })
    assert.deepEqual(JSON.parse(JSON.stringify(Type.Object({ must: text }))).required, ['must'])
  })

  it('builds what ajv compiles in its strict mode', () => {
    for (const schema of [helloFrame, describeFrame, requestFrame])
      assert.equal(compile(schema).is({}), false)
  })
})
