/** Which of two versions of an object counts (protocol §6.6): the same rule wherever one may replace another. */
import { traitsOf } from '../schemas/kinds/kinds.ts'
import type { FmtpObject, Unsealed } from '../schemas/object.ts'
import { groupIn } from './addressees.ts'
import { sealedDigest, type VerifiedObject } from './seals/seal.ts'

/**
 * True where `candidate` replaces what is held. At a tie of versions the greater digest wins everywhere, so that all
 * holders end with the same.
 */
export function isNewer(
  { object, digest }: VerifiedObject,
  held: Pick<FmtpObject, 'version' | 'hash'>,
): boolean {
  return held.version === object.version ? sealedDigest(held) < digest : held.version < object.version
}

const lasting = ['kind', 'createdAt', 'parent', 'parentHash', 'top'] as const

/**
 * The member that a new version changes although none may: what an object is and what it answers stays. A home that lost its
 * data makes users and servers anew, so those may begin again. `undefined`: all stay.
 */
export function findMoved(
  object: Unsealed,
  before: Pick<FmtpObject, 'kind' | 'createdAt' | 'parent' | 'parentHash' | 'top' | 'deleted'>,
): (typeof lasting)[number] | 'group' | undefined {
  const isTold = object.deleted !== true && before.deleted !== true
  const { isSingle, namesForum } = traitsOf(object.kind)
  if (isTold && namesForum && groupIn(object)[0] !== groupIn(before)[0]) return 'group'
  const names = isSingle ? lasting.slice(0, 1) : lasting
  return names.find(name => object[name] !== before[name])
}

export type Succession =
  | { readonly outcome: 'taken' | 'same' }
  | {
      readonly outcome: 'refused'
      readonly code: 'FMTP_TOO_OLD' | 'FMTP_BAD_OBJECT'
      readonly reason: string
    }

/**
 * What a version that comes is beside the one that is held (protocol §6.6). The same version under another seal is the same
 * (protocol §7.5).
 */
export function decideSuccession(
  coming: VerifiedObject,
  held: Omit<FmtpObject, 'encryptedKey'> | undefined,
): Succession {
  if (held === undefined) return { outcome: 'taken' }
  if (held.version === coming.object.version && sealedDigest(held) === coming.digest)
    return { outcome: 'same' }
  if (!isNewer(coming, held))
    return { outcome: 'refused', code: 'FMTP_TOO_OLD', reason: `here is ${held.version}` }
  const moved = findMoved(coming.object, held)
  if (moved === undefined) return { outcome: 'taken' }
  return { outcome: 'refused', code: 'FMTP_BAD_OBJECT', reason: `${moved} is another than it was` }
}

/** True from the time on that an object itself says (protocol §6.6). */
export function hasEnded({ expiresAt }: Pick<FmtpObject, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= nowMs
}

/** True where an object is here already and says something else: at a tie of versions, too. */
export function isOtherThan(
  { digest }: VerifiedObject,
  before: { readonly object: Pick<FmtpObject, 'hash'> } | undefined,
): boolean {
  return before !== undefined && sealedDigest(before.object) !== digest
}
