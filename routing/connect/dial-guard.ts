/**
 * What may be dialled (protocol §10): public addresses and harmless ports only, so that nobody makes this
 * server knock at doors inside its own network; and no host again that failed a short while ago.
 * The judgement is about the address that will be dialled, after resolution, never about a name.
 */

import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { Clock } from '../../objects/clock.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { findCanonicalIp, findIpBytes } from '../ip.ts'

export interface GuardOptions {
  /** Networks that may be dialled though they are not public: `10.1.0.0/16`, `fd00::/8`, `127.0.0.1`. */
  readonly allow: readonly string[]
  readonly clock: Clock
}

export interface Guard {
  /**
   * Passes an address that may be dialled at this port.
   * @throws {FmtpError} FMTP_GUARDED for all others, and for what is no IP address.
   */
  check(address: string, port: number): void
  /** Lets a host rest for `limits.restMs`: it failed its hello, whoever named it. */
  rest(host: string, port: number): void
  isResting(host: string, port: number): boolean
}

/** RFC 6890 and the registries after it: nothing of these is anybody's server on the Internet. */
const closedIpv4 = createList([
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // carrier-grade NAT
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, metadata services of clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
])
/** All that is global unicast is open, all else closed: loopback, ULA, link-local, site-local, multicast, … */
const openIpv6 = createList(['2000::/3'])
const closedIpv6 = createList([
  '2001::/23', // protocol assignments: benchmarks, ORCHID
  '2001:db8::/32', // documentation
  '3fff::/20', // documentation
])

const mapped = createList(['::ffff:0:0/96'])
const nat64 = createList(['64:ff9b::/96'])
const sixToFour = createList(['2002::/16'])
const teredo = createList(['2001::/32'])

const mostResting = 10_000

/**
 * A guard with these exceptions.
 * @throws {FmtpError} FMTP_CONFIG naming the text in `allow` that is no network.
 */
export function createGuard({ allow, clock }: GuardOptions): Guard {
  const allowed = createList(allow)
  /** Unix ms until which a host rests, in the order they failed. */
  const restUntil = new Map<string, number>()
  const keyOf = (host: string, port: number): string =>
    `${findCanonicalIp(host) ?? host.toLowerCase()} ${port}`

  return {
    check(address, port) {
      const guarded = (why: string): FmtpError =>
        new FmtpError('FMTP_GUARDED', `${address} port ${port}: ${why}`)
      if (!Number.isInteger(port) || port > 65535 || (port !== 443 && port < 1024)) {
        throw guarded('port is neither 443 nor from 1024')
      }
      const ip = findCanonicalIp(address)
      if (ip === undefined) throw guarded('no IP address')
      if (!has(allowed, ip) && !isOpen(ip, allowed)) throw guarded('not a public address')
    },

    rest(host, port) {
      const key = keyOf(host, port)
      restUntil.delete(key)
      const [oldest] = restUntil.keys()
      if (restUntil.size >= mostResting && oldest !== undefined) restUntil.delete(oldest)
      restUntil.set(key, clock.now() + limits.restMs)
    },

    isResting(host, port) {
      const key = keyOf(host, port)
      const until = restUntil.get(key)
      if (until === undefined) return false
      const leftMs = until - clock.now()
      // More than the whole rest is left when the clock was set back.
      if (leftMs > 0 && leftMs <= limits.restMs) return true
      restUntil.delete(key)
      return false
    },
  }
}

function isOpen(ip: string, allowed: BlockList): boolean {
  if (isIPv4(ip)) return has(allowed, ip) || !has(closedIpv4, ip)
  const embedded = findEmbedded(ip)
  // Packets to such an address end at the IPv4 address inside.
  if (embedded !== undefined) return embedded.every(inner => isOpen(inner, allowed))
  return has(openIpv6, ip) && !has(closedIpv6, ip)
}

/** The IPv4 addresses that an IPv6 address stands for; `undefined` if it stands for itself. */
function findEmbedded(ip: string): readonly string[] | undefined {
  const octets = findIpBytes(ip) ?? []
  const at = (start: number): string => octets.slice(start, start + 4).join('.')
  if (has(mapped, ip) || has(nat64, ip)) return [at(12)]
  if (has(sixToFour, ip)) return [at(2)]
  // The Teredo server, and the client, whose bits are inverted (RFC 4380 §4).
  if (has(teredo, ip))
    return [
      at(4),
      octets
        .slice(12)
        .map(octet => octet ^ 0xff)
        .join('.'),
    ]
  return undefined
}

/** A BlockList, because it compares prefixes; IPv4 rules never match mapped addresses here, `isOpen` unwraps them. */
function createList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(network) ?? []
    const width = isIPv4(address) ? 32 : 128
    const prefix = bits === undefined ? width : Number(bits)
    const isNetwork = isIPv4(address) || (isIPv6(address) && !address.includes('%'))
    if (!isNetwork || prefix > width) {
      throw new FmtpError(
        'FMTP_CONFIG',
        `${JSON.stringify(network)} is not a network like 10.0.0.0/8 or fd00::/8`,
      )
    }
    list.addSubnet(address, prefix, width === 32 ? 'ipv4' : 'ipv6')
  }
  return list
}

function has(list: BlockList, ip: string): boolean {
  return list.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6')
}
