/**
 * How a domain key vouches for the one that follows it (protocol §5.9): who pinned an old key without DNS goes on from key
 * to key to the one that signs now.
 */
import type { PublicJwk, Successor } from '../../schemas/frame.ts'
import { isLive, issueCredential, verifyCredential } from './credential.ts'
import { type KeyPair, signerOf, thumbprintOf, verifierOf } from './keys.ts'

/** Devices may stay off for years; who has the old key could make such a word for any time anyway. */
const successorMs = 10 * 365 * 24 * 60 * 60 * 1000

export interface Succession {
  readonly domain: string
  readonly old: KeyPair
  /** Selector of the old key. */
  readonly selector: string
  readonly next: PublicJwk
  readonly nowMs: number
}

/** The word of the old key for the next one, `nbf` being now. */
export function vouchFor({ domain, old, selector, next, nowMs }: Succession): Successor {
  const enrolment = { sub: domain, jwk: next, enrolledAtMs: nowMs, nowMs, lifeMs: successorMs }
  return { key: old.jwk, credential: issueCredential(enrolment, signerOf(old, selector)) }
}

/** True where the successors of a domain lead from the key of this thumbprint to `key`, or it is `key`. */
export async function isSucceededBy(
  pinned: string,
  key: PublicJwk,
  of: { readonly domain: string; readonly successors: readonly Successor[]; readonly nowMs: number },
): Promise<boolean> {
  const wanted = thumbprintOf(key)
  let at = pinned
  for (let steps = 0; at !== wanted; steps++) {
    const link = of.successors.find(successor => thumbprintOf(successor.key) === at)
    // More steps than links go in a circle.
    if (link === undefined || steps >= of.successors.length) return false
    const vouched = await verifyCredential(link.credential, verifierOf(link.key))
    if (vouched === undefined || vouched.sub !== of.domain || !isLive(vouched, of.nowMs)) return false
    at = vouched.thumbprint
  }
  return true
}
