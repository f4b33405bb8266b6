/**
 * All that a new version of an object changes in the store besides boxes (docs/architecture.md): its text and credential,
 * the digest of what it replaces, its lists, its place in the thread, and the answers that waited for it.
 */
import type { FmtpObject } from '../../schemas/object.ts'
import { sealedDigest, type VerifiedObject } from '../seals/seal.ts'
import { findPlace, topOf } from '../thread.ts'
import { isOtherThan } from '../version.ts'
import { attach } from './attachments.ts'
import { uncache } from './cached.ts'
import { addTo, type Change, enlist, findPlaced, holdAs, newChange, unlist } from './change.ts'
import { isLasting, ownRows, publicLists } from './derived-rows.ts'
import { keyOf, type ListName, listOf } from './layout.ts'
import { parseRow } from './row.ts'
import type { Before, Store } from './store.ts'

/** How an object comes: made by a user or a server of ours, handed over for somebody here, or fetched for the cache. */
export type Coming = 'made' | 'taken' | 'fetched'

/** Answers that wait for one object, and those that one commit joins: more wait on. */
export const waitingMost = 1000

export function describe(
  verified: VerifiedObject,
  before: Before | undefined,
  coming: Coming,
  store: Store,
): Change {
  const { object, atRest } = verified
  const change = newChange()
  // Of one that was put aside, the rows are here still.
  const isNew = before === undefined && !store.isAside(object.id)
  addTo(change, store.objectWrite(verified, before?.text))
  if (before?.text !== atRest) replace(change, object, before?.object, coming === 'made')
  // It is the same text, so that the condition on it would not notice that the object is being removed.
  if (before?.text === atRest) change.absent.push(keyOf.leaving(object.id))
  if (before !== undefined && coming === 'taken') uncache(change, object.id, store.database)
  if (before?.text !== atRest) {
    const attaching = { before: before?.object, object, isProven: coming === 'made' }
    attach(change, object.id, attaching, store.database)
  }
  if (coming === 'made') listPublicly(change, verified, { before, isNew }, store)
  placeInThread(change, verified, { coming, isNew, isOther: isOtherThan(verified, before), store })
  return change
}

/** Rows of the version before give way to those of this one; only its digest is remembered. */
function replace(
  change: Change,
  object: FmtpObject,
  old: Before['object'] | undefined,
  isMade: boolean,
): void {
  const now = ownRows(object, isMade)
  change.puts.push(...now)
  if (old === undefined) return
  for (const key of ownRows(old, isMade).keys()) if (!now.has(key) && !isLasting(key)) change.dels.push(key)
  const digest = sealedDigest(old)
  if (topOf(old) !== undefined && digest !== sealedDigest(object))
    change.puts.push([keyOf.digest(old.id, digest), String(old.version)])
}

function listPublicly(
  change: Change,
  verified: VerifiedObject,
  { before, isNew }: { readonly before: Before | undefined; readonly isNew: boolean },
  store: Store,
): void {
  const { object } = verified
  const isOther = isOtherThan(verified, before)
  for (const name of publicLists(object)) {
    if (object.public === true) enlist(change, name, object, { isNew, isOther }, store.database)
    else if (before?.object.public === true) unlist(change, name, object, store.database)
  }
}

interface Placing {
  readonly coming: Coming
  readonly isNew: boolean
  readonly isOther: boolean
  readonly store: Store
}

function placeInThread(
  change: Change,
  verified: VerifiedObject,
  { coming, isNew, isOther, store }: Placing,
): void {
  const { object } = verified
  const top = topOf(object)
  if (top === undefined) return
  const { database } = store
  const thread = listOf.thread(top)
  // What was only fetched stands in no thread; what stands there follows its versions, however they come.
  if (coming === 'fetched' && (isNew || findPlaced(thread, object, database).text === undefined)) return
  const place = findPlace(object, store.places)
  if (!place.isJoined) {
    wait(change, object, place.waitsFor, store)
    return
  }
  const unjoined = isNew ? undefined : database.get(keyOf.unjoined(object.id))
  if (unjoined !== undefined) change.dels.push(keyOf.unjoined(object.id))
  enlist(change, thread, object, { isNew, isOther }, database)
  join(change, verified, thread, store)
}

/** Keeps an answer out of the list of its thread until what it answers is there. */
function wait(change: Change, object: FmtpObject, parent: string, { database }: Store): void {
  const key = keyOf.waiting(parent)
  const text = database.get(key)
  const waiting = parseWaiting(text)
  change.puts.push([keyOf.unjoined(object.id), parent])
  // The parent may come or join while this is written, and would not see who waits, or that it waits again.
  for (const each of [keyOf.object(parent), keyOf.unjoined(parent)]) holdAs(change, each, database.get(each))
  holdAs(change, key, text)
  if (waiting.includes(object.id) || waiting.length >= waitingMost) return
  change.puts.push([key, JSON.stringify([...waiting, object.id])])
}

/** Joins the answers that waited for an object, and those that waited for them. */
function join(change: Change, { object, digest }: VerifiedObject, thread: ListName, store: Store): void {
  const digests = new Map([[object.id, digest]])
  const here = new Map<string, Before['object']>([[object.id, object]])
  const ports = {
    findObject: (id: string) => here.get(id) ?? store.places.findObject(id),
    hasDigest: (id: string, sought: string) =>
      digests.get(id) === sought || store.places.hasDigest(id, sought),
    isUnjoined: (id: string) => !here.has(id) && store.places.isUnjoined(id),
  }
  let room = waitingMost
  for (const parent of here.keys()) {
    const key = keyOf.waiting(parent)
    const text = store.database.get(key)
    // Also where none waits: an answer may be written at this moment, which does not see this object yet.
    holdAs(change, key, text)
    if (text === undefined) continue
    const left: string[] = []
    for (const id of parseWaiting(text)) {
      const child = store.findBefore(id)
      if (child === undefined || child.object.parent !== parent) continue
      const isJoining = room > 0 && findPlace(child.object, ports).isJoined
      if (!isJoining) {
        left.push(id)
        continue
      }
      room--
      here.set(id, child.object)
      change.equals.push([keyOf.object(id), child.text])
      change.dels.push(keyOf.unjoined(id))
      enlist(change, thread, child.object, { isNew: false }, store.database)
    }
    if (left.length === 0) change.dels.push(key)
    else change.puts.push([key, JSON.stringify(left)])
  }
}

export function parseWaiting(text: string | undefined): readonly string[] {
  return text === undefined ? [] : parseRow<string[]>(text)
}
