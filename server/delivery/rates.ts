/** How much a domain that nobody here knows may send, and how often a token may be tried (protocol §12). */
import { BlockList, isIPv6 } from 'node:net'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { findIpBytes } from '../../routing/ip.ts'
import { FmtpError } from '../../schemas/failures.ts'

export interface RatesOptions {
  readonly perSecond: number
  readonly burst: number
  /** Networks in CIDR form that no limit counts for. */
  readonly exempt: readonly string[]
  /** True for a domain that a user of ours has written to. */
  isKnown(domain: string): boolean
}

export interface Rates {
  /** Counts one object of a domain. @throws {FmtpError} FMTP_RATE with retryAfterMs */
  spendObject(domain: string, remote: string): Promise<void>
  /** Counts one try with a token. @throws {FmtpError} FMTP_RATE with retryAfterMs */
  spendTry(remote: string, address: string): Promise<void>
}

const networkFactor = 5

export function createRates(options: RatesOptions): Rates {
  const { perSecond, burst } = options
  const duration = burst / perSecond
  const objects = new RateLimiterMemory({ points: burst, duration })
  const networks = new RateLimiterMemory({ points: burst * networkFactor, duration })
  const tries = new RateLimiterMemory({ points: 10, duration: 60 })
  const triesOfDay = new RateLimiterMemory({ points: 50, duration: 86_400 })
  const exempt = blockListOf(options.exempt)

  function isExempt(remote: string): boolean {
    return exempt.check(remote, isIPv6(remote) ? 'ipv6' : 'ipv4')
  }

  return {
    async spendObject(domain, remote) {
      if (isExempt(remote) || options.isKnown(domain)) return
      await spend(objects, domain)
      await spend(networks, networkOf(remote))
    },
    async spendTry(remote, address) {
      if (isExempt(remote)) return
      for (const limiter of [tries, triesOfDay]) {
        await spend(limiter, `ip ${remote}`)
        await spend(limiter, `account ${address}`)
      }
    },
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
