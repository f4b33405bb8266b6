/**
 * What goes at once when an account is deleted (protocol §6.14): each object of the user gives way to a tombstone, the user object
 * as the last; the box is emptied of what others wrote, and the uploads are let go. May end anywhere, and is done again from the start.
 */
import type { Database } from '../../objects/store/engine/database.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { leaveBox, removeUnheld } from '../../objects/store/removal.ts'
import { rowsIn } from '../../objects/store/rows.ts'
import type { Store } from '../../objects/store/store.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { type Address, makeObjectId, type ObjectId, ownerOf } from '../../schemas/text/names.ts'

export interface ErasingPorts {
  readonly store: Store
  /** Puts a tombstone in the place of an object; true where it is new. */
  erase(id: ObjectId, author: Address): Promise<boolean>
  /** Keys of all with which somebody may log in as this user. */
  logInKeys(address: Address): Promise<readonly string[]>
  onErased(): void
  readonly signal: AbortSignal
}

/** Written together: a sync serves all of them. */
const atOnce = 64
const page = 500

export async function eraseAll(
  address: Address,
  groups: readonly Address[],
  ports: ErasingPorts,
): Promise<void> {
  const { store, signal } = ports
  const { database } = store
  // A device that was enrolled at the last moment.
  const keys = await ports.logInKeys(address)
  if (keys.length > 0) await database.commit([{ dels: keys }])
  for (const group of groups) await eraseOne(makeObjectId('group', group), address, ports)
  await eraseObjects(address, ports)
  await emptyBox(address, ports)
  await letUploadsGo(address, database)
  signal.throwIfAborted()
  // Nothing is sealed in this name after it.
  await eraseOne(makeObjectId('user', address), address, ports)
}

async function eraseOne(id: ObjectId, address: Address, { erase, onErased }: ErasingPorts): Promise<void> {
  if (await erase(id, address)) onErased()
}

/** By their ids: what its owner did not keep in the box may be in the box of others. */
async function eraseObjects(address: Address, ports: ErasingPorts): Promise<void> {
  const own = makeObjectId('user', address)
  let some: ObjectId[] = []
  for await (const [key] of rowsIn(rangeOf('object'), ports.store.database)) {
    ports.signal.throwIfAborted()
    const id = lastPart(key) as ObjectId
    if (ownerOf(id) !== address || id === own) continue
    some.push(id)
    if (some.length < atOnce) continue
    await eraseSome(some, address, ports)
    some = []
  }
  await eraseSome(some, address, ports)
}

/** One that fails keeps none of the others. */
async function eraseSome(ids: readonly ObjectId[], address: Address, ports: ErasingPorts): Promise<void> {
  const results = await Promise.allSettled(ids.map(id => eraseOne(id, address, ports)))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

async function emptyBox(address: Address, { store, signal }: ErasingPorts): Promise<void> {
  for (let last = 0; ; ) {
    const { entries, last: next, isComplete } = await store.readList(listOf.box(address), last, page)
    for (const { id } of entries) {
      signal.throwIfAborted()
      if (ownerOf(id as ObjectId) === address) continue
      await takeOut(store, id, address)
      await removeUnheld(store, id)
    }
    if (isComplete) return
    last = next
  }
}

/** Perhaps a new version comes to somebody else at this moment: then it is looked at again. */
async function takeOut(store: Store, id: string, address: Address): Promise<void> {
  await untilWritten(async () => {
    const isOut = store.findBoxedText(address, id) === undefined || (await leaveBox(store, id, address))
    // What the disk does not give back any more is for `fmtp verify`.
    return isOut || store.findBefore(id) === undefined || undefined
  })
}

/** What nobody else put here, and nothing names any more, is swept. */
async function letUploadsGo(address: Address, database: Database): Promise<void> {
  for await (const [key] of rowsIn(rangeOf('uploaded'), database)) {
    if (lastPart(key) !== address) continue
    const [, sha256 = ''] = key.split(' ')
    await untilWritten(() => letGo(key, sha256, address, database))
  }
}

async function letGo(
  key: string,
  sha256: string,
  address: Address,
  database: Database,
): Promise<true | undefined> {
  const bytes = database.get(key)
  if (bytes === undefined) return true
  const blob = keyOf.blob(sha256)
  const text = database.get(blob)
  const [isWritten] = await database.commit([
    {
      equals: [[key, bytes], ...(text === undefined ? [] : [[blob, text] as const])],
      puts: text === undefined ? [] : [[keyOf.loose(sha256), '0']],
      dels: [key],
      adjusts: [{ list: listOf.blobs(address), bytes: -Number(bytes) }],
    },
  ])
  return isWritten === true || undefined
}
