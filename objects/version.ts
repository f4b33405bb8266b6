/** Which of two versions of an object counts (protocol §6.6): the same rule wherever one may replace another. */
import type { FmtpObject } from '../schemas/object.ts'
import { digestOf, type VerifiedObject } from './seal.ts'

/**
 * True where `candidate` replaces what is held. At a tie of versions the greater digest wins everywhere, so that all
 * holders end with the same.
 */
export function isNewer({ object, digest }: VerifiedObject, held: FmtpObject): boolean {
  return held.version === object.version ? digestOf(held) < digest : held.version < object.version
}
