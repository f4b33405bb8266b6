/** Foreign objects that were fetched, and names that their home says do not exist (protocol §10.2). */

import type { VerifiedObject } from '../../objects/seals/seal.ts'
import { queuePulls } from '../../objects/store/blobs/fetch-queue.ts'
import { box, parseBoxed } from '../../objects/store/box.ts'
import { cache } from '../../objects/store/cached.ts'
import { newChange } from '../../objects/store/change.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { describe } from '../../objects/store/new-version.ts'
import { isResealed } from '../../objects/store/newer-seal.ts'
import type { Store } from '../../objects/store/store.ts'
import { findMoved, isNewer, isOtherThan } from '../../objects/version.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { FmtpObject } from '../../schemas/object.ts'

/**
 * Keeps a fetched object unless a newer version is here, and gives the one that counts. Users who have it in their box
 * have the new version then. What is for nobody's box is not synced by itself: it can be fetched again. `asOfMs`: when its
 * home said so, where that was somebody else's question.
 * @throws {FmtpError} FMTP_BAD_OBJECT where it is no version of the object that is here
 */
export async function keepFetched(
  store: Store,
  fetched: VerifiedObject,
  nowMs: number,
  asOfMs = nowMs,
): Promise<FmtpObject> {
  const { object, atRest } = fetched
  for (;;) {
    const before = store.findBefore(object.id)
    const current = store.findObject(object.id)
    const isKept =
      before === undefined ||
      current === undefined ||
      isNewer(fetched, before.object) ||
      isResealed(object, current)
    const change = isKept ? describe(fetched, before, 'fetched', store) : newChange()
    if (isKept && before !== undefined) {
      const moved = findMoved(object, before.object)
      if (moved !== undefined) throw new FmtpError('FMTP_BAD_OBJECT', `${moved} is another than it was`)
    }
    const holders = before === undefined ? [] : await store.findHolders(object.id)
    if (isKept) {
      for (const { address, boxed } of holders) {
        const { by } = parseBoxed(boxed)
        const isOther = isOtherThan(fetched, before)
        box(change, object, { address, bytes: atRest.length, by, nowMs, boxed, isOther }, store.database)
      }
      if (holders.length > 0) queuePulls(change, object, nowMs, store.database)
      else cache(change, object.id, { bytes: atRest.length, nowMs }, store.database)
    }
    const fetchedAtMs = Math.max(asOfMs, store.findFetchedAtMs(object.id) ?? 0)
    change.puts.push([keyOf.foreign(object.id), String(Math.min(fetchedAtMs, nowMs))])
    change.dels.push(keyOf.absent(object.id))
    // A number of a list that was told must not be given again after a crash.
    const [isWritten] = await store.database.commit([{ ...change, isRelaxed: change.appends.length === 0 }])
    if (isWritten === true) return isKept ? object : current
  }
}

/** Notes that its home does not know it: from now on a copy that was fetched before does not count. */
export async function keepAbsent(store: Store, id: string, nowMs: number): Promise<void> {
  await store.database.commit([{ puts: [[keyOf.absent(id), String(nowMs)]], isRelaxed: true }])
}
