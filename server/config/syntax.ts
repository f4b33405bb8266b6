/**
 * The text of fmtp.conf to a tree, and the line of every key in it. smol-toml reads the text but tells lines of
 * syntax errors alone, so a small scanner walks the text again. It runs on text that is known to be valid TOML:
 * it only finds places and checks nothing.
 */

import { parse, TomlError } from 'smol-toml'
import { formatPath, type Path } from '../../schemas/validate.ts'

/** What is wrong, and where. */
export interface Trouble {
  /** From 1; `undefined`: it is about something that is not in the text. */
  readonly line: number | undefined
  readonly text: string
}

export type Syntax =
  | {
      readonly ok: true
      readonly tree: Readonly<Record<string, unknown>>
      /** Line of a key, table or list entry, from 1; of what holds it when it is not there itself. */
      readonly lineOf: (keys: Path) => number | undefined
    }
  | { readonly ok: false; readonly troubles: readonly Trouble[] }

/** Deeper than any key of ours; a limit so that neither this scanner nor a clone overflows the stack. */
const maxDepth = 20

/** Reads TOML. Dates are errors: no key takes one, and a validator would take the Date for a table. */
export function readSyntax(text: string): Syntax {
  let tree: Readonly<Record<string, unknown>>
  try {
    tree = parse(text, { maxDepth, unsafeKeyBehaviour: 'throw' })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    return { ok: false, troubles: [{ line: error.line, text: firstLine(error.message) }] }
  }
  const lines = scanLines(text)
  const lineOf = (keys: Path): number | undefined => {
    for (let length = keys.length; length > 0; length--) {
      const line = lines.get(place(keys.slice(0, length)))
      if (line !== undefined) return line
    }
    return undefined
  }
  const troubles = findDates(tree, []).map(keys => ({
    line: lineOf(keys),
    text: `${formatPath(keys)}: expected no date; in quotes it is text`,
  }))
  return troubles.length === 0 ? { ok: true, tree, lineOf } : { ok: false, troubles }
}

/** smol-toml puts a drawing of the place below its message; the line number says it shorter. */
function firstLine(message: string): string {
  return message.split('\n', 1).join('').replace('Invalid TOML document: ', 'not TOML: ')
}

function findDates(value: unknown, keys: Path): Path[] {
  if (value instanceof Date) return [keys]
  if (Array.isArray(value)) return value.flatMap((entry, index) => findDates(entry, [...keys, index]))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, entry]) => findDates(entry, [...keys, name]))
}

/** One string for a path, whatever its names contain. */
function place(keys: Path): string {
  return JSON.stringify(keys)
}

// Sticky, so that each matches at the scanner's place or not at all.
const blank = /[ \t]*/y
const blankLines = /(?:[ \t\r\n]|#[^\n]*)*/y
const restOfLine = /[^\n]*/y
const bareKey = /[A-Za-z0-9_-]+/y
const quotedKey = /"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y
// Up to two quotes may stand right before the three that close, and belong to the text.
const texts = [
  /"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}/y,
  /'''(?:[^']|'(?!''))*'{3,5}/y,
  /"(?:[^"\\\n]|\\.)*"/y,
  /'[^'\n]*'/y,
]
const plainValue = /[^,\]}#\n]+/y

/** Places of all keys, tables and list entries of valid TOML, and the line where each begins. */
function scanLines(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  /** How many `[[tables]]` each list has so far. */
  const counts = new Map<string, number>()
  let at = 0
  let line = 1
  let counted = 0

  function take(pattern: RegExp): string | undefined {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }

  function takeSign(sign: string): boolean {
    if (!text.startsWith(sign, at)) return false
    at += sign.length
    return true
  }

  function mark(keys: Path): void {
    for (; counted < at; counted++) if (text[counted] === '\n') line++
    const key = place(keys)
    if (!lines.has(key)) lines.set(key, line)
  }

  function takeKey(): string[] {
    const names: string[] = []
    do {
      take(blank)
      const bare = take(bareKey)
      const quoted = bare === undefined ? take(quotedKey) : undefined
      if (bare !== undefined) names.push(bare)
      // The parser knows the escapes; a key alone in a text is a table with that key.
      if (quoted !== undefined) names.push(...Object.keys(parse(`${quoted} = 0`)))
      take(blank)
    } while (takeSign('.'))
    return names
  }

  function takeTable(): void {
    const isList = takeSign('[[')
    if (!isList) takeSign('[')
    const names = takeKey()
    table = []
    for (const [index, name] of names.entries()) {
      table = [...table, name]
      mark(table)
      const list = place(table)
      const count = counts.get(list) ?? 0
      const isNew = isList && index === names.length - 1
      if (isNew) counts.set(list, count + 1)
      if (!isNew && count === 0) continue
      // A name that is a list of tables means its last one.
      table = [...table, isNew ? count : count - 1]
      mark(table)
    }
  }

  function takeEntry(within: Path): void {
    let keys = within
    for (const name of takeKey()) {
      keys = [...keys, name]
      mark(keys)
    }
    takeSign('=')
    take(blank)
    takeValue(keys)
  }

  function takeValue(keys: Path): void {
    if (takeSign('[')) {
      takeUntil(']', index => {
        mark([...keys, index])
        takeValue([...keys, index])
      })
    } else if (takeSign('{')) {
      takeUntil('}', () => takeEntry(keys))
    } else if (!texts.some(pattern => take(pattern) !== undefined)) {
      take(plainValue)
    }
  }

  /** Entries between commas. Ends also where nothing moves: a scanner must not hang on what it does not know. */
  function takeUntil(end: string, takeOne: (index: number) => void): void {
    for (let index = 0; ; index++) {
      take(blankLines)
      if (takeSign(end)) return
      const before = at
      takeOne(index)
      take(blankLines)
      takeSign(',')
      if (at === before) return
    }
  }

  let table: Path = []
  for (;;) {
    take(blankLines)
    if (at >= text.length) return lines
    if (text[at] === '[') takeTable()
    else takeEntry(table)
    take(restOfLine)
    takeSign('\n')
  }
}
