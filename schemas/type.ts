/**
 * Builds plain JSON Schemas with the types of typebox, of which nothing is loaded when a program runs: what is needed of it
 * at run time are these few literals, and they cost no 20 MB and no 100 ms.
 */
import type TypeBox from 'typebox'

type Properties = Record<string, object>

/** Marks a member that may be missing; no JSON Schema shows it. */
const optional = Symbol('optional')

function withOptions(schema: object, options: object | undefined): object {
  return { ...schema, ...options }
}

function isOptional(schema: object): boolean {
  return (schema as { [optional]?: true })[optional] === true
}

const builders = {
  String: (options?: object) => withOptions({ type: 'string' }, options),
  Integer: (options?: object) => withOptions({ type: 'integer' }, options),
  Boolean: (options?: object) => withOptions({ type: 'boolean' }, options),
  Literal: (value: unknown, options?: object) => withOptions({ const: value, type: typeof value }, options),
  Enum: (values: readonly unknown[], options?: object) => withOptions({ enum: [...values] }, options),
  Array: (items: object, options?: object) => withOptions({ type: 'array', items }, options),
  Optional: (schema: object) => Object.defineProperty({ ...schema }, optional, { value: true }),
  Object: (properties: Properties, options?: object) => {
    const required = Object.keys(properties).filter(name => !isOptional(properties[name] ?? {}))
    const members = required.length === 0 ? { properties } : { required, properties }
    return withOptions({ type: 'object', ...members }, options)
  },
}

/** The part of typebox's `Type` that our schemas use; what it builds is what typebox builds. */
export const Type = builders as unknown as Pick<typeof TypeBox, keyof typeof builders>
