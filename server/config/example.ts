/**
 * fmtp.conf.example, made from the schema: every key with its explanation and its default in a comment, so that
 * the file loads as it is and an operator uncomments what should differ.
 */

import { configSchema } from '../../schemas/config.ts'

/** What this file reads of a schema. */
interface Part {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  readonly enum?: readonly unknown[]
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, Part>>
  readonly items?: Part
}

const lineChars = 100

const head = `# All keys of fmtp.conf. Each is shown with its default behind a "#": remove it to change the value.
# This file is TOML, and written by "npm run gen" from schemas/config.ts.`

/** The text of fmtp.conf.example. */
export function exampleConfig(): string {
  const entries: [string, Part][] = Object.entries(configSchema.properties)
  // TOML: keys of the file itself stand before the first table.
  const keys = entries.filter(([, part]) => tableHead('', part) === undefined)
  const tables = entries.filter(([, part]) => tableHead('', part) !== undefined)
  const blocks = [
    head,
    ...keys.map(([name, part]) => keyText(name, part)),
    ...tables.map(([name, part]) => tableText(name, part)),
  ]
  return `${blocks.join('\n\n')}\n`
}

/** `[name]` for a table, `[[name]]` for a list of tables, `undefined` for a key with a plain value. */
function tableHead(name: string, part: Part): string | undefined {
  if (part.properties !== undefined) return `[${name}]`
  return part.items?.properties === undefined ? undefined : `[[${name}]]`
}

function tableText(name: string, part: Part): string {
  const properties = part.properties ?? part.items?.properties ?? {}
  const keys = Object.entries(properties).map(([key, value]) => keyText(key, value))
  const title = `${comment(part.description ?? '')}\n${tableHead(name, part)}`
  return [title, ...keys].join('\n\n')
}

function keyText(name: string, part: Part): string {
  const { minimum, maximum } = part
  const range = minimum === undefined || maximum === undefined ? '' : ` From ${minimum} to ${maximum}.`
  const value =
    part.default === undefined
      ? `${name} = ${tomlValue(part.examples?.[0])}`
      : `#${name} = ${tomlValue(part.default)}`
  return `${comment(`${part.description ?? ''}${range}`)}\n${value}`
}

/** TOML writes texts, numbers, booleans and flat lists as JSON does, but for the blanks. */
function tomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`
  return JSON.stringify(value)
}

function comment(text: string): string {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(' ')) {
    if (line !== '#' && line.length + 1 + word.length > lineChars) {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  return [...lines, line].join('\n')
}
