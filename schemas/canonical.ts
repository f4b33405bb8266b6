/**
 * The one byte form of an object (protocol §3.3, RFC 8785), and the checks that make a JSON text I-JSON.
 * Pure, so that a browser can seal too. Most objects arrive with their keys in order already; for these the
 * engine's own JSON.stringify gives the canonical bytes at a third of the cost.
 */
import canonicalize from 'canonicalize'
import { FmtpError } from './failures.ts'

/** The canonical text of a JSON value that passed `checkValue`. */
export function canonicalText(value: object): string {
  if (isInOrder(value)) return JSON.stringify(value)
  const text = canonicalize(value)
  if (text === undefined) throw new FmtpError('FMTP_UNSAFE_VALUE', 'has no canonical form')
  return text
}

// An integer-like name is always enumerated first by the engine, whatever its place in the text.
const integerLike = /^(?:0|[1-9][0-9]*)$/

function isInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object' && !isInOrder(item)) return false
    return true
  }
  let last = ''
  for (const name in value) {
    if (name < last || integerLike.test(name)) return false
    last = name
    const member = (value as Record<string, unknown>)[name]
    if (typeof member === 'object' && !isInOrder(member)) return false
  }
  return true
}

/**
 * Checks what JSON.parse lets through and I-JSON (RFC 7493) does not: depth, numbers, surrogates, names.
 * @throws {FmtpError} FMTP_TOO_DEEP, FMTP_UNSAFE_VALUE, FMTP_UNSAFE_NAME
 */
export function checkValue(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw new FmtpError('FMTP_UNSAFE_VALUE', 'a lone surrogate')
      return
    case 'number':
      if (!Number.isSafeInteger(value) || Object.is(value, -0))
        throw new FmtpError('FMTP_UNSAFE_VALUE', `number ${value}`)
      return
    case 'object':
      break
    default:
      return
  }
  if (value === null) return
  if (depth === 0) throw new FmtpError('FMTP_TOO_DEEP')
  if (Array.isArray(value)) {
    for (const item of value) checkValue(item, depth - 1)
    return
  }
  for (const name in value) {
    if (name === '__proto__') throw new FmtpError('FMTP_UNSAFE_NAME', name)
    if (!name.isWellFormed()) throw new FmtpError('FMTP_UNSAFE_VALUE', 'a lone surrogate in a name')
    checkValue((value as Record<string, unknown>)[name], depth - 1)
  }
}

/**
 * Parses a JSON text as I-JSON (protocol §3.1): at most `depth` levels (§3.2), no duplicate names, safe integers only.
 * @throws {FmtpError} FMTP_NOT_JSON, FMTP_TOO_DEEP, FMTP_DUPLICATE_NAME, FMTP_UNSAFE_NAME, FMTP_UNSAFE_VALUE
 */
export function parseJson(text: string, depth: number): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FmtpError('FMTP_NOT_JSON', undefined, { cause })
  }
  checkValue(value, depth)
  // What prints as it was read has lost nothing, so no name stood twice: the common case, without a scan.
  if (JSON.stringify(value) !== text) checkDuplicates(text)
  return value
}

/** Walks a text that JSON.parse accepted and `checkValue` found shallow, and looks at the names of each object. */
function checkDuplicates(text: string): void {
  const names: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{') names.push(new Set())
    else if (char === '[') names.push(undefined)
    else if (char === '}' || char === ']') names.pop()
    else if (char === '"') {
      const start = at
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
      const seen = names.at(-1)
      if (seen === undefined || !isName(text, at + 1)) continue
      const name = JSON.parse(text.slice(start, at + 1)) as string
      if (seen.has(name)) throw new FmtpError('FMTP_DUPLICATE_NAME', name.slice(0, 40))
      seen.add(name)
    }
  }
}

function isName(text: string, after: number): boolean {
  let at = after
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++
  return text[at] === ':'
}
