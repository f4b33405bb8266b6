/**
 * What goes in the end of an account (protocol §6.14), when nobody is left who has to be told: tombstones that nobody here has,
 * and every row that names the address, but those that keep it taken. May end anywhere, and is done again from the start.
 */
import {
  keyOf,
  type ListName,
  type ListWith,
  lastPart,
  listOf,
  rangeOf,
  type Word,
} from '../../objects/store/layout.ts'
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
  let dels: string[] = []
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

/** Keys of the rows of one word that are about the user and that nothing depends on any more. */
type Keys = (address: Address, left: Left, store: Store) => AsyncIterable<string>

const keyAlone = (keyFor: (address: string) => string): Keys =>
  async function* (address) {
    yield keyFor(address)
  }

/** All rows of a word that name the user first. */
const allOf = (word: Word): Keys =>
  async function* (address, _, { database }) {
    for await (const [key] of rowsIn(rangeOf(word, address), database)) yield key
  }

/** Rows of a word that name the user second, as far as what they name first does not need them any more. */
const allAbout = (word: Word, isOver: (about: string, left: Left) => boolean): Keys =>
  async function* (address, left, { database }) {
    for await (const [key] of rowsIn(rangeOf(word), database)) {
      const [, about = '', whose] = key.split(' ')
      if (whose === address && isOver(about, left)) yield key
    }
  }

/** The lists that a user has, each with a test for entries that are of no use to anybody. */
const userLists: {
  readonly [S in ListWith<'objects'>]:
    | {
        readonly list: (address: Address) => ListName
        readonly isOver: (id: string, store: Store) => boolean
      }
    | undefined
} = {
  public: { list: listOf.public, isOver: (id, store) => store.findText(id) === undefined },
  box: { list: listOf.box, isOver: () => true },
  // A thread is not one user's.
  thread: undefined,
}

async function* entriesOf(address: Address, _: Left, store: Store): AsyncGenerator<string> {
  for (const kept of Object.values(userLists)) {
    if (kept === undefined) continue
    for await (const [key, text] of rowsIn(rangeOf('entry', kept.list(address)), store.database))
      if (kept.isOver(findRow<{ id: string }>(text)?.id ?? '', store)) yield key
  }
}

/**
 * What becomes of the rows of each word when an account ends.
 *
 *     (keys)    these rows are removed here
 *     before    the rows went with the objects, the box, the uploads or the log-ins
 *     stays     the row keeps the address taken, or keeps numbers of a list from being given again
 *     passes    the row is removed elsewhere in time
 *     other     the row does not belong to a user of ours
 */
const rests: { readonly [W in Word]: 'before' | 'stays' | 'passes' | 'other' | Keys } = {
  made: keyAlone(keyOf.made),
  retention: keyAlone(keyOf.retention),
  strangers: keyAlone(keyOf.strangers),
  entry: entriesOf,
  wrote: allOf('wrote'),
  introduced: allAbout('introduced', () => true),
  spoke: allAbout('spoke', (top, left) => !left.tops.has(top)),
  credential: allAbout('credential', (thumbprint, left) => !left.keys.has(thumbprint)),
  object: 'before',
  view: 'before',
  boxed: 'before',
  digest: 'before',
  unjoined: 'before',
  answered: 'before',
  kept: 'before',
  expires: 'before',
  attached: 'before',
  uploaded: 'before',
  pulled: 'before',
  newest: 'before',
  device: 'before',
  resealing: 'before',
  listed: 'before',
  token: 'before',
  delivery: 'before',
  account: 'stays',
  gone: 'stays',
  skeleton: 'stays',
  head: 'stays',
  leaving: 'passes',
  owed: 'passes',
  retry: 'passes',
  pull: 'passes',
  waiting: 'passes',
  damaged: 'passes',
  meta: 'other',
  foreign: 'other',
  cached: 'other',
  used: 'other',
  absent: 'other',
  blob: 'other',
  loose: 'other',
  carried: 'other',
  idle: 'other',
  away: 'other',
  'blob-leaving': 'other',
  peer: 'other',
  pinned: 'other',
  from: 'other',
  met: 'other',
  courier: 'other',
  told: 'other',
  due: 'other',
  relayed: 'other',
}

async function* restOf(address: Address, left: Left, store: Store): AsyncGenerator<string> {
  for (const rest of Object.values(rests)) if (typeof rest === 'function') yield* rest(address, left, store)
}
