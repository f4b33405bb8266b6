/**
 * One write in the making: what an object, its lists and its boxes add to a commit, each on condition that what it was
 * made from is still there.
 */
import { hash } from 'node:crypto'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Database } from './engine/database.ts'
import type { Adjust, Append, Write } from './engine/write.ts'
import { keyOf, type ListName, positionOf } from './layout.ts'
import { parseRow } from './row.ts'

export interface Change extends Write {
  readonly absent: string[]
  readonly equals: (readonly [key: string, value: string])[]
  readonly puts: (readonly [key: string, value: string])[]
  readonly dels: string[]
  readonly appends: Append[]
  readonly adjusts: Adjust[]
}

export function newChange(): Change {
  return { absent: [], equals: [], puts: [], dels: [], appends: [], adjusts: [] }
}

/** Adds all of another write. */
export function addTo(change: Change, write: Write): void {
  change.absent.push(...(write.absent ?? []))
  change.equals.push(...(write.equals ?? []))
  change.puts.push(...(write.puts ?? []))
  change.dels.push(...(write.dels ?? []))
  change.appends.push(...(write.appends ?? []))
  change.adjusts.push(...(write.adjusts ?? []))
}

/** On condition that a key is as it was read. */
export function holdAs(change: Change, key: string, text: string | undefined): void {
  if (text === undefined) change.absent.push(key)
  else change.equals.push([key, text])
}

type Listed = Pick<FmtpObject, 'id' | 'kind' | 'createdAt' | 'version' | 'deleted'>

/** Where the newest entry of an object stands in a list. */
export interface Placed {
  readonly id: string
  readonly version: number
  /** Number of its entry. */
  readonly n: number
}

/** The key under which an object stands in the order of making. */
export function newestKey(list: ListName, { id, kind, createdAt }: Listed): string {
  return keyOf.newest(list, kind, positionOf(Date.parse(createdAt), hash('sha256', id)))
}

export function findPlaced(list: ListName, object: Listed, database: Pick<Database, 'get'>) {
  const key = newestKey(list, object)
  const text = database.get(key)
  return { key, text, placed: text === undefined ? undefined : parseRow<Placed>(text) }
}

/** What stands in a list for a version of an object. */
export interface ListEntry {
  readonly id: string
  readonly version: number
  /** In a box: who forwarded it. */
  readonly by?: string
  /** True for a deletion. */
  readonly deleted?: true
}

export function entryText(
  { id, version }: Pick<ListEntry, 'id' | 'version'>,
  more: Partial<ListEntry> = {},
): string {
  return JSON.stringify({ id, version, ...more })
}

export interface Listing {
  /** Members of the entry besides id and version. */
  readonly more?: Partial<ListEntry>
  /** By how much the bytes of the list change. */
  readonly bytes?: number
  /** True for an object that was not here before: then it stands in no list, and none is looked at. */
  readonly isNew: boolean
  /** True where it says something else than what is here, though perhaps in the same version (protocol §6.6). */
  readonly isOther?: boolean
}

/**
 * Puts the current version of an object at the end of a list, where an older one makes room. Nothing where this version
 * stands there.
 */
export function enlist(
  change: Change,
  name: ListName,
  object: Listed,
  { more = {}, bytes = 0, isNew, isOther = false }: Listing,
  database: Pick<Database, 'get'>,
): void {
  const { id, version } = object
  const { key, text, placed } = isNew
    ? { key: newestKey(name, object), text: undefined, placed: undefined }
    : findPlaced(name, object, database)
  if (placed?.version === version && object.deleted !== true && !isOther) return
  if (!isNew) holdAs(change, key, text)
  if (placed !== undefined) change.dels.push(keyOf.entry(name, placed.n))
  // What stands for a deletion is in no order of making, and says so itself.
  const isListed = object.deleted !== true
  if (!isListed && placed !== undefined) change.dels.push(key)
  const placeAt = (n: number): string => JSON.stringify({ id, version, n } satisfies Placed)
  const value = entryText({ id, version }, { ...more, ...(isListed ? {} : { deleted: true }) })
  change.appends.push({
    list: name,
    value,
    bytes,
    ...(isListed ? { record: { key, valueAt: placeAt } } : {}),
  })
}

/** Takes an object out of a list, entry and all. */
export function unlist(
  change: Change,
  name: ListName,
  object: Listed,
  database: Pick<Database, 'get'>,
): void {
  const { key, text, placed } = findPlaced(name, object, database)
  if (text === undefined || placed === undefined) return
  change.equals.push([key, text])
  change.dels.push(key, keyOf.entry(name, placed.n))
}
