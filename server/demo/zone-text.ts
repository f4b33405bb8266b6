/**
 * A zone as plain text, one record a line: `name [ttl] TYPE value…`, with `;` or `#` comments (the shape of
 * RFC 1035 §5.1 without its directives). For the demo, for tests, and to show operators what they have to publish.
 */

import { isIPv4, isIPv6 } from 'node:net'
import { findCanonicalIp } from '../../routing/ip.ts'
import { FmtpError } from '../../schemas/failures.ts'

export const zoneTypes = ['A', 'AAAA', 'CNAME', 'MX', 'SRV', 'TXT'] as const
export type ZoneType = (typeof zoneTypes)[number]

export const defaultTtlSeconds = 300

export interface ZoneRecord {
  /** Lower case, no trailing dot. */
  readonly name: string
  readonly type: ZoneType
  readonly ttlSeconds: number
  /**
   * As in a zone file: an address, `10 mx.poe.net`, `0 5 3687 fmtp.poe.net`, a name. Of TXT the bare text of any
   * length, without quotes.
   */
  readonly value: string
}

/**
 * The records of a zone text. TXT values with spaces, `;` or `#` stand in double quotes; several are joined.
 * @throws {FmtpError} FMTP_CONFIG with the number of the line.
 */
export function parseZone(text: string): ZoneRecord[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const words = splitLine(line)
    if (words === undefined) throw invalid(`zone line ${index + 1}: a quote is open or in the wrong place`)
    if (words.length === 0) return []
    const [name = '', ...rest] = words
    const ttl = /^\d{1,10}$/.test(rest[0] ?? '') ? Number(rest.shift()) : defaultTtlSeconds
    if (rest[0]?.toUpperCase() === 'IN') rest.shift()
    const [type = '', ...values] = rest
    const value = values.join(type.toUpperCase() === 'TXT' ? '' : ' ')
    try {
      return [parseRecord(name, type, value, ttl)]
    } catch (error) {
      throw error instanceof FmtpError ? invalid(`zone line ${index + 1}: ${error.message}`, error) : error
    }
  })
}

/**
 * One record, checked and in its one spelling.
 * @throws {FmtpError} FMTP_CONFIG naming what is wrong.
 */
export function parseRecord(name: string, type: string, value: string, ttlSeconds: number): ZoneRecord {
  const knownType = zoneTypes.find(known => known === type.toUpperCase())
  if (knownType === undefined)
    throw invalid(`${type || 'a record without type'} is none of ${zoneTypes.join(' ')}`)
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0 || ttlSeconds > 0x7fffffff) {
    throw invalid(`TTL ${ttlSeconds}`)
  }
  return { name: parseHost(name), type: knownType, ttlSeconds, value: parseValue(knownType, value) }
}

function parseValue(type: ZoneType, value: string): string {
  const words = value.split(/\s+/).filter(word => word !== '')
  const isNumbered = (count: number): boolean =>
    words.length === count + 1 &&
    words.slice(0, count).every(word => /^\d{1,5}$/.test(word) && Number(word) <= 65535)
  const numbered = (count: number): string => {
    if (!isNumbered(count)) throw invalid(`${type} ${JSON.stringify(value)}`)
    return [...words.slice(0, count), parseHost(words[count] ?? '')].join(' ')
  }
  switch (type) {
    case 'A':
      if (!isIPv4(value)) throw invalid(`A ${JSON.stringify(value)}`)
      return value
    case 'AAAA':
      // The codec writes `::ffff:192.0.2.1` wrong: hexadecimal only.
      if (!isIPv6(value) || value.includes('%')) throw invalid(`AAAA ${JSON.stringify(value)}`)
      return findCanonicalIp(value) ?? value
    case 'CNAME':
      return numbered(0)
    case 'MX':
      return numbered(1)
    case 'SRV':
      return numbered(3)
    case 'TXT':
      if (Buffer.byteLength(value) > 60_000) throw invalid('TXT of more than 60000 octets')
      return value
  }
}

function parseHost(text: string): string {
  if (text === '.') return text
  const name = text.toLowerCase().replace(/\.$/, '')
  const isName = name.length <= 253 && name.split('.').every(label => /^[a-z0-9_-]{1,63}$/.test(label))
  if (!isName) throw invalid(`${JSON.stringify(text)} is not a name of A-labels`)
  return name
}

/** The words of a line up to its comment; `undefined` when quotes do not match. */
function splitLine(line: string): string[] | undefined {
  const words: string[] = []
  const pattern = /\s*(?:[;#].*|"((?:[^"\\]|\\.)*)"(?=[\s;]|$)|([^\s";]+))/y
  let at = 0
  while (line.slice(at).trim() !== '') {
    pattern.lastIndex = at
    const found = pattern.exec(line)
    if (found === null) return undefined
    const [, quoted, plain] = found
    if (quoted !== undefined) words.push(quoted.replace(/\\(.)/g, '$1'))
    else if (plain !== undefined) words.push(plain)
    at = pattern.lastIndex
  }
  return words
}

function invalid(detail: string, cause?: unknown): FmtpError {
  return new FmtpError('FMTP_CONFIG', detail, { cause })
}
