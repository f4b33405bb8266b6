/**
 * Shapes checked with ajv, whose only importer this is. Two ways, never mixed: objects and frames stop at the
 * first error and are not changed; a config is filled with defaults and tells all its errors.
 * Nothing is compiled at import: each schema is, once, when it is first used.
 */

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import type { Static, TSchema } from 'typebox'
import { type Config, configSchema } from './config.ts'
import { type FailureCode, FmtpError } from './failures.ts'
import { formats } from './text/formats.ts'

/** Where in a value: names of objects and indexes of lists, from the outside in. */
export type Path = readonly (string | number)[]

/** What is wrong at one place of a value. */
export interface Problem {
  readonly keys: Path
  /** `keys` as people write them: `listen.tcp[0]`; empty for the whole value. */
  readonly path: string
  /** In words that fit after "expected". */
  readonly expected: string
  /** The value at `keys`; `undefined` when something needed is missing. */
  readonly found: unknown
  /** There when the key itself is unknown: the keys that are known at its place. */
  readonly known?: readonly string[]
}

/** A compiled schema, for values that must not be changed. */
export interface Validator<T> {
  is(value: unknown): value is T
  /** The first error of a value; `undefined`: it has the shape. */
  findProblem(value: unknown): Problem | undefined
}

const shared = {
  strict: true,
  // parentSchema and data of an error, from which its words are made.
  verbose: true,
  // Our own schemas are held against the meta-schema by a test; here it would cost 20 ms and 4 MB at each start.
  meta: false,
  validateSchema: false,
} as const

function makeAjv(options: { readonly allErrors: boolean; readonly useDefaults: boolean }): Ajv2020 {
  const ajv = new Ajv2020({ ...shared, ...options })
  // What an error says was expected, where a schema has better words than describe().
  ajv.addVocabulary(['expected'])
  for (const [name, format] of Object.entries(formats)) ajv.addFormat(name, format.test)
  return ajv
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

const strictAjv = once(() => makeAjv({ allErrors: false, useDefaults: false }))

/** A validator for objects and frames: no defaults, no coercion, first error only. */
export function compile<S extends TSchema>(schema: S): Validator<Static<S>> {
  const validate = once<ValidateFunction<Static<S>>>(() => strictAjv().compile<Static<S>>(schema))
  return {
    is: (value): value is Static<S> => validate()(value),
    findProblem(value) {
      const check = validate()
      if (check(value)) return undefined
      // Of a union ajv tells the errors of each branch and then its own, which is the one to show.
      const error = check.errors?.at(-1)
      return error === undefined ? undefined : makeProblem(error, 'an object')
    },
  }
}

/**
 * The value, when it has the shape.
 * @throws {FmtpError} `code`, whose detail is the first problem.
 */
export function parseAs<T>(validator: Validator<T>, value: unknown, code: FailureCode): T {
  if (validator.is(value)) return value
  const problem = validator.findProblem(value)
  throw new FmtpError(code, problem && formatProblem(problem))
}

const configCheck = once(() => makeAjv({ allErrors: true, useDefaults: true }).compile<Config>(configSchema))

export type CheckedConfig =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly config: undefined; readonly problems: readonly Problem[] }

/** A config with its defaults filled in, or everything that is wrong with its shape. `value` is not changed. */
export function checkConfig(value: unknown): CheckedConfig {
  const filled: unknown = structuredClone(value)
  const check = configCheck()
  if (check(filled)) return { config: filled, problems: [] }
  const problems = new Map<string, Problem>()
  for (const error of check.errors ?? []) {
    const problem = makeProblem(error, 'a table')
    // One problem a place: a text that is too long is often of the wrong format, too.
    if (!problems.has(problem.path)) problems.set(problem.path, problem)
  }
  return { config: undefined, problems: [...problems.values()] }
}

/** `['listen', 'tcp', 0]` as `listen.tcp[0]`; names that are not plain words in quotes, long ones cut. */
export function formatPath(keys: Path): string {
  let path = ''
  for (const key of keys) {
    if (typeof key === 'number') path += `[${key}]`
    else path += `${path === '' ? '' : '.'}${/^[\w-]{1,64}$/.test(key) ? key : showText(key)}`
  }
  return path
}

/** `http.behindProxy: expected true or false, found "yes"`. */
export function formatProblem(problem: Problem): string {
  const place = problem.path === '' ? '' : `${problem.path}: `
  if (problem.known !== undefined) return `${place}unknown key; known here: ${problem.known.join(', ')}`
  return `${place}expected ${problem.expected}, found ${show(problem.found)}`
}

function makeProblem(error: ErrorObject, object: string): Problem {
  const keys = pointerKeys(error.instancePath)
  const schema = (error.parentSchema ?? {}) as Schema
  const properties = schema.properties ?? {}
  if (error.keyword === 'additionalProperties') {
    const name = String(error.params.additionalProperty)
    const known = Object.keys(properties)
    const found = (error.data as Record<string, unknown>)[name]
    return problemAt([...keys, name], `no other keys than ${known.join(', ')}`, found, known)
  }
  if (error.keyword === 'required') {
    const name = String(error.params.missingProperty)
    return problemAt([...keys, name], describe(properties[name] ?? {}, object), undefined)
  }
  const { format, ...others } = schema
  // A domain of 300 characters is told its length, not what a domain looks like.
  return problemAt(keys, describe(error.keyword === 'maxLength' ? others : schema, object), error.data)
}

function problemAt(keys: Path, expected: string, found: unknown, known?: readonly string[]): Problem {
  const problem = { keys, path: formatPath(keys), expected, found }
  return known === undefined ? problem : { ...problem, known }
}

/** The keys of a JSON pointer. Digits are an index: no name in a schema of ours is a number. */
function pointerKeys(pointer: string): Path {
  return pointer
    .split('/')
    .slice(1)
    .map(part => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')))
}

/** The parts of JSON Schema that our schemas use. */
interface Schema {
  readonly expected?: string
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly format?: string
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
}

/** What a schema asks for, in words. */
function describe(schema: Schema, object: string): string {
  const { enum: choices, anyOf } = schema
  if (schema.expected !== undefined) return schema.expected
  if (choices !== undefined) return `one of ${choices.join(', ')}`
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (anyOf !== undefined) {
    const values = anyOf.map(branch => branch.const)
    if (!values.includes(undefined)) return `one of ${values.join(', ')}`
    return anyOf.map(branch => describe(branch, object)).join(' or ')
  }
  switch (schema.type) {
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `a whole number${range(schema.minimum, schema.maximum, ', ')}`
    case 'number':
      return `a number${range(schema.minimum, schema.maximum, ', ')}`
    case 'string':
      return describeText(schema)
    case 'array': {
      const size = range(schema.minItems, schema.maxItems, ' of ', ' entries')
      const each = schema.items === undefined ? '' : `, each ${describe(schema.items, object)}`
      return `a list${size}${each}`
    }
    case 'object':
      return object
    default:
      return schema.type ?? 'something else'
  }
}

function describeText(schema: Schema): string {
  if (schema.format !== undefined && Object.hasOwn(formats, schema.format)) {
    return formats[schema.format as keyof typeof formats].expected
  }
  if (schema.pattern !== undefined) return `text that matches ${schema.pattern}`
  return `text${range(schema.minLength, schema.maxLength, ' of ', ' characters')}`
}

/** `3 to 8`, `at least 3`, `at most 8` between the two words, or nothing. */
function range(least: number | undefined, most: number | undefined, before: string, after = ''): string {
  if (least !== undefined && most !== undefined) return `${before}${least} to ${most}${after}`
  if (least !== undefined) return `${before}at least ${least}${after}`
  if (most !== undefined) return `${before}at most ${most}${after}`
  return ''
}

const shownChars = 60

function showText(value: string): string {
  return JSON.stringify(value.length > shownChars ? `${value.slice(0, shownChars)}…` : value)
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return showText(value)
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return showKeys(value)
  return String(value)
}

function showKeys(value: object): string {
  const names = Object.keys(value)
  const shown = names.slice(0, 5).map(name => formatPath([name]))
  if (names.length > shown.length) shown.push('…')
  return shown.length === 0 ? '{}' : `{ ${shown.join(', ')} }`
}
