/** What became of the copies that other domains have of what somebody deleted (protocol §10.5), object by object. */
import { listOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { type Address, type ObjectId, ownerOf } from '../../../schemas/text/names.ts'
import { openIn, readRows } from '../delivery-rows.ts'

export interface CopiesCount {
  readonly all: number
  readonly erased: number
  readonly waiting: number
}

const page = 500

/** Tombstones of a user in the order in which they came, each with the number that it has in the box. */
export async function* tombstonesOf(
  address: Address,
  store: Store,
  after = 0,
): AsyncGenerator<{ readonly id: string; readonly number: number }> {
  for (let last = after; ; ) {
    const { entries, last: next, isComplete } = await store.readList(listOf.box(address), last, page)
    for (const { id, number, version } of entries) {
      if (ownerOf(id as ObjectId) !== address) continue
      const object = store.findBefore(id)?.object
      if (object?.deleted === true && object.version === version) yield { id, number }
    }
    if (isComplete) return
    last = next
  }
}

/** One for each recipient whom a version of the object was ever for. */
export async function countCopies(id: string, store: Store): Promise<CopiesCount> {
  let [all, erased, waiting] = [0, 0, 0]
  for (const row of (await readRows(id, store)).values()) {
    all += row.for.length
    waiting += openIn(row).length
    for (const { outcome, for: to } of row.settled ?? [])
      if (outcome === 'stored') erased += (to ?? row.for).length
  }
  return { all, erased, waiting }
}

/** Of all that a user has deleted. */
export async function countAllCopies(
  address: Address,
  store: Store,
): Promise<CopiesCount & { readonly objects: number }> {
  let [objects, all, erased, waiting] = [0, 0, 0, 0]
  for await (const { id } of tombstonesOf(address, store)) {
    const count = await countCopies(id, store)
    objects++
    all += count.all
    erased += count.erased
    waiting += count.waiting
  }
  return { objects, all, erased, waiting }
}
