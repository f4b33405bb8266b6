/** How much those may send and ask whom nobody here knows, and how often a token may be tried (protocol §12.2). */
import { BlockList, isIP, isIPv6 } from 'node:net'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import type { Clock } from '../../objects/clock.ts'
import { findIpBytes } from '../../routing/ip.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'

export interface RatesOptions {
  readonly perSecond: number
  readonly burst: number
  /** Networks in CIDR form that no limit counts for. */
  readonly exempt: readonly string[]
  readonly clock: Clock
  /** True for a domain that a user of ours has written to, or has on the whitelist. */
  isKnown(domain: string): Promise<boolean>
}

/** Takes back a try that turned out to be right: only false ones count. */
export type Forgive = () => Promise<void>

export interface Rates {
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
  const { perSecond, burst, clock } = options
  const duration = burst / perSecond
  const objects = new RateLimiterMemory({ points: burst, duration })
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

  return {
    async spendObject(domain, remote) {
      if (isExempt(remote) || (await options.isKnown(domain))) return
      await spend(objects, domain)
      await spend(networks, networkOf(remote))
    },
    async spendRequest(remote) {
      if (!isExempt(remote)) await spend(requests, remote)
    },
    async spendTry(remote, address) {
      if (isExempt(remote)) return async () => undefined
      for (const limiter of tries) await spend(limiter, `ip ${remote}`)
      const keys = [`ip ${remote}`, `account ${address}`]
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

async function spend(limiter: RateLimiterMemory, key: string): Promise<void> {
  try {
    await limiter.consume(key)
  } catch (thrown) {
    if (!(thrown instanceof RateLimiterRes)) throw thrown
    throw new FmtpError('FMTP_RATE', key, { retryAfterMs: Math.max(1, thrown.msBeforeNext) })
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

/** The /24 or /48 that an address is in, as text. An IPv4 address that came in IPv6's clothes is one all the same. */
function networkOf(remote: string): string {
  const octets = findIpBytes(remote) ?? []
  const isMapped =
    octets.length === 16 && octets.slice(0, 10).every(octet => octet === 0) && octets[10] === 255
  if (isMapped) return octets.slice(12, 15).join('.')
  return octets.slice(0, octets.length === 4 ? 3 : 6).join('.')
}
