/** Foreign objects that were fetched, and names that their home says do not exist (protocol §10.2). */
import { keyOf } from '../objects/layout.ts'
import { isResealed } from '../objects/resealed.ts'
import type { VerifiedObject } from '../objects/seal.ts'
import type { Store } from '../objects/store.ts'
import { isNewer } from '../objects/version.ts'
import type { FmtpObject } from '../schemas/object.ts'

/**
 * Keeps a fetched object unless a newer version is here, and gives the one that counts. Not synced by itself: it can
 * be fetched again.
 */
export async function keepFetched(store: Store, fetched: VerifiedObject, nowMs: number): Promise<FmtpObject> {
  const { object } = fetched
  for (;;) {
    const before = store.findText(object.id)
    const current = store.findObject(object.id)
    const isKept = current === undefined || isNewer(fetched, current) || isResealed(object, current)
    const kept = isKept ? object : current
    const heard = [keyOf.foreign(object.id), String(nowMs)] as const
    const write = isKept ? store.objectWrite(fetched, before) : { puts: [] }
    const [isWritten] = await store.database.commit([
      { ...write, puts: [...write.puts, heard], dels: [keyOf.absent(object.id)], isRelaxed: true },
    ])
    if (isWritten === true) return kept
  }
}

/** Notes that its home does not know it: from now on a copy that was fetched before does not count. */
export async function keepAbsent(store: Store, id: string, nowMs: number): Promise<void> {
  await store.database.commit([{ puts: [[keyOf.absent(id), String(nowMs)]], isRelaxed: true }])
}
