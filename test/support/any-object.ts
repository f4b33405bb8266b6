/** Well-formed objects of any kind, made from the schema of the kind itself, for properties that hold for all. */
import fc, { type Arbitrary } from 'fast-check'
import type { TProperties } from 'typebox'
import { coreMembers, privateKinds, singleKinds } from '../../schemas/kinds/kinds.ts'
import type { Unsealed } from '../../schemas/object.ts'

/** The parts of JSON Schema that schemas of kinds use. */
interface Shape {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Shape[]
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly items?: Shape
  readonly uniqueItems?: boolean
  readonly minItems?: number
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly format?: string
}

const samples: Readonly<Record<string, readonly string[]>> = {
  address: ['edgar@poe.net', 'lost@lenore.org', 'é.ö@xn--bcher-kva.example'],
  'a-labels': ['poe.net', 'lenore.org', 'xn--bcher-kva.example'],
  name: ['edgar@poe.net', 'lenore.org'],
  'object-id': ['user.lost@lenore.org', '1763629200000-k3v7q2m5x4ab.lost@lenore.org', 'server.lenore.org'],
  instant: ['2025-11-20T09:00:00.000Z', '2024-02-29T23:59:59.999Z'],
}
const chars = 12
const items = 4

/** Values of a schema; texts and lists stay short, whatever it allows. */
export function valuesOf(shape: Shape): Arbitrary<unknown> {
  const { type, anyOf, minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = shape
  if (shape.const !== undefined) return fc.constant(shape.const)
  if (shape.enum !== undefined) return fc.constantFrom(...shape.enum)
  if (anyOf !== undefined) return fc.oneof(...anyOf.map(valuesOf))
  if (type === 'string') return textsOf(shape)
  if (type === 'boolean') return fc.boolean()
  if (type === 'null') return fc.constant(null)
  if (type === 'array') {
    const { minItems: minLength = 0, maxItems = items } = shape
    const options = { minLength, maxLength: Math.max(minLength, Math.min(maxItems, items)) }
    const each = valuesOf(shape.items ?? {})
    return shape.uniqueItems === true ? fc.uniqueArray(each, options) : fc.array(each, options)
  }
  if (type === 'object') return membersOf(shape.properties ?? {}, shape.required ?? [])
  return fc.integer({ min: minimum, max: maximum })
}

function textsOf({ format, pattern, minLength = 0, maxLength }: Shape): Arbitrary<string> {
  if (format !== undefined) return fc.constantFrom(...(samples[format] ?? []))
  if (pattern === undefined) {
    const isShort = (text: string) => text.length >= minLength && text.length <= (maxLength ?? chars)
    return fc
      .string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength ?? chars, chars) })
      .filter(isShort)
  }
  // Of a pattern without its own least length a long text is hardly ever made by chance.
  if (minLength > 1) return fc.constantFrom('A'.repeat(minLength), '_-9z'.repeat(minLength).slice(-minLength))
  const isWithin = (text: string) => text.length <= (maxLength ?? Number.POSITIVE_INFINITY)
  return fc.stringMatching(new RegExp(pattern, 'u')).filter(isWithin)
}

function membersOf(
  properties: Readonly<Record<string, Shape>>,
  required: readonly string[],
): Arbitrary<Record<string, unknown>> {
  const record = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, valuesOf(each)]))
  return fc.record(record, { requiredKeys: [...required], noNullPrototype: true })
}

/** JSON values that I-JSON allows, which no schema of ours says anything about. */
const { foreign } = fc.letrec<{ foreign: unknown }>(tie => ({
  foreign: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, true, '', 'é\u2028😀', 0, -1, Number.MAX_SAFE_INTEGER),
    fc.array(tie('foreign'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('b', 'a', '10', '9', '', '\ufb33', '😀', 'toString'), tie('foreign'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
  ),
}))

const parent = '1763629260000-p5d2w7h3q6zt.lost@lenore.org'
const thread = fc.constantFrom({}, { parent, parentHash: 'A'.repeat(43), top: parent })

/** Whole objects of a kind without their seal, with members that no version has. */
export function anyObjects(
  kind: string,
  members: TProperties = coreMembers[kind as keyof typeof coreMembers],
): Arbitrary<Unsealed> {
  const owner = kind === 'server' ? 'poe.net' : 'edgar@poe.net'
  const id = `${singleKinds.has(kind) ? kind : '1763629200000-k3v7q2m5x4ab'}.${owner}`
  // What is optional in TypeBox says so with a mark that does not show in JSON.
  const required = Object.entries(members).flatMap(([name, each]) => ('~optional' in each ? [] : [name]))
  const common = {
    createdAt: fc.constant('2025-11-20T09:00:00.000Z'),
    expiresAt: fc.constantFrom('2025-11-20T09:00:00.000Z', '2026-11-20T09:00:00.000Z'),
    public: privateKinds.has(kind) ? fc.constant(false) : fc.boolean(),
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  }
  return fc
    .tuple(
      membersOf(members as Readonly<Record<string, Shape>>, required),
      fc.record(common, { requiredKeys: ['createdAt', 'version'], noNullPrototype: true }),
      singleKinds.has(kind) ? fc.constant({}) : thread,
      fc.dictionary(fc.constantFrom('mood', 'Über', '10', '9', '😀', '\ufb33'), foreign, {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    )
    .map(parts => {
      const object = Object.assign({}, ...parts, { id, kind, owner })
      return (kind === 'server' ? { ...object, domain: owner } : object) as Unsealed
    })
}
