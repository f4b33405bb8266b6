/**
 * Keeps from dialling a domain that fails again and again (protocol §10.3): lookups and new connections to it fail at once
 * for a while. Deliveries have a schedule of their own, and are not held back.
 */
import type { Clock } from '../../objects/clock.ts'
import { type Concern, FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'

export interface Breaker {
  /** The failure that stands for asking the domain; `undefined` where it may be dialled. It says when that is. */
  findHeld(domain: string): FmtpError | undefined
  /** The domain could not be reached. */
  fail(domain: string, error: FmtpError): void
  /** The domain proved that it is there. */
  heard(domain: string): void
  /** Domains that are held back, with the unix ms until which they are. */
  list(): readonly { readonly domain: string; readonly untilMs: number }[]
}

interface Trouble {
  /** Unix ms of the last failures, the oldest first. */
  readonly failedAtMs: readonly number[]
  readonly heldFromMs?: number
}

const domainsMost = 10_000

/** Which failures say something about whether the domain answers. */
const isTelling: { readonly [C in Concern]: boolean } = {
  request: true,
  way: true,
  'dead-end': true,
  never: true,
  lie: true,
  lost: true,
  shutdown: false,
  rest: false,
}

export function createBreaker(clock: Clock): Breaker {
  /** In the order of their last failures. */
  const troubles = new Map<string, Trouble>()

  /** 0 where a domain is not held back, or the clock was set back. */
  function leftMs(trouble: Trouble | undefined): number {
    if (trouble?.heldFromMs === undefined) return 0
    const sinceMs = clock.now() - trouble.heldFromMs
    return sinceMs < 0 ? 0 : Math.max(0, limits.breakerMs - sinceMs)
  }

  return {
    findHeld(domain) {
      const retryAfterMs = leftMs(troubles.get(domain))
      if (retryAfterMs === 0) return undefined
      return new FmtpError('FMTP_RESTING', `${domain} failed too often`, { retryAfterMs })
    },

    fail(domain, error) {
      // A domain without a key or a host has answered; one that proved to be another rests by its host.
      if (!error.isTemporary || !isTelling[error.concern]) return
      const before = troubles.get(domain)
      if (leftMs(before) > 0) return
      const nowMs = clock.now()
      const recent = before?.heldFromMs === undefined ? (before?.failedAtMs ?? []) : []
      const failedAtMs = [...recent, nowMs].filter(atMs => atMs <= nowMs && atMs > nowMs - limits.breakerMs)
      troubles.delete(domain)
      const [oldest] = troubles.keys()
      if (troubles.size >= domainsMost && oldest !== undefined) troubles.delete(oldest)
      const isHeld = failedAtMs.length >= limits.breakerFailures
      troubles.set(domain, isHeld ? { failedAtMs: [], heldFromMs: nowMs } : { failedAtMs })
    },

    heard(domain) {
      troubles.delete(domain)
    },

    list() {
      return [...troubles].flatMap(([domain, trouble]) => {
        const left = leftMs(trouble)
        return left > 0 ? [{ domain, untilMs: clock.now() + left }] : []
      })
    },
  }
}
