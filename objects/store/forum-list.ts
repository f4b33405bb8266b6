/**
 * The list of a forum (protocol §6.8, §9.4): the posts that it took, without those that its moderators removed. A removal
 * is a report of the group, one for each post, so that the report itself is all that is kept of it.
 */

import type { Report } from '../../schemas/kinds/report.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Address, makeObjectId, type ObjectId } from '../../schemas/text/names.ts'
import { toBase64url } from '../../wire/base64url.ts'
import { groupIn } from '../addressees.ts'
import { sha256 } from '../seals/keys.ts'
import { type Change, enlist, holdAs, unlist } from './change.ts'
import { keyOf, listOf } from './layout.ts'
import type { Before, Store } from './store.ts'

const digestChars = 20

/** The id of the report with which a group removes an object: one for each. */
export function removalId(about: string, group: Address): ObjectId {
  return makeObjectId(`removed-${toBase64url(sha256(about)).slice(0, digestChars)}`, group)
}

export function isRemoved(id: string, group: Address, store: Store): boolean {
  const report = store.findObject(removalId(id, group)) as Report | undefined
  // A tombstone has no outcome any more.
  return report?.outcome === 'removed'
}

/** Keeps the list of a forum in step with a post that it took. */
export function listInForum(
  change: Change,
  object: FmtpObject,
  group: Address,
  { isNew, store }: { readonly isNew: boolean; readonly store: Store },
): void {
  const name = listOf.public(group)
  if (!isNew) {
    // A removal that is being written at this moment does not see this version.
    const removal = keyOf.object(removalId(object.id, group))
    holdAs(change, removal, store.database.get(removal))
    if (isRemoved(object.id, group, store)) return
  }
  if (object.public === true) enlist(change, name, object, { isNew }, store.database)
  else unlist(change, name, object, store.database)
}

/** What a report of a group does to its list: it takes the post out, and its deletion puts it back. */
export function applyRemoval(
  change: Change,
  report: FmtpObject,
  before: Before['object'] | undefined,
  store: Store,
): void {
  const group = report.owner as Address
  const { about } = { ...before, ...report } as Partial<Report>
  const post = about === undefined ? undefined : store.findBefore(about)
  if (post === undefined) return
  change.equals.push([keyOf.object(post.object.id), post.text])
  const name = listOf.public(group)
  if (report.deleted !== true) unlist(change, name, post.object, store.database)
  else if (post.object.public === true && isOf(post.object, group, store))
    enlist(change, name, post.object, { isNew: false }, store.database)
}

function isOf(object: Before['object'], group: Address, store: Store): boolean {
  return groupIn(object).includes(group) && store.findBoxedText(group, object.id) !== undefined
}

/**
 * True for a post that a group of ours did not take, or removed: it stands in no thread, but for its author. `isGroup`
 * tells whether a group of ours is or was there.
 */
export function isLeftOut(
  object: FmtpObject,
  viewers: readonly string[],
  ports: { readonly store: Store; isGroup(address: Address): boolean },
): boolean {
  const [group] = groupIn(object)
  if (group === undefined || !ports.isGroup(group)) return false
  if (viewers.length > 0 && viewers.every(viewer => viewer === object.owner)) return false
  return ports.store.findBoxedText(group, object.id) === undefined || isRemoved(object.id, group, ports.store)
}
