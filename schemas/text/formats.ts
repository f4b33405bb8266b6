/**
 * The named text formats that schemas may ask for (`format: 'endpoint'`): how each is checked, and the words an
 * error uses for it. Stands alone because validate.ts needs both and config.ts the names; pure, so no node:net.
 */

import type { Contact } from '../kinds/contact.ts'
import { isAddress, isDomain, isName, isObjectId } from './names.ts'

export interface Format {
  /** What was expected, in words that fit after "expected". */
  readonly expected: string
  readonly test: (text: string) => boolean
}

/** True for dotted IPv4 with four decimal parts and no leading zeros, which some systems read as octal. */
export function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

/** True for IPv6 in any of its spellings, without brackets and without a zone (`%eth0`). */
export function isIpv6(text: string): boolean {
  if (text.length > 45) return false
  const halves = text.split('::')
  if (halves.length > 2) return false
  const groups = halves.flatMap(half => (half === '' ? [] : half.split(':')))
  // The last 32 bits may be written as IPv4; they count as two groups.
  const last = groups.at(-1)
  const endsInIpv4 = last?.includes('.') === true && !text.endsWith('::') && isIpv4(last)
  if (endsInIpv4) groups.splice(-1, 1, '0', '0')
  if (!groups.every(group => /^[0-9a-f]{1,4}$/i.test(group))) return false
  return halves.length === 2 ? groups.length <= 7 : groups.length === 8
}

export interface Endpoint {
  /** IPv4, or IPv6 without brackets. */
  readonly address: string
  /** 0 to 65535; 0 lets the system choose. */
  readonly port: number
}

/** Address and port of `127.0.0.1:3687` or `[::1]:3687`; `undefined`: the text is neither. */
export function findEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-f:.]{2,45})\]|([0-9.]{7,15})):(0|[1-9]\d{0,4})$/i.exec(text)
  if (match === null) return undefined
  const [, v6, v4, digits] = match
  const port = Number(digits)
  if (port > 65535) return undefined
  if (v6 !== undefined && isIpv6(v6)) return { address: v6, port }
  if (v4 !== undefined && isIpv4(v4)) return { address: v4, port }
  return undefined
}

/** True for an IPv4 or IPv6 network in CIDR form, like `10.0.0.0/8` or `fd00::/8`. */
export function isNetwork(text: string): boolean {
  const match = /^([0-9a-f:.]{2,45})\/(0|[1-9]\d{0,2})$/i.exec(text)
  if (match === null) return false
  const [, address = '', bits] = match
  if (isIpv4(address)) return Number(bits) <= 32
  return isIpv6(address) && Number(bits) <= 128
}

export interface Route {
  /** Pattern of the domains that are reached there; missing: those of the server itself. */
  readonly pattern?: string
  /** In CIDR form. */
  readonly network: string
  readonly contact: Contact
}

/**
 * `10.0.0.0/8 tcp 10.0.0.5:3687 0`: who asks from this network is told this contact. Without a number it is 0. With
 * `tales.poe.net=` before it the contact is that of a child.
 */
export function findRoute(text: string): Route | undefined {
  const match = /^(?:([a-z0-9.*-]+)=)?([^\s=]+) (tcp|wss) (\S+):([1-9]\d{0,4})(?: (\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const [, pattern, network = '', protocol, place = '', port, priority = 0] = match
  const host = place.replace(/^\[(.*)\]$/, '$1')
  if (!isNetwork(network) || !isHost(host) || Number(port) > 65535 || Number(priority) > 65535)
    return undefined
  const contact = {
    protocol: protocol as Contact['protocol'],
    host,
    port: Number(port),
    priority: Number(priority),
  }
  return { ...(pattern === undefined ? {} : { pattern }), network, contact }
}

function isHost(text: string): boolean {
  return isDomainName(text) || isIpv4(text) || isIpv6(text)
}

export interface ParentRule {
  /** Of the domains that are looked up there. */
  readonly pattern: string
  readonly parent: string
}

/** Pattern and parent of `*.lenore.org=poe.net`; `poe.net` alone is the parent for all. `undefined`: the text is neither. */
export function findParentRule(text: string): ParentRule | undefined {
  const [, pattern = '*', parent = ''] = /^(?:([a-z0-9.*-]+)=)?([a-z0-9.-]+)$/.exec(text) ?? []
  return isDomainName(parent) ? { pattern, parent } : undefined
}

/** True for letters, digits and hyphens in lower case, dots between labels; never for something like an IPv4 address. */
export function isDomainName(text: string): boolean {
  if (text.length > 253) return false
  const labels = text.split('.')
  return (
    labels.every(label => label.length <= 63 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  )
}

function isOrigin(text: string): boolean {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return false
  return new URL(text).origin === text
}

const instantPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

function isInstant(text: string): boolean {
  if (!instantPattern.test(text)) return false
  const ms = Date.parse(text)
  // The engine takes 31 February for 3 March: what prints as it was read is a day that exists.
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text
}

export const formats = {
  endpoint: {
    expected: 'an address and port, like 127.0.0.1:3687 or [::1]:3687',
    test: text => findEndpoint(text) !== undefined,
  },
  'name-server': {
    expected: 'the address of a name server, like 9.9.9.9, ::1 or 127.0.0.1:5353',
    test: text => isIpv4(text) || isIpv6(text) || findEndpoint(text) !== undefined,
  },
  network: {
    expected: 'a network, like 10.0.0.0/8 or fd00::/8',
    test: isNetwork,
  },
  route: {
    expected:
      'a network, tcp or wss, a host with port and perhaps a priority, like 10.0.0.0/8 tcp 10.0.0.5:3687 0; that of a child after its domain and =',
    test: text => findRoute(text) !== undefined,
  },
  domain: {
    expected: 'a domain name in lower case, like poe.net',
    test: isDomainName,
  },
  address: { expected: 'an address, like edgar@poe.net', test: isAddress },
  'a-labels': { expected: 'a domain name in lower case, like poe.net', test: isDomain },
  name: { expected: 'an address or a domain, like edgar@poe.net or poe.net', test: isName },
  'object-id': { expected: 'an object id, like 1763629200000-k3v7q2m5x4ab.edgar@poe.net', test: isObjectId },
  instant: { expected: 'a time in UTC, like 2026-11-20T09:00:00.000Z', test: isInstant },
  host: {
    expected: 'a host name in lower case, like chat.poe.net, or an address without port',
    test: isHost,
  },
  'domain-pattern': {
    expected: 'a domain name in lower case with * for any part, like *.lenore.org',
    test: text => /^[a-z0-9.*-]+$/.test(text),
  },
  parent: {
    expected: 'a domain, or a pattern and a domain, like poe.net or *.lenore.org=poe.net',
    test: text => findParentRule(text) !== undefined,
  },
  'origin-or-empty': {
    expected: 'empty, or an origin like https://poe.net, without path, slash at the end or default port',
    test: text => text === '' || isOrigin(text),
  },
} as const satisfies Record<string, Format>

export type FormatName = keyof typeof formats
