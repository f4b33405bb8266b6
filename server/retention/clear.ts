/**
 * What goes in the end of an account (protocol §6.14), when nobody is left who has to be told: tombstones that nobody here has,
 * and every row that names the address, but those that keep it taken. May end anywhere, and is done again from the start.
 */
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { leaveBox, removeUnheld } from '../../objects/store/removal.ts'
import { findRow } from '../../objects/store/row.ts'
import { rowsIn } from '../../objects/store/rows.ts'
import type { Store } from '../../objects/store/store.ts'
import { topOf } from '../../objects/thread.ts'
import { type Address, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { readJws } from '../../wire/jws.ts'

/** What tombstones in the boxes of others still need. */
interface Left {
  /** Threads in which they stand. */
  readonly tops: Set<string>
  /** Thumbprints of the keys that sealed them. */
  readonly keys: Set<string>
}

const delsAtOnce = 500

export async function clearAll(address: Address, store: Store, signal: AbortSignal): Promise<void> {
  const left = await removeTombstones(address, store, signal)
  let dels: string[] = [keyOf.made(address), keyOf.retention(address), keyOf.strangers(address)]
  for await (const key of restOf(address, left, store)) {
    signal.throwIfAborted()
    dels.push(key)
    if (dels.length < delsAtOnce) continue
    await store.database.commit([{ dels, isRelaxed: true }])
    dels = []
  }
  await store.database.commit([{ dels, isRelaxed: true }])
}

async function removeTombstones(address: Address, store: Store, signal: AbortSignal): Promise<Left> {
  const left: Left = { tops: new Set(), keys: new Set() }
  for await (const [key] of rowsIn(rangeOf('object'), store.database)) {
    signal.throwIfAborted()
    const id = lastPart(key) as ObjectId
    if (ownerOf(id) !== address) continue
    if (store.findBefore(id)?.object.deleted === true) {
      await leaveBox(store, id, address)
      await removeUnheld(store, id)
    }
    const object = store.findBefore(id)?.object
    if (object === undefined) continue
    left.tops.add(topOf(object) ?? '')
    left.keys.add(readJws(object.hash, 'fmtp-hash')?.kid ?? '')
  }
  return left
}

/** Keys of rows that say something of the user, and of which nothing depends any more. */
async function* restOf(address: Address, left: Left, store: Store): AsyncGenerator<string> {
  const { database } = store
  const [box, open] = [listOf.box(address), listOf.public(address)]
  for await (const [key] of rowsIn(rangeOf('entry', box), database)) yield key
  for await (const [key] of rowsIn(rangeOf('wrote', address), database)) yield key
  for await (const [key, text] of rowsIn(rangeOf('entry', open), database))
    if (store.findText(findRow<{ id: string }>(text)?.id ?? '') === undefined) yield key
  const isOver: Readonly<Record<string, (about: string) => boolean>> = {
    introduced: () => true,
    spoke: top => !left.tops.has(top),
    credential: thumbprint => !left.keys.has(thumbprint),
  }
  for (const [word, isOne] of Object.entries(isOver))
    for await (const [key] of rowsIn(rangeOf(word), database)) {
      const [, about = '', whose] = key.split(' ')
      if (whose === address && isOne(about)) yield key
    }
}
