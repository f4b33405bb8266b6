/**
 * The change from one domain key to the next (protocol §7.1): a new key is made, its record is waited for, and only when
 * nobody can have kept an answer of DNS from before it does the new key sign. An old key is kept until what it made has ended.
 */
import type { Clock } from '../../objects/clock.ts'
import { thumbprintOf } from '../../objects/seals/keys.ts'
import { findRecordKey, keyRecordsMost } from '../../routing/dns/domain-keys.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import type { KeyState, OwnDomain, OwnDomains, OwnKey } from './own-domains.ts'

export interface RotationPorts {
  readonly domains: OwnDomains
  readonly resolver: Pick<Resolver, 'txt'>
  readonly clock: Clock
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

/** One key of a domain of ours, for people. */
export interface KeyReport {
  readonly domain: string
  readonly selector: string
  readonly state: KeyState
  /** Text of its TXT record at `fmtpkey.<domain>`. */
  readonly record: string
  /** Whether DNS shows it; `unknown` where nobody answered, `none` where a domain needs no DNS. */
  readonly dns: 'shown' | 'missing' | 'unknown' | 'none'
  /** Of the next key: from when on it signs, if DNS goes on showing it. */
  readonly signsFrom?: string
  /** Of an old key: from when on nothing that it made is believed any more. */
  readonly mayBeRetiredFrom?: string
}

export interface RotateOptions {
  /** True: does not wait until answers of DNS from before the record have ended everywhere. */
  readonly isHurried?: boolean
}

/** What DNS says of a domain's keys. */
interface Shown {
  has(key: OwnKey): boolean
  readonly ttlMs: number
}

interface Sighting {
  readonly sinceMs: number
  readonly holdMs: number
}

const askAgainMs = 60_000

export interface Rotation {
  /** Lets the next key of a domain sign, if it may. @throws {FmtpError} FMTP_DNS_FAILED, FMTP_NOT_FOUND */
  check(domain: Domain): Promise<void>
  /**
   * Makes the next key of a domain, or goes on with the one that is there, and gives all its keys as they are then.
   * @throws {FmtpError} FMTP_NOT_FOUND
   */
  rotate(domain: Domain, options?: RotateOptions): Promise<KeyReport[]>
  /** The keys of one domain of ours, in order of their selectors. @throws {FmtpError} FMTP_NOT_FOUND */
  list(domain: Domain): Promise<KeyReport[]>
  /**
   * Deletes a key that does not sign; its record is to be taken out of DNS.
   * @throws {FmtpError} FMTP_NOT_FOUND, FMTP_CONFIG for the key that signs, and for one whose credentials live still
   */
  retire(domain: Domain, selector: string, options?: { readonly isForced?: boolean }): OwnKey
}

export function createRotation({ domains, resolver, clock, onEvent }: RotationPorts): Rotation {
  /** When DNS was first seen to show a next key, by its thumbprint. */
  const sightings = new Map<string, Sighting>()
  const hurried = new Set<string>()

  function requireOwn(domain: Domain): OwnDomain {
    const own = domains.get(domain)
    if (own === undefined) throw new FmtpError('FMTP_NOT_FOUND', `${domain} is not served here`)
    return own
  }

  async function ask(domain: Domain): Promise<Shown> {
    const { records, ttlMs } = await resolver.txt(`fmtpkey.${domain}`, { fresh: true })
    // Others look at the first records only, and at those that they can read.
    const keys = records.slice(0, keyRecordsMost).flatMap(record => findRecordKey(record) ?? [])
    const has = ({ selector, key }: OwnKey): boolean =>
      keys.some(each => each.selector === selector && thumbprintOf(each.jwk) === key.thumbprint)
    return { has, ttlMs }
  }

  async function check(domain: Domain): Promise<void> {
    const own = requireOwn(domain)
    const { next } = own
    if (next === undefined) return
    if (!needsDns(domain)) return switchTo(own, next)
    const shown = await ask(domain)
    if (!shown.has(next)) sightings.delete(next.key.thumbprint)
    else if (see(next, shown.ttlMs) <= clock.now()) switchTo(own, next)
  }

  /** Notes that DNS shows a key, and gives from when on it may sign, unix ms. */
  function see({ key: { thumbprint } }: OwnKey, ttlMs: number): number {
    const nowMs = clock.now()
    const before = sightings.get(thumbprint) ?? { sinceMs: nowMs, holdMs: limits.keyRefreshMs }
    const holdMs = Math.max(before.holdMs, Math.min(ttlMs, limits.keyMostMs))
    sightings.set(thumbprint, { ...before, holdMs })
    return hurried.has(thumbprint) ? nowMs : before.sinceMs + holdMs
  }

  function switchTo(own: OwnDomain, { selector, key: { thumbprint } }: OwnKey): void {
    // Another question may have been answered first, or the key was deleted meanwhile.
    if (own.next?.selector !== selector) return
    const from = own.current.selector
    own.switchTo(selector, clock.now())
    sightings.delete(thumbprint)
    hurried.delete(thumbprint)
    onEvent('key.switched', { domain: own.domain, from, to: selector })
  }

  async function list(domain: Domain): Promise<KeyReport[]> {
    const own = requireOwn(domain)
    const shown = needsDns(domain) ? await ask(domain).catch(() => undefined) : undefined
    const dnsOf = (key: OwnKey): KeyReport['dns'] => {
      if (!needsDns(domain)) return 'none'
      return shown === undefined ? 'unknown' : shown.has(key) ? 'shown' : 'missing'
    }
    return own.keys.map(key => {
      const { selector, record } = key
      const sighting = sightings.get(key.key.thumbprint)
      return {
        domain,
        selector,
        state: own.stateOf(selector),
        record,
        dns: dnsOf(key),
        ...instant('signsFrom', sighting && sighting.sinceMs + sighting.holdMs),
        ...instant('mayBeRetiredFrom', retiredFromMs(own, selector)),
      }
    })
  }

  return {
    check,
    list,

    async rotate(domain, { isHurried = false } = {}) {
      const { key } = requireOwn(domain).ensureNext()
      if (isHurried) hurried.add(key.thumbprint)
      // A name server that does not answer now is asked again; the key is made all the same.
      await check(domain).catch(noteFailed(domain, onEvent))
      return list(domain)
    },

    retire(domain, selector, { isForced = false } = {}) {
      const own = requireOwn(domain)
      const fromMs = retiredFromMs(own, selector) ?? 0
      if (!isForced && fromMs > clock.now()) {
        const from = new Date(fromMs).toISOString()
        throw new FmtpError('FMTP_CONFIG', `credentials that ${selector} made may live until ${from}`)
      }
      const key = own.delete(selector)
      onEvent('key.retired', { domain, selector })
      return key
    },
  }
}

export interface WatchPorts {
  readonly rotation: Rotation
  readonly domains: OwnDomains
  readonly clock: Clock
  onEvent: RotationPorts['onEvent']
}

export interface RotationWatch extends AsyncDisposable {
  start(): void
}

/** Looks each minute from its start whether a next key may sign, until it is disposed of. DNS is asked only where there is one. */
export function watchRotation({ rotation, domains, clock, onEvent }: WatchPorts): RotationWatch {
  const ended = new AbortController()
  let running: Promise<void> = Promise.resolve()
  async function run(): Promise<void> {
    while (!ended.signal.aborted) {
      for (const domain of domains.keys()) await rotation.check(domain).catch(noteFailed(domain, onEvent))
      await clock.sleep(askAgainMs, ended.signal)
    }
  }
  return {
    start() {
      running = run()
    },
    async [Symbol.asyncDispose]() {
      ended.abort()
      await running
    },
  }
}

function noteFailed(domain: Domain, onEvent: RotationPorts['onEvent']): (thrown: unknown) => void {
  return thrown => {
    const { code, message: reason } = toFmtpError(thrown)
    onEvent('key.check-failed', { domain, code, reason })
  }
}

/** An island has no DNS, and nobody who would ask it. */
function needsDns(domain: Domain): boolean {
  return domain !== 'localhost'
}

/** When the last credential of a key that signs no more has ended for everybody's clock, unix ms. */
function retiredFromMs(own: OwnDomain, selector: string): number | undefined {
  const replacedAtMs = own.findReplacedAtMs(selector)
  return replacedAtMs === undefined ? undefined : replacedAtMs + limits.credentialMs + limits.clockSkewMs
}

function instant<N extends string>(name: N, ms: number | undefined): { readonly [name in N]?: string } {
  return (ms === undefined ? {} : { [name]: new Date(ms).toISOString() }) as { readonly [name in N]?: string }
}
