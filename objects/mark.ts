/**
 * The nonce of a mark (protocol §6.12) follows from what it is about, so that an owner has one of each object without
 * anybody looking for another.
 */
import { FmtpError } from '../schemas/failures.ts'
import type { Mark } from '../schemas/kinds/mark.ts'
import { nonceOf, type ObjectId } from '../schemas/text/names.ts'
import { toBase64url } from '../wire/base64url.ts'
import { sha256 } from './seals/keys.ts'

const digestChars = 20

/** `mark-` and the first 20 characters of the SHA-256 of the id in base64url. */
export function markNonce(about: string): string {
  return `mark-${toBase64url(sha256(about)).slice(0, digestChars)}`
}

/** @throws {FmtpError} FMTP_BAD_OBJECT when the id of a mark is not that of what it is about */
export function checkMark({ id, about }: Mark): void {
  if (nonceOf(id as ObjectId) !== markNonce(about))
    throw new FmtpError('FMTP_BAD_OBJECT', `a mark about ${about} has the nonce ${markNonce(about)}`)
}
