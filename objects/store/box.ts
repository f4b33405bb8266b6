/** A user's box (protocol §9.4): what of an object is written for each user who has it, and taken back. */

import { traitsOf } from '../../schemas/kinds/kinds.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { domainOf, type Name } from '../../schemas/text/names.ts'
import { type Change, enlist, holdAs, unlist } from './change.ts'
import type { Database } from './engine/database.ts'
import { keyOf, listOf } from './layout.ts'
import { parseRow } from './row.ts'

/** The user has this version. `by` forwarded it, where the owner did not write to the user. */
export interface Boxed {
  readonly version: number
  /** Unix ms at which the first version came. */
  readonly atMs: number
  /** What it takes of the user's room. */
  readonly bytes: number
  readonly by?: string
  /** Id of the answer with which the user handed this version on: who replaces it at that moment looks again at who has it. */
  readonly handedOn?: string
}

export function parseBoxed(text: string): Boxed {
  return parseRow<Boxed>(text)
}

export interface Boxing {
  readonly address: string
  readonly bytes: number
  readonly by?: string | undefined
  readonly nowMs: number
  /** Text of the box key as it was read, so that nothing stands in a box twice. */
  readonly boxed: string | undefined
  /** True where it takes the place of another of the same id, perhaps of the same version. */
  readonly isOther?: boolean
}

/** Puts the current version of an object into a user's box. */
export function box(
  change: Change,
  object: FmtpObject,
  { address, bytes, by, nowMs, boxed, isOther = false }: Boxing,
  database: Pick<Database, 'get'>,
): void {
  const key = keyOf.boxed(address, object.id)
  holdAs(change, key, boxed)
  const before = boxed === undefined ? undefined : parseBoxed(boxed)
  const forwarded = by === undefined ? {} : { by }
  const record: Boxed = { version: object.version, atMs: before?.atMs ?? nowMs, bytes, ...forwarded }
  change.puts.push([key, JSON.stringify(record)])
  if (by === undefined) noteAnswer(change, object, address, database)
  const listing = {
    more: forwarded,
    bytes: bytes - (before?.bytes ?? 0),
    isNew: before === undefined,
    isOther,
  }
  enlist(change, listOf.box(address), object, listing, database)
}

/** Takes an object out of a user's box, and gives its room back. */
export function unbox(
  change: Change,
  object: Answering & Pick<FmtpObject, 'createdAt' | 'version'>,
  { address, boxed }: { readonly address: string; readonly boxed: string },
  database: Pick<Database, 'get'>,
): void {
  const key = keyOf.boxed(address, object.id)
  change.equals.push([key, boxed])
  change.dels.push(key)
  forgetAnswer(change, object, address, database)
  const { bytes } = parseBoxed(boxed)
  const name = listOf.box(address)
  unlist(change, name, object, database)
  if (bytes > 0) change.adjusts.push({ list: name, bytes: -bytes })
}

type Answering = Pick<FmtpObject, 'id' | 'kind' | 'owner' | 'parent' | 'top' | 'deleted'>

/**
 * Where it is noted that an answer was written to a user, by which its author may hand on the messages before it (protocol
 * §8.3); `undefined` for what is no such answer.
 */
export function answeredKey({ kind, owner, parent, top }: Answering, address: string): string | undefined {
  if (parent === undefined || top === undefined || owner === address) return undefined
  if (!traitsOf(kind).isHandedOn) return undefined
  return keyOf.answered(top, address, domainOf(owner as Name))
}

function noteAnswer(
  change: Change,
  object: Answering,
  address: string,
  database: Pick<Database, 'get'>,
): void {
  const key = answeredKey(object, address)
  if (object.deleted === true) forgetAnswer(change, object, address, database)
  else if (key !== undefined) change.puts.push([key, object.id])
}

/** On condition that no other answer took its place. */
function forgetAnswer(
  change: Change,
  object: Answering,
  address: string,
  database: Pick<Database, 'get'>,
): void {
  const key = answeredKey(object, address)
  if (key === undefined || database.get(key) !== object.id) return
  change.equals.push([key, object.id])
  change.dels.push(key)
}
