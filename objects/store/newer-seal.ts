/**
 * The same version of an object under another seal (protocol §7.5): its home sealed it again when the key that had was
 * lost. For every list and every reader it is what it was; only the seal that lives longer is kept.
 */

import type { FmtpObject } from '../../schemas/object.ts'
import { readCredential } from '../seals/credential.ts'
import { believeStored, digestOf, sealedDigest, type VerifiedObject } from '../seals/seal.ts'
import type { Store } from './store.ts'
import { untilWritten } from './until-written.ts'

/** True for what is held, under whichever seal. */
export function isSameVersion(object: FmtpObject, held: FmtpObject): boolean {
  return object.version === held.version && sealedDigest(held) === digestOf(object)
}

/** True where this is what is held, under another seal whose credential ends later. */
export function isResealed(object: FmtpObject, held: FmtpObject): boolean {
  return object.hash !== held.hash && endOf(object) > endOf(held) && isSameVersion(object, held)
}

/** Keeps the seal, where the version that is held is still this one, and gives what is held then. */
export async function keepSeal(store: Store, resealed: VerifiedObject): Promise<VerifiedObject> {
  const { object } = resealed
  return untilWritten(async () => {
    const before = store.findText(object.id)
    const held = before === undefined ? undefined : store.findObject(object.id)
    if (held === undefined || !isSameVersion(object, held)) return resealed
    if (!isResealed(object, held)) return believeStored(held)
    const [isWritten] = await store.database.commit([store.objectWrite(resealed, before)])
    return isWritten === true ? resealed : undefined
  })
}

/** Unix seconds. */
function endOf({ encryptedKey }: FmtpObject): number {
  return readCredential(encryptedKey)?.payload.exp ?? 0
}
