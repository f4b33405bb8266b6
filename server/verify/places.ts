/**
 * Lists, in both directions: what stands in one (`entry`) and the same in the order of making (`newest`) belong together,
 * and both to an object or a box that wants them there.
 */
import { groupIn } from '../../objects/addressees.ts'
import type { AtRest } from '../../objects/store/at-rest.ts'
import { type Boxed, parseBoxed } from '../../objects/store/box.ts'
import { entryText, type ListEntry, newestKey, type Placed } from '../../objects/store/change.ts'
import { publicLists } from '../../objects/store/derived-rows.ts'
import { removalId } from '../../objects/store/forum-list.ts'
import { entryOf, keyOf, type ListName } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import { topOf } from '../../objects/thread.ts'
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import { type Address, makeObjectId } from '../../schemas/text/names.ts'
import { areWhole, partsOf, type SeenObject, type Sight } from './sight.ts'

/** A version of an object that should stand in a list. */
export interface Place {
  readonly list: ListName
  readonly version: number
  readonly by?: string | undefined
}

function moreOf({ by }: Pick<Place, 'by'>): Partial<ListEntry> {
  return by === undefined ? {} : { by }
}

function sortOf(list: ListName): string {
  return list.slice(0, list.indexOf(' '))
}

function nameOf(list: ListName): string {
  return list.slice(list.indexOf(' ') + 1)
}

function findBoxed(sight: Sight, address: string, id: string): Boxed | undefined {
  const text = sight.get(keyOf.boxed(address, id))
  if (text === undefined || findRow(text) === undefined) return undefined
  return parseBoxed(text)
}

function isInOwn(sight: Sight, list: ListName, object: AtRest): boolean {
  return sight.isOurs(object.owner) && publicLists(object).some(each => each === list)
}

/** The version of a post that a forum of ours took and did not remove; `undefined`: it lists none. */
export function forumVersion(sight: Sight, name: string, object: AtRest): number | undefined {
  const group = name as Address
  if (!groupIn(object).includes(group)) return undefined
  const forum = sight.findObject(makeObjectId('group', group))?.object
  const report = sight.findObject(removalId(object.id, group))?.object as Partial<Report> | undefined
  if (forum?.public !== true || !sight.isOurs(name) || report?.outcome === 'removed') return undefined
  return findBoxed(sight, name, object.id)?.version
}

/** Whether a list other than a box has room for this object at all; a box has where its row says so. */
function isWanted(sight: Sight, list: ListName, { object }: SeenObject): boolean {
  switch (sortOf(list)) {
    case 'public':
      return (
        object.public === true &&
        (isInOwn(sight, list, object) || forumVersion(sight, nameOf(list), object) !== undefined)
      )
    case 'thread':
      return topOf(object) === nameOf(list)
    default:
      return sight.get(keyOf.boxed(nameOf(list), object.id)) !== undefined
  }
}

function isEntry(entry: ListEntry | undefined): entry is ListEntry {
  return entry !== undefined && typeof entry.id === 'string' && areWhole(entry.version)
}

function findEntry(sight: Sight, list: ListName, number: number): ListEntry | undefined {
  if (!areWhole(number)) return undefined
  const entry = sight.findRow<ListEntry>(keyOf.entry(list, number))
  return isEntry(entry) ? entry : undefined
}

/** One entry of a list that is not an outbox. */
export function checkEntry(sight: Sight, key: string, value: string): void {
  const { list, number } = entryOf(key) ?? { list: '' as ListName, number: 0 }
  const entry = findRow<ListEntry>(value)
  if (!isEntry(entry)) {
    sight.stray(key, 'is no entry of a list')
    return
  }
  const { id, version } = entry
  const seen = sight.findObject(id)
  if (entry.deleted === true) {
    sight.noteDeletion(list, id, version)
    if (seen !== undefined && version > seen.object.version)
      sight.stray(key, `says that ${id} was deleted in a version that is not here`)
    return
  }
  if (sight.isLost(id)) return
  if (seen === undefined) {
    sight.stray(key, `${id} is not here`)
    return
  }
  const at = newestKey(list, seen.object)
  const placed = sight.findRow<Placed>(at)
  if (placed?.id === id && placed.n === number && placed.version === version) {
    const isBox = sortOf(list) === 'box'
    const boxed = isBox ? findBoxed(sight, nameOf(list), id) : undefined
    const text = entryText({ id, version }, moreOf({ by: boxed?.by }))
    if (text !== value && (!isBox || boxed !== undefined)) sight.expect(key, text, `${id} stands here`)
    return
  }
  // A user or server that was made anew leaves what it was in the order of then.
  if (traitsOf(seen.object.kind).isSingle && version < seen.object.version) return
  const other = placed === undefined ? undefined : findEntry(sight, list, placed.n)
  const isElsewhere = other !== undefined && other.id === id && other.version === placed?.version
  const isCurrent = seen.object.deleted !== true && version === wantedVersion(sight, list, seen)
  if (isElsewhere || !isCurrent || !isWanted(sight, list, seen) || sight.claimed.has(at)) {
    sight.stray(key, `nothing says that ${id} stands here`)
    return
  }
  sight.claimed.add(at)
  const fix = { puts: [[at, JSON.stringify({ id, version, n: number } satisfies Placed)] as const] }
  if (placed === undefined && sight.get(at) === undefined)
    sight.find('entry-missing', at, `${id} stands in its list as ${number}`, fix)
  else sight.find('entry-wrong', at, `${id} stands in its list as ${number}, in version ${version}`, fix)
}

function wantedVersion(sight: Sight, list: ListName, { object }: SeenObject): number | undefined {
  if (sortOf(list) === 'box') return findBoxed(sight, nameOf(list), object.id)?.version
  const isForums = sortOf(list) === 'public' && !isInOwn(sight, list, object)
  return isForums ? forumVersion(sight, nameOf(list), object) : object.version
}

/** One row of the order of making. */
export function checkNewest(sight: Sight, key: string, value: string): void {
  if (sight.claimed.has(key)) return
  const [sort, name] = partsOf(key)
  const list = `${sort} ${name}` as ListName
  const placed = findRow<Placed>(value)
  if (placed === undefined || typeof placed.id !== 'string' || !areWhole(placed.version, placed.n)) {
    sight.stray(key, 'says of nothing where it stands')
    return
  }
  const { id, version, n } = placed
  if (sight.isLost(id)) return
  const seen = sight.findObject(id)
  if (seen === undefined) {
    sight.stray(key, `${id} is not here`)
    return
  }
  const { object } = seen
  if (traitsOf(object.kind).isSingle && version < object.version) return
  if (newestKey(list, object) !== key) sight.stray(key, `${id} stands elsewhere in the order of making`)
  else if (object.deleted === true && version === object.version) sight.stray(key, `${id} was deleted`)
  else if (!isWanted(sight, list, seen)) checkUnboxed(sight, { list, key, n, seen })
}

interface Unboxed {
  readonly list: ListName
  readonly key: string
  readonly n: number
  readonly seen: SeenObject
}

/** Entry and order agree that it is in a box, and the row of the box is not there: two of three. */
function checkUnboxed(sight: Sight, { list, key, n, seen }: Unboxed): void {
  const { id } = seen.object
  const entry = findEntry(sight, list, n)
  if (sortOf(list) !== 'box' || entry?.id !== id || !sight.isOurs(nameOf(list))) {
    sight.stray(key, `${id} does not belong into this list`)
    return
  }
  const boxed = keyOf.boxed(nameOf(list), id)
  const value = boxedText(nameOf(list), seen, entry)
  const { bytes } = parseBoxed(value)
  sight.addBytes(list, bytes)
  sight.find('entry-missing', boxed, `${id} stands in this box`, { puts: [[boxed, value]] })
}

/** The row of a box as it can be made again: when it came is not known any more. */
export function boxedText(
  address: string,
  { object, bytes }: SeenObject,
  entry: Pick<ListEntry, 'version' | 'by'>,
): string {
  const boxed: Boxed = {
    version: entry.version,
    atMs: Date.parse(object.createdAt),
    bytes: object.owner === address ? 0 : bytes,
    ...(entry.by === undefined ? {} : { by: entry.by }),
  }
  return JSON.stringify(boxed)
}

/** Looks whether a version stands in its list, in both orders. */
export function checkPlace(sight: Sight, { object }: SeenObject, place: Place): void {
  const { list, version } = place
  const { id } = object
  const key = newestKey(list, object)
  const value = entryText({ id, version }, moreOf(place))
  // Also of a version before, of which is not known any more that it was a deletion.
  if (sight.isDeletedIn(list, id, version)) return
  if (object.deleted === true && version === object.version) {
    if (sight.unread.has('entry')) return
    const append = { list, value: entryText({ id, version }, { ...moreOf(place), deleted: true }), bytes: 0 }
    sight.find('entry-missing', `entry ${list}`, `says nothing of the deletion of ${id}`, {
      appends: [append],
    })
    return
  }
  if (sight.claimed.has(key)) return
  const text = sight.get(key)
  const placed = text === undefined ? undefined : findRow<Placed>(text)
  const entry = placed === undefined ? undefined : findEntry(sight, list, placed.n)
  const record = { key, valueAt: (n: number) => JSON.stringify({ id, version, n } satisfies Placed) }
  const anew = { appends: [{ list, value, bytes: 0, record }] }
  if (text === undefined) {
    sight.find('entry-missing', key, `${id} is here, and does not stand in the list`, anew)
  } else if (placed?.id !== id || placed.version !== version || !areWhole(placed.n)) {
    const isThere = entry?.id === id && entry.version === version
    const told = `${id} is here in version ${version}, and the row says ${text.slice(0, 100)}`
    const mended = { puts: [[key, record.valueAt(placed?.n ?? 0)] as const] }
    sight.find('entry-wrong', key, told, isThere ? mended : anew)
  } else if (entry?.id !== id || entry.version !== version) {
    const at = keyOf.entry(list, placed.n)
    const isTaken = entry !== undefined && entry.id !== id && sight.findObject(entry.id) !== undefined
    const told = `${id} is said to stand here, and does not`
    sight.find('entry-missing', at, told, isTaken ? anew : { puts: [[at, value]] })
  }
}
