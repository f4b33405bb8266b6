/**
 * Takes objects away again (docs/architecture.md): out of a box, and out of the store when nobody holds them. An object
 * that somebody is given at the same moment stays: the removal says first that it is coming, then looks, then removes.
 */
import { groupIn } from '../addressees.ts'
import { topOf } from '../thread.ts'
import type { AtRest } from './at-rest.ts'
import { attach } from './attachments.ts'
import { unbox } from './box.ts'
import { uncache } from './cached.ts'
import { type Change, newChange, type Placed, unlist } from './change.ts'
import { isLasting, ownRows, publicLists } from './derived-rows.ts'
import {
  entriesAfter,
  keyOf,
  type ListName,
  type ListWith,
  lastPart,
  listOf,
  rangeOf,
  type Word,
} from './layout.ts'
import { parseRow } from './row.ts'
import type { Store } from './store.ts'

/**
 * What the rows of a word mean for an object that is to be removed.
 *
 *     has       while there is such a row, somebody here has the object on purpose
 *     needs     while there is such a row, somebody waits for the object
 *     (a key)   this one row is removed with the object
 *     all       all rows that begin with the id are removed with the object
 *     apart     lists, claims on blobs, the cache, and rows that follow from the object: each is removed in its own way
 *     stays     the row holds without the object, or is removed elsewhere in time
 *     other     the row names no object
 */
type Fate = 'has' | 'needs' | 'all' | 'apart' | 'stays' | 'other' | ((id: string) => string)

const fates: { readonly [W in Word]: Fate } = {
  object: keyOf.object,
  foreign: keyOf.foreign,
  unjoined: keyOf.unjoined,
  digest: 'all',
  delivery: 'all',
  boxed: 'has',
  kept: 'has',
  relayed: 'needs',
  entry: 'apart',
  newest: 'apart',
  head: 'apart',
  expires: 'apart',
  attached: 'apart',
  pulled: 'apart',
  loose: 'apart',
  cached: 'apart',
  used: 'apart',
  leaving: 'apart',
  // It still counts that somebody said something in a thread.
  spoke: 'stays',
  answered: 'stays',
  waiting: 'stays',
  pull: 'stays',
  owed: 'stays',
  retry: 'stays',
  damaged: 'stays',
  meta: 'other',
  view: 'other',
  retention: 'other',
  absent: 'other',
  blob: 'other',
  uploaded: 'other',
  carried: 'other',
  idle: 'other',
  away: 'other',
  'blob-leaving': 'other',
  credential: 'other',
  account: 'other',
  device: 'other',
  resealing: 'other',
  made: 'other',
  gone: 'other',
  listed: 'other',
  skeleton: 'other',
  token: 'other',
  peer: 'other',
  pinned: 'other',
  from: 'other',
  met: 'other',
  wrote: 'other',
  strangers: 'other',
  introduced: 'other',
  courier: 'other',
  told: 'other',
  due: 'other',
}

const goingKeys = Object.values(fates).filter(fate => typeof fate === 'function')
const wordsOf = (fate: Fate): readonly Word[] =>
  (Object.keys(fates) as Word[]).filter(word => fates[word] === fate)
const [hasWords, needsWords, allWords] = [wordsOf('has'), wordsOf('needs'), wordsOf('all')]

const rowsMost = 10_000
const ownEntriesMost = 100

/** Takes an object out of one user's box. False where it was not there, or changed meanwhile. */
export async function leaveBox(store: Store, id: string, address: string): Promise<boolean> {
  const before = store.findBefore(id)
  const boxed = store.findBoxedText(address, id)
  if (before === undefined || boxed === undefined) return false
  const change = newChange()
  change.equals.push([keyOf.object(id), before.text])
  unbox(change, before.object, { address, boxed }, store.database)
  const [isWritten] = await store.database.commit([change])
  return isWritten === true
}

/** True where somebody here has it on purpose: in a box, or among the favourites. */
export async function isHeld(store: Store, id: string): Promise<boolean> {
  return hasRow(store, hasWords, id)
}

async function hasRow({ database }: Store, words: readonly Word[], id: string): Promise<boolean> {
  for (const word of words) if ((await database.scan(rangeOf(word, id), { limit: 1 })).length > 0) return true
  return false
}

/** Removes an object with all that was written for it, unless somebody holds it or waits for it. True where it is gone. */
export async function removeUnheld(store: Store, id: string): Promise<boolean> {
  const { database } = store
  const leaving = keyOf.leaving(id)
  await database.commit([{ puts: [[leaving, '']], isRelaxed: true }])
  const before = store.findBefore(id)
  const change = newChange()
  change.dels.push(leaving)
  const isNeeded =
    before !== undefined && ((await isHeld(store, id)) || (await hasRow(store, needsWords, id)))
  if (before === undefined || isNeeded) {
    await database.commit([{ ...change, isRelaxed: true }])
    return before === undefined
  }
  const { object, text } = before
  change.equals.push([keyOf.object(id), text], [leaving, ''])
  for (const keyFor of goingKeys) change.dels.push(keyFor(id))
  for (const key of ownRows(object, true).keys()) if (!isLasting(key)) change.dels.push(key)
  for (const word of allWords)
    for (const [key] of await database.scan(rangeOf(word, id), { limit: rowsMost })) change.dels.push(key)
  for (const listsWith of Object.values(listsOf))
    for (const list of listsWith(object)) unlist(change, list, object, database)
  attach(change, id, { before: object, object: undefined, isProven: false }, database)
  if (topOf(object) === id) await forgetThread(change, id, store)
  uncache(change, id, database)
  const [isWritten] = await database.commit([{ ...change, isRelaxed: true }])
  if (isWritten !== true) await database.commit([{ dels: [leaving], isRelaxed: true }])
  return isWritten === true
}

/** The lists of each sort that may have an object which nobody holds. */
const listsOf: { readonly [S in ListWith<'objects'>]: (object: AtRest) => readonly ListName[] } = {
  public: object => [...publicLists(object), ...groupIn(object).map(each => listOf.public(each))],
  // An object in a box is held.
  box: () => [],
  thread(object) {
    const top = topOf(object)
    return top === undefined ? [] : [listOf.thread(top)]
  },
}

/** With its top goes a thread in which nothing else stands. A cursor of it is ahead of the list then, and lost. */
async function forgetThread(change: Change, top: string, { database }: Store): Promise<void> {
  const thread = listOf.thread(top)
  const key = keyOf.head(thread)
  const head = database.get(key)
  if (head === undefined) return
  const rows = await database.scan(entriesAfter(thread, 0), { limit: ownEntriesMost })
  if (rows.length === ownEntriesMost || rows.some(([, value]) => parseRow<Placed>(value).id !== top)) return
  change.equals.push([key, head])
  // What says that the top was deleted stands there too.
  change.dels.push(key, ...rows.map(([entry]) => entry))
}

/** Removals that a crash or a failing disk ended are done again: until then nobody could be given such an object. */
export async function finishRemovals(store: Store): Promise<void> {
  for (const [key] of await store.database.scan(rangeOf('leaving'))) await removeUnheld(store, lastPart(key))
}
