/** How much those may send and ask whom nobody here knows, and how often a token may be tried (protocol §12.2). */
import { BlockList, isIP, isIPv6 } from 'node:net'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import type { Clock } from '../../objects/clock.ts'
import { findIpBytes } from '../../routing/ip.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { LimitName, Refusals } from './refusals.ts'

export interface RatesOptions {
  readonly perSecond: number
  readonly burst: number
  /** Networks in CIDR form that no limit counts for. */
  readonly exempt: readonly string[]
  readonly clock: Clock
  /** True for a domain that a user of ours has written to, or has on the whitelist. */
  isKnown(domain: string): Promise<boolean>
  /** True for a domain that was heard for the first time less than a day ago. */
  isNew(domain: string): boolean
  readonly refusals: Refusals
}

/** Takes back a try that turned out to be right: only false ones count. */
export type Forgive = () => Promise<void>

export interface Rates {
  /** True for an address that no limit counts for. */
  isExempt(remote: string): boolean
  /** The error of a limit that is kept elsewhere. It is counted. */
  refuse(limit: LimitName, who: string, retryAfterMs: number): FmtpError
  /** Counts one object of a domain. @throws {FmtpError} FMTP_RATE with retryAfterMs */
  spendObject(domain: string, remote: string): Promise<void>
  /** Counts one request of somebody unproven. @throws {FmtpError} FMTP_RATE with retryAfterMs */
  spendRequest(remote: string): Promise<void>
  /**
   * Counts one try with a token. Too many from one IP address are refused; too many for one account make each next one
   * wait, from wherever it comes: refusing them would let anybody lock a user out.
   * @throws {FmtpError} FMTP_RATE with retryAfterMs
   */
  spendTry(remote: string, address: string): Promise<Forgive>
}

const networkFactor = 5
const remotesMost = 10_000

export function createRates(options: RatesOptions): Rates {
  const { perSecond, burst, clock, refusals } = options
  const duration = burst / perSecond
  const objects = new RateLimiterMemory({ points: burst, duration })
  const young = new RateLimiterMemory({ points: Math.ceil(burst / limits.newPeerShare), duration })
  const networks = new RateLimiterMemory({ points: burst * networkFactor, duration })
  const requests = new RateLimiterMemory({ points: limits.guestRequestsPerMinute, duration: 60 })
  const tries = [
    new RateLimiterMemory({ points: limits.triesPerMinute, duration: 60 }),
    new RateLimiterMemory({ points: limits.triesPerDay, duration: 86_400 }),
  ]
  const isExempt = exemption(options.exempt)

  async function isOver(limiter: RateLimiterMemory, key: string): Promise<boolean> {
    try {
      await limiter.consume(key)
      return false
    } catch (thrown) {
      if (!(thrown instanceof RateLimiterRes)) throw thrown
      return true
    }
  }

  function refuse(limit: LimitName, who: string, retryAfterMs: number): FmtpError {
    refusals.note(limit, who)
    return new FmtpError('FMTP_RATE', `${limit} ${who}`, { retryAfterMs })
  }

  async function spend(limit: LimitName, limiter: RateLimiterMemory, who: string, key = who): Promise<void> {
    try {
      await limiter.consume(key)
    } catch (thrown) {
      if (!(thrown instanceof RateLimiterRes)) throw thrown
      throw refuse(limit, who, Math.max(1, thrown.msBeforeNext))
    }
  }

  return {
    isExempt,
    refuse,
    async spendObject(domain, remote) {
      if (isExempt(remote) || (await options.isKnown(domain))) return
      if (options.isNew(domain)) await spend('newPeerObjects', young, domain)
      else await spend('peerObjects', objects, domain)
      await spend('networkObjects', networks, networkOf(remote))
    },
    async spendRequest(remote) {
      if (!isExempt(remote)) await spend('guestRequests', requests, hostOf(remote))
    },
    async spendTry(remote, address) {
      if (isExempt(remote)) return async () => undefined
      const host = hostOf(remote)
      for (const limiter of tries) await spend('tries', limiter, host, `ip ${host}`)
      const keys = [`ip ${host}`, `account ${address}`]
      const over = await Promise.all(tries.map(limiter => isOver(limiter, `account ${address}`)))
      if (over.includes(true)) await clock.sleep(limits.trySlowMs)
      return async () => {
        await Promise.all(tries.flatMap(limiter => keys.map(key => limiter.reward(key))))
      }
    },
  }
}

/** Whether an address is in one of the networks; each address is looked at once. */
function exemption(exempt: readonly string[]): (remote: string) => boolean {
  const list = blockListOf(exempt)
  const known = new BoundedMap<string, boolean>(remotesMost)
  return remote => {
    const before = known.get(remote)
    if (before !== undefined) return before
    // What a proxy says may be no address at all.
    const family = isIP(remote)
    const isIn = family !== 0 && list.check(remote, family === 6 ? 'ipv6' : 'ipv4')
    known.set(remote, isIn)
    return isIn
  }
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/')
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}

/** The /24 or /48 that an address is in. */
export function networkOf(remote: string): string {
  return prefixOf(remote, 24, 48)
}

/** What counts as one host: an IPv4 address, or the /64 that every line with IPv6 has. What is no address stands for itself. */
export function hostOf(remote: string): string {
  return prefixOf(remote, 32, 64)
}

/** The network of so many bits that an address is in. An IPv4 address that came in IPv6's clothes is one all the same. */
function prefixOf(remote: string, bitsOf4: number, bitsOf6: number): string {
  const octets = findIpBytes(remote)
  if (octets === undefined) return remote
  const isMapped =
    octets.length === 16 && octets.slice(0, 10).every(octet => octet === 0) && octets[10] === 255
  const own = isMapped ? octets.slice(12) : octets
  const bits = own.length === 4 ? bitsOf4 : bitsOf6
  const kept = own.map((octet, at) => (at < bits / 8 ? octet : 0))
  if (own.length === 4) return bits === 32 ? kept.join('.') : `${kept.join('.')}/${bits}`
  const words = Array.from({ length: bits / 16 }, (_, at) =>
    (256 * (kept[2 * at] ?? 0) + (kept[2 * at + 1] ?? 0)).toString(16),
  )
  return `${words.join(':')}::/${bits}`
}
