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
import {
  findList,
  keyOf,
  type ListName,
  type ListParts,
  type ListWith,
  listOf,
} from '../../objects/store/layout.ts'
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

type ObjectList = ListWith<'objects'>
type Parts = Extract<ListParts, { readonly sort: ObjectList }>

/** What a list says of the objects in it. `name`: whose list it is. */
interface Listing {
  /** Whether it has room for this object at all. */
  isWanted(sight: Sight, name: string, object: AtRest): boolean
  /** The version that should stand there; `undefined`: none should. */
  findVersion(sight: Sight, name: string, object: AtRest): number | undefined
  /** What an entry says besides id and version. `undefined`: that cannot be known now. */
  findMore(sight: Sight, name: string, id: string): Partial<ListEntry> | undefined
}

const listings: { readonly [S in ObjectList]: Listing } = {
  public: {
    isWanted: (sight, name, object) =>
      object.public === true &&
      (isInOwn(sight, name, object) || forumVersion(sight, name, object) !== undefined),
    findVersion: (sight, name, object) =>
      isInOwn(sight, name, object) ? object.version : forumVersion(sight, name, object),
    findMore: () => ({}),
  },
  box: {
    isWanted: (sight, name, { id }) => sight.get(keyOf.boxed(name, id)) !== undefined,
    findVersion: (sight, name, { id }) => findBoxed(sight, name, id)?.version,
    findMore(sight, name, id) {
      const boxed = findBoxed(sight, name, id)
      return boxed === undefined ? undefined : moreOf(boxed)
    },
  },
  thread: {
    isWanted: (_, name, object) => topOf(object) === name,
    findVersion: (_, __, { version }) => version,
    findMore: () => ({}),
  },
}

function findBoxed(sight: Sight, address: string, id: string): Boxed | undefined {
  const text = sight.get(keyOf.boxed(address, id))
  if (text === undefined || findRow(text) === undefined) return undefined
  return parseBoxed(text)
}

function isInOwn(sight: Sight, name: string, object: AtRest): boolean {
  return sight.isOurs(object.owner) && publicLists(object).includes(listOf.public(name))
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

function isEntry(entry: ListEntry | undefined): entry is ListEntry {
  return entry !== undefined && typeof entry.id === 'string' && areWhole(entry.version)
}

function findEntry(sight: Sight, list: ListName, number: number): ListEntry | undefined {
  if (!areWhole(number)) return undefined
  const entry = sight.findRow<ListEntry>(keyOf.entry(list, number))
  return isEntry(entry) ? entry : undefined
}

/** One entry of a list of objects. */
export function checkEntry(
  sight: Sight,
  key: string,
  value: string,
  { parts, number }: { readonly parts: Parts; readonly number: number },
): void {
  const { list, sort, name } = parts
  const listing = listings[sort]
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
    const more = listing.findMore(sight, name, id)
    const text = more === undefined ? value : entryText({ id, version }, more)
    if (text !== value) sight.expect(key, text, `${id} stands here`)
    return
  }
  // A user or server that was made anew leaves what it was in the order of then.
  if (traitsOf(seen.object.kind).isSingle && version < seen.object.version) return
  const other = placed === undefined ? undefined : findEntry(sight, list, placed.n)
  const isElsewhere = other !== undefined && other.id === id && other.version === placed?.version
  const isCurrent = seen.object.deleted !== true && version === listing.findVersion(sight, name, seen.object)
  const isWanted = isCurrent && listing.isWanted(sight, name, seen.object)
  if (isElsewhere || !isWanted || sight.claimed.has(at)) {
    sight.stray(key, `nothing says that ${id} stands here`)
    return
  }
  sight.claimed.add(at)
  const fix = { puts: [[at, JSON.stringify({ id, version, n: number } satisfies Placed)] as const] }
  if (placed === undefined && sight.get(at) === undefined)
    sight.find('entry-missing', at, `${id} stands in its list as ${number}`, fix)
  else sight.find('entry-wrong', at, `${id} stands in its list as ${number}, in version ${version}`, fix)
}

/** One row of the order of making. */
export function checkNewest(sight: Sight, key: string, value: string): void {
  if (sight.claimed.has(key)) return
  const [sort, name] = partsOf(key)
  const parts = findList(`${sort} ${name}`)
  if (parts?.entries !== 'objects') {
    sight.stray(key, 'is of no list that has objects')
    return
  }
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
  if (newestKey(parts.list, object) !== key) sight.stray(key, `${id} stands elsewhere in the order of making`)
  else if (object.deleted === true && version === object.version) sight.stray(key, `${id} was deleted`)
  else if (!listings[parts.sort].isWanted(sight, parts.name, object))
    checkUnboxed(sight, { parts, key, n, seen })
}

interface Unboxed {
  readonly parts: Parts
  readonly key: string
  readonly n: number
  readonly seen: SeenObject
}

/** Entry and order agree that it is in a box, and the row of the box is not there: two of three. */
function checkUnboxed(sight: Sight, { parts, key, n, seen }: Unboxed): void {
  const { list, sort, name } = parts
  const { id } = seen.object
  const entry = findEntry(sight, list, n)
  if (sort !== 'box' || entry?.id !== id || !sight.isOurs(name)) {
    sight.stray(key, `${id} does not belong into this list`)
    return
  }
  const boxed = keyOf.boxed(name, id)
  const value = boxedText(name, seen, entry)
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
