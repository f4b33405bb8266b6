/**
 * A kind that an operator adds (protocol §6.13): reads its JSON Schema, which may use a small part of the language, and
 * makes from it a schema of our own. What a value costs so grows with its size alone, whatever the schema says.
 */
import type { TProperties, TSchema } from 'typebox'
import { isCoreKind } from './kinds/kinds.ts'
import { recipients } from './kinds/recipients.ts'
import { limits } from './limits.ts'
import { commonNames } from './object.ts'
import type { OperatorKind } from './parse-object.ts'
import type { FormatName } from './text/formats.ts'
import { findCostly } from './text/linear-pattern.ts'
import { Type } from './type.ts'
import { formatPath, type Path } from './validate.ts'

const most = { depth: 8, nodes: 200, branches: 8, choices: 200, unique: 100, count: limits.objectBytes }

/** Formats that a kind may name, and what they are called here. */
const formatNames: Readonly<Record<string, FormatName>> = {
  address: 'address',
  domain: 'a-labels',
  name: 'name',
  'object-id': 'object-id',
  instant: 'instant',
}

const annotations = ['title', 'description']
const keywordsOf: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required'],
  array: ['items', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  integer: ['minimum', 'maximum'],
  number: ['minimum', 'maximum'],
  boolean: [],
  null: [],
}
const types = Object.keys(keywordsOf)
const dialect = 'https://json-schema.org/draft/2020-12/schema'

type Json = Readonly<Record<string, unknown>>

export type CheckedKind =
  | { readonly kind: OperatorKind; readonly problems: readonly [] }
  /** One line each: the path inside the schema and what is wrong there. */
  | { readonly kind: undefined; readonly problems: readonly string[] }

/** The kind of this name and schema, or everything that is wrong with it. `schema` is what a JSON file says. */
export function checkOperatorKind(kind: string, schema: unknown): CheckedKind {
  const problems: string[] = []
  let nodes = 0

  function tell(keys: Path, text: string): void {
    problems.push(keys.length === 0 ? text : `${formatPath(keys)}: ${text}`)
  }

  function checkKeywords(node: Json, keys: Path, known: readonly string[]): void {
    const taken = [...known, ...annotations]
    for (const name of Object.keys(node))
      if (!taken.includes(name)) tell([...keys, name], `not taken here; taken are ${taken.join(', ')}`)
  }

  function readNode(value: unknown, keys: Path, depth: number): TSchema {
    nodes++
    if (nodes === most.nodes + 1) tell(keys, `more than ${most.nodes} schemas in one file`)
    if (nodes > most.nodes) return {}
    if (depth > most.depth) {
      tell(keys, `deeper than ${most.depth} schemas`)
      return {}
    }
    if (!isJson(value)) {
      tell(keys, 'expected a schema, which is an object')
      return {}
    }
    if ('anyOf' in value) return readUnion(value, keys, depth)
    if ('enum' in value || 'const' in value) return readChoices(value, keys)
    const { type } = value
    if (typeof type !== 'string' || !Object.hasOwn(keywordsOf, type)) {
      tell([...keys, 'type'], `expected one of ${types.join(', ')}, or enum, const or anyOf beside it`)
      return {}
    }
    checkKeywords(value, keys, ['type', ...(keywordsOf[type] ?? [])])
    if (type === 'object') return readObject(value, keys, depth)
    if (type === 'array') return readArray(value, keys, depth)
    if (type === 'string') return readText(value, keys)
    return { type, ...readRange(value, keys, ['minimum', 'maximum'], Number.MAX_SAFE_INTEGER) } as TSchema
  }

  function readUnion(node: Json, keys: Path, depth: number): TSchema {
    checkKeywords(node, keys, ['anyOf'])
    // Each branch looks at the value once more: unions in unions would multiply.
    if (keys.includes('anyOf')) tell(keys, 'anyOf inside anyOf is not taken')
    const { anyOf } = node
    if (!Array.isArray(anyOf) || anyOf.length === 0 || anyOf.length > most.branches) {
      tell([...keys, 'anyOf'], `expected a list of 1 to ${most.branches} schemas`)
      return {}
    }
    return {
      anyOf: anyOf.map((branch, at) => readNode(branch, [...keys, 'anyOf', at], depth + 1)),
    } as TSchema
  }

  function readChoices(node: Json, keys: Path): TSchema {
    checkKeywords(node, keys, ['type', 'enum' in node ? 'enum' : 'const'])
    const values: unknown = 'enum' in node ? node.enum : [node.const]
    if (!Array.isArray(values) || values.length === 0 || values.length > most.choices) {
      tell([...keys, 'enum'], `expected a list of 1 to ${most.choices} values`)
      return {}
    }
    if (!values.every(isScalar)) tell(keys, 'expected texts, numbers, true, false or null only')
    const { type } = node
    if (type !== undefined && !values.every(value => isOfType(value, type)))
      tell([...keys, 'type'], 'is not the type of every value')
    return { enum: [...new Set(values)] } as TSchema
  }

  function readObject(node: Json, keys: Path, depth: number): TSchema {
    const { properties = {}, required = [] } = node
    if (!isJson(properties)) {
      tell([...keys, 'properties'], 'expected an object')
      return {}
    }
    const read: Record<string, TSchema> = {}
    for (const [name, value] of Object.entries(properties)) {
      checkName(name, [...keys, 'properties', name])
      read[name] = readNode(value, [...keys, 'properties', name], depth + 1)
    }
    const names = readRequired(required, Object.keys(properties), keys)
    return { type: 'object', properties: read, required: names, additionalProperties: true } as TSchema
  }

  function readArray(node: Json, keys: Path, depth: number): TSchema {
    const range = readRange(node, keys, ['minItems', 'maxItems'], most.count)
    if (range.maxItems === undefined) tell(keys, 'expected maxItems')
    const items = readNode(node.items, [...keys, 'items'], depth + 1)
    const { uniqueItems = false } = node
    if (typeof uniqueItems !== 'boolean') tell([...keys, 'uniqueItems'], 'expected true or false')
    const isShort = (range.maxItems ?? 0) <= most.unique
    const { type, enum: choices } = items as { type?: string; enum?: unknown }
    const isFlat = choices !== undefined || (type !== undefined && type !== 'object' && type !== 'array')
    if (uniqueItems === true && !(isShort && isFlat))
      tell([...keys, 'uniqueItems'], `expected at most ${most.unique} texts, numbers or the like`)
    return { type: 'array', items, ...range, ...(uniqueItems === true ? { uniqueItems } : {}) } as TSchema
  }

  function readText(node: Json, keys: Path): TSchema {
    const range = readRange(node, keys, ['minLength', 'maxLength'], most.count)
    const { format, pattern } = node
    if (range.maxLength === undefined && format === undefined) tell(keys, 'expected maxLength')
    const costly = typeof pattern === 'string' ? findCostly(pattern) : 'expected a text'
    if (pattern !== undefined && costly !== undefined) tell([...keys, 'pattern'], costly)
    const isKnown = typeof format === 'string' && Object.hasOwn(formatNames, format)
    if (format !== undefined && !isKnown)
      tell([...keys, 'format'], `expected one of ${Object.keys(formatNames).join(', ')}`)
    return {
      type: 'string',
      ...range,
      ...(pattern === undefined ? {} : { pattern }),
      ...(isKnown ? { format: formatNames[format] } : {}),
    } as TSchema
  }

  function readRange<L extends string>(
    node: Json,
    keys: Path,
    names: readonly [least: L, most: L],
    highest: number,
  ): Partial<Record<L, number>> {
    const range: Partial<Record<L, number>> = {}
    const lowest = names[0] === 'minimum' ? -highest : 0
    for (const name of names) {
      const value = node[name]
      if (value === undefined) continue
      if (typeof value === 'number' && value >= lowest && value <= highest) range[name] = value
      else tell([...keys, name], `expected a whole number, ${lowest} to ${highest}`)
    }
    const [least, greatest] = names.map(name => range[name])
    if (least !== undefined && greatest !== undefined && least > greatest)
      tell([...keys, names[0]], `is more than ${names[1]}`)
    return range
  }

  function readRequired(value: unknown, known: readonly string[], keys: Path): readonly string[] {
    if (
      Array.isArray(value) &&
      value.every(name => known.includes(name)) &&
      new Set(value).size === value.length
    )
      return value
    tell([...keys, 'required'], 'expected a list of names in properties, none twice')
    return []
  }

  function checkName(name: string, keys: Path): void {
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name) || Object.hasOwn(Object.prototype, name))
      tell(
        keys,
        'expected a name of 1 to 64 letters, digits, _ and -, a letter first, and not one of JavaScript',
      )
  }

  function readMembers(root: unknown): TProperties {
    if (!isJson(root) || root.type !== 'object' || !isJson(root.properties)) {
      tell([], 'expected an object with type "object" and properties')
      return {}
    }
    const { $schema = dialect, ...node } = root
    if ($schema !== dialect) tell(['$schema'], `expected ${dialect}`)
    const { properties, required = [] } = node
    const { to, ...own } = root.properties
    for (const name of Object.keys(own))
      if (commonNames.has(name)) tell(['properties', name], 'is a member of every object, or of a user')
    if (to !== undefined && to !== true)
      tell(['properties', 'to'], 'expected true: recipients are those of a message')
    checkKeywords(node, [], ['type', ...(keywordsOf.object ?? [])])
    const names = readRequired(required, Object.keys(properties as Json), [])
    const { properties: read } = readObject({ properties: own }, [], 1) as unknown as {
      properties: TProperties
    }
    const members: TProperties = { ...read, ...(to === true ? { to: recipients } : {}) }
    return Object.fromEntries(
      Object.entries(members).map(([name, each]) => [
        name,
        names.includes(name) ? each : Type.Optional(each),
      ]),
    )
  }

  if (!/^[a-z][a-z0-9-]{0,31}$/.test(kind))
    tell([], 'a kind is named by 1 to 32 of a-z 0-9 -, a letter first')
  if (isCoreKind(kind)) tell([], `${kind} is a kind of the protocol`)
  const members = readMembers(schema)
  return problems.length > 0 ? { kind: undefined, problems } : { kind: { kind, members }, problems: [] }
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === 'integer' || type === 'number') return typeof value === 'number'
  return type === (value === null ? 'null' : typeof value)
}
