/** Rows about objects that more than the object says: boxes, answers that wait, favourites, the cache. */
import { attachedTo } from '../../objects/store/attachments.ts'
import { answeredKey, type Boxed, parseBoxed } from '../../objects/store/box.ts'
import type { Cached } from '../../objects/store/cached.ts'
import { type ListEntry, newestKey, type Placed } from '../../objects/store/change.ts'
import { ownRows } from '../../objects/store/derived-rows.ts'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { waitingMost } from '../../objects/store/new-version.ts'
import { findRow } from '../../objects/store/row.ts'
import { topOf } from '../../objects/thread.ts'
import { boxedText, checkPlace } from './places.ts'
import { areWhole, isWhole, partsOf, type SeenObject, type Sight } from './sight.ts'

const digestChars = 43

type Check = (sight: Sight, key: string, value: string) => void | Promise<void>

/** Looks for the object of a row; its rows wait where it is lost, and are stray where there is none. */
function findSeen(sight: Sight, key: string, id: string): SeenObject | undefined {
  if (sight.isLost(id)) return undefined
  const seen = sight.findObject(id)
  if (seen === undefined) sight.stray(key, `${id} is not here`)
  return seen
}

export const checkBoxed: Check = (sight, key, value) => {
  const [id, address] = partsOf(key)
  const list = listOf.box(address)
  const boxed = findRow<Boxed>(value)
  const isRead = boxed !== undefined && areWhole(boxed.version, boxed.atMs, boxed.bytes)
  if (sight.isLost(id)) {
    if (isRead) sight.addBytes(list, boxed.bytes)
    return
  }
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  if (!sight.isOurs(address)) {
    sight.stray(key, `there is no user ${address}`)
    return
  }
  const { object, bytes } = seen
  const isAhead = isRead && boxed.version > object.version
  if (!isRead || isAhead) {
    const text = boxedText(address, seen, { version: object.version, ...byOf(sight, address, seen) })
    sight.addBytes(list, parseBoxed(text).bytes)
    sight.find('entry-wrong', key, `says ${value.slice(0, 100)}`, { puts: [[key, text]] })
    return
  }
  // Of a version before is not known any more how long it was.
  const isCurrent = boxed.version === object.version
  const isFree = object.owner === address && boxed.bytes === 0
  if (isCurrent && !isFree && boxed.bytes !== bytes) {
    const puts = [[key, JSON.stringify({ ...boxed, bytes })] as const]
    sight.find('count-wrong', key, `says ${boxed.bytes} bytes of an object of ${bytes}`, { puts })
  }
  sight.addBytes(list, isCurrent && !isFree ? bytes : boxed.bytes)
  checkPlace(sight, seen, { list, version: boxed.version, by: boxed.by })
}

/** Who forwarded it, as the entry in the box says. */
function byOf(sight: Sight, address: string, { object }: SeenObject): Pick<ListEntry, 'by'> {
  const list = listOf.box(address)
  const placed = sight.findRow<Placed>(newestKey(list, object))
  const entry =
    placed === undefined ? undefined : sight.findRow<ListEntry>(keyOf.entry(list, Number(placed.n)))
  return entry?.id === object.id && entry.by !== undefined ? { by: entry.by } : {}
}

export const checkUnjoined: Check = (sight, key, value) => {
  const [id] = partsOf(key)
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  const { parent } = seen.object
  if (parent === undefined) {
    sight.stray(key, `${id} answers nothing`)
    return
  }
  if (parent !== value) sight.expect(key, parent, `${id} answers ${parent}`)
  const waits = keyOf.waiting(parent)
  const known = sight.findRow<string[]>(waits) ?? []
  const all = sight.waiting.get(parent) ?? (Array.isArray(known) ? known : [])
  if (all.includes(id) || all.length >= waitingMost) return
  const added = [...all, id]
  sight.waiting.set(parent, added)
  sight.find('entry-missing', waits, `${id} waits for ${parent}`, { puts: [[waits, JSON.stringify(added)]] })
}

/** Those that joined, or went, may stand there still. */
export const checkWaiting: Check = (sight, key, value) => {
  const [parent] = partsOf(key)
  const ids = findRow<unknown[]>(value)
  if (!Array.isArray(ids) || ids.length === 0) {
    sight.stray(key, 'names no answers')
    return
  }
  const isAnswer = (id: unknown): boolean => {
    if (typeof id !== 'string') return false
    const seen = sight.findObject(id)
    return seen === undefined || seen.object.parent === parent
  }
  const left = ids.filter(isAnswer)
  if (left.length === ids.length) return
  const fix = left.length === 0 ? { dels: [key] } : { puts: [[key, JSON.stringify(left)] as const] }
  sight.find('entry-wrong', key, `names what does not answer ${parent}`, fix)
}

export const checkDigest: Check = (sight, key, value) => {
  const [id, digest] = partsOf(key)
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  const isVersion = isWhole(value) && Number(value) <= seen.object.version && digest.length === digestChars
  if (topOf(seen.object) === undefined || !isVersion)
    sight.stray(key, `${value.slice(0, 40)} is no version that ${id} had`)
}

/** It can not be made anew, since an answer that left its box leaves no other in its place. The next answer notes it again. */
export const checkAnswered: Check = (sight, key, id) => {
  const [, address] = partsOf(key)
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  const isRight = seen.object.deleted !== true && answeredKey(seen.object, address) === key
  if (!isRight || sight.get(keyOf.boxed(address, id)) === undefined)
    sight.stray(key, `${id} is no such answer in the box of ${address}`)
}

/** Rows that follow from an object alone, looked at from their side. */
export const checkOwn: Check = (sight, key, value) => {
  const [first, last] = partsOf(key)
  if (key.startsWith('spoke ')) {
    // What was said counts also when it is gone.
    if (!sight.isOurs(last)) sight.stray(key, `there is no user ${last}`)
    else if (value !== '') sight.expect(key, '', `${last} spoke`)
    return
  }
  const id = key.startsWith('kept ') ? value : last
  if (key.startsWith('kept ') && sight.findObject(id) === undefined && !sight.isLost(id)) {
    sight.stray(key, `no mark keeps ${first}`)
    return
  }
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  const expected = ownRows(seen.object, sight.isOurs(seen.object.owner)).get(key)
  // Another value is found from the object's side.
  if (expected === undefined) sight.stray(key, `${id} says nothing of it`)
}

export const checkForeign: Check = (sight, key, value) => {
  const [id] = partsOf(key)
  if (findSeen(sight, key, id) !== undefined && !isWhole(value))
    sight.find('entry-wrong', key, 'says no time', { puts: [[key, '0']] })
}

export const checkCached: Check = (sight, key, value) => {
  const [id] = partsOf(key)
  const cached = findRow<Cached>(value)
  const isRead = cached !== undefined && areWhole(cached.bytes, cached.usedAtMs)
  if (sight.isLost(id)) {
    if (isRead) sight.addBytes(listOf.cache, cached.bytes)
    return
  }
  const seen = findSeen(sight, key, id)
  if (seen === undefined) return
  const { bytes } = seen
  sight.addBytes(listOf.cache, bytes)
  const usedAtMs = isRead ? cached.usedAtMs : 0
  if (!isRead || cached.bytes !== bytes) {
    const puts = [[key, JSON.stringify({ bytes, usedAtMs })] as const]
    sight.find('count-wrong', key, `says ${value.slice(0, 60)} of an object of ${bytes} bytes`, { puts })
  }
  sight.expect(keyOf.used(usedAtMs, id), '', `${id} is in the cache`)
  if (sight.get(keyOf.foreign(id)) === undefined) sight.expect(keyOf.foreign(id), '0', `${id} was fetched`)
}

export const checkUsed: Check = async (sight, key, value) => {
  const [time, id] = partsOf(key)
  const text = sight.get(keyOf.cached(id))
  const cached = text === undefined ? undefined : findRow<Cached>(text)
  const seen = sight.findObject(id)
  if (text === undefined && seen !== undefined && !sight.isOurs(seen.object.owner)) {
    const isKept = sight.get(keyOf.foreign(id)) === undefined
    if (!isKept) {
      const usedAtMs = Number(time)
      sight.addBytes(listOf.cache, seen.bytes)
      const puts = [[keyOf.cached(id), JSON.stringify({ bytes: seen.bytes, usedAtMs })] as const]
      sight.find('entry-missing', keyOf.cached(id), `${id} was used`, { puts })
      return
    }
  }
  const isRight = cached !== undefined && keyOf.used(cached.usedAtMs, id) === key
  if (!isRight) sight.stray(key, `${id} was not used then`)
  else if (value !== '') sight.expect(key, '', `${id} was used then`)
}

export const checkAttached: Check = (sight, key) => {
  const [sha256, id] = partsOf(key)
  const seen = findSeen(sight, key, id)
  if (seen !== undefined && !attachedTo(seen.object).has(sha256)) sight.stray(key, `${id} does not name it`)
}
