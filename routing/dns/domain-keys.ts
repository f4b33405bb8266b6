/**
 * The public keys of a domain, from TXT at `fmtpkey.<domain>` (protocol §7.1): fetched, parsed, cached. DNS is the only
 * authority; a domain of our own is answered from its own key files, so that an island needs no DNS.
 */
import type { Clock } from '../../objects/clock.ts'
import { jwkOfRecordKey, thumbprintOf, verifierOf } from '../../objects/seals/keys.ts'
import type { DomainKey, DomainKeys } from '../../objects/seals/seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import type { Resolver } from './resolver.ts'

/** What happens to the key of a domain, for log and trail. */
export type KeyEvent =
  | { readonly what: 'key-miss'; readonly domain: string }
  | {
      readonly what: 'key-fetched'
      readonly domain: string
      readonly record: string
      readonly selectors: readonly string[]
      /** DNSSEC vouches for them. */
      readonly secure: boolean
      readonly ms: number
    }
  | {
      readonly what: 'key-failed'
      readonly domain: string
      readonly record: string
      readonly code: string
      readonly ms: number
    }

export interface DomainKeyPorts {
  readonly resolver: Resolver
  readonly clock: Clock
  /** Keys of a domain that is served here, else `undefined`. */
  findOwn(domain: string): readonly DomainKey[] | undefined
  /** True: no key is believed, nor that there is none, for which DNSSEC does not vouch. */
  readonly requireSecure?: boolean
  onEvent(event: KeyEvent): void
  /** DNS shows these keys of another domain, and they are believed; none where it shows none. */
  onKeys?(domain: string, keys: readonly DomainKey[]): void
}

interface Cached {
  readonly keys: readonly DomainKey[]
  readonly isSecure: boolean
  readonly fetchedAtMs: number
  readonly expiresAtMs: number
}

const cachedMost = 10_000
/** Of the records at the name of a domain's keys, so many are looked at. */
export const keyRecordsMost = 16

export interface DnsKeys extends DomainKeys {
  /** True where DNSSEC vouched for the keys that are known of a domain. */
  isSecure(domain: string): boolean
}

export function createDomainKeys(ports: DomainKeyPorts): DnsKeys {
  const cache = new Map<string, Cached>()
  const flights = new Map<string, Promise<Cached>>()

  async function fetch(domain: string, before: Cached | undefined): Promise<Cached> {
    const record = `fmtpkey.${domain}`
    const startMs = ports.clock.now()
    try {
      const answer = await ports.resolver.txt(record, { fresh: before !== undefined })
      const { isSecure } = answer
      if (ports.requireSecure === true && !isSecure) throw new FmtpError('FMTP_NOT_SECURE', record)
      const keys = parseRecords(answer.records, before?.keys ?? [])
      const nowMs = ports.clock.now()
      const keptMs =
        keys.length === 0 ? limits.keyAbsentMs : clamp(answer.ttlMs, limits.keyLeastMs, limits.keyMostMs)
      const cached = { keys, isSecure, fetchedAtMs: nowMs, expiresAtMs: nowMs + keptMs }
      if (cache.size >= cachedMost) cache.delete(cache.keys().next().value ?? '')
      cache.set(domain, cached)
      const selectors = keys.map(key => key.selector)
      ports.onEvent({ what: 'key-fetched', domain, record, selectors, secure: isSecure, ms: nowMs - startMs })
      ports.onKeys?.(domain, keys)
      return cached
    } catch (thrown) {
      const code = thrown instanceof FmtpError ? thrown.code : 'FMTP_INTERNAL'
      ports.onEvent({ what: 'key-failed', domain, record, code, ms: ports.clock.now() - startMs })
      throw thrown
    }
  }

  function fetchOnce(domain: string, before: Cached | undefined): Promise<Cached> {
    const flight = flights.get(domain) ?? fetch(domain, before).finally(() => flights.delete(domain))
    flights.set(domain, flight)
    return flight
  }

  return {
    isSecure: domain => cache.get(domain)?.isSecure === true,

    async find(domain, options = {}) {
      const own = ports.findOwn(domain)
      if (own !== undefined) return own
      const nowMs = ports.clock.now()
      let cached = cache.get(domain)
      if (cached === undefined || cached.expiresAtMs <= nowMs) {
        ports.onEvent({ what: 'key-miss', domain })
        cached = await fetchOnce(domain, cached)
      } else if (options.isFresh === true && cached.fetchedAtMs + limits.keyRefreshMs <= nowMs) {
        cached = await fetchOnce(domain, cached)
      }
      if (cached.keys.length === 0) throw new FmtpError('FMTP_NO_KEY', domain)
      return cached.keys
    },
  }
}

const recordPattern = /^v=FMTP1; ?k=ed25519; ?s=([A-Za-z0-9_-]{1,64}); ?p=([A-Za-z0-9+/]{43}=)$/

/** The key of a `fmtpkey` record. `undefined`: it is none. */
export function findRecordKey(
  record: string,
): { readonly selector: string; readonly jwk: PublicJwk } | undefined {
  const [, selector, text] = recordPattern.exec(record) ?? []
  const jwk = text === undefined ? undefined : jwkOfRecordKey(text)
  return selector === undefined || jwk === undefined ? undefined : { selector, jwk }
}

/** Records that are not FMTP keys are passed over. A key that was known keeps its memo of credentials. */
function parseRecords(records: readonly string[], before: readonly DomainKey[]): readonly DomainKey[] {
  const keys: DomainKey[] = []
  for (const record of records.slice(0, keyRecordsMost)) {
    const { selector, jwk } = findRecordKey(record) ?? {}
    if (selector === undefined || jwk === undefined) continue
    const thumbprint = thumbprintOf(jwk)
    keys.push(
      before.find(key => key.selector === selector && key.thumbprint === thumbprint) ??
        domainKeyOf(selector, jwk),
    )
  }
  return keys
}

export function domainKeyOf(selector: string, jwk: PublicJwk): DomainKey {
  return { selector, thumbprint: thumbprintOf(jwk), verifier: verifierOf(jwk), credentials: new Map() }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}
