/**
 * IP addresses as bytes and in one canonical text, because one address has many spellings
 * (`::ffff:10.0.0.1`, `::ffff:a00:1`) and both the guard and DNS have to compare them (protocol §10).
 */

import { isIPv4, isIPv6 } from 'node:net'

/** The 4 or 16 octets of an address, its zone (`%eth0`) left out. `undefined`: not an IP address. */
export function findIpBytes(text: string): readonly number[] | undefined {
  if (isIPv4(text)) return text.split('.').map(Number)
  const words = findWords(text)
  return words?.flatMap(word => [word >> 8, word & 0xff])
}

/** Lower case, hexadecimal, `::` for the longest run of zeros, no zone. `undefined`: not an IP address. */
export function findCanonicalIp(text: string): string | undefined {
  if (isIPv4(text)) return text
  if (!isIPv6(text)) return undefined
  // The URL parser writes RFC 5952, but IPv4-mapped addresses in hexadecimal: exactly one spelling each.
  return new URL(`http://[${text.replace(/%.*$/, '')}]`).hostname.slice(1, -1)
}

/** True for 127.0.0.0/8 and ::1: what is said there never crosses a network. */
export function isLoopback(text: string): boolean {
  return (isIPv4(text) && text.startsWith('127.')) || findCanonicalIp(text) === '::1'
}

function findWords(text: string): number[] | undefined {
  const canonical = isIPv6(text) ? findCanonicalIp(text) : undefined
  if (canonical === undefined) return undefined
  const [head = '', tail] = canonical.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...zeros, ...after].map(word => Number.parseInt(word, 16))
}
