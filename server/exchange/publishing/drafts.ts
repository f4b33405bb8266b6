/** A draft becomes an object (protocol §7.2): what the home fills in, and what makes it the same draft sent again. */

import { groupIn } from '../../../objects/addressees.ts'
import type { Clock } from '../../../objects/clock.ts'
import { sealedDigest } from '../../../objects/seals/seal.ts'
import type { Before, Store } from '../../../objects/store/store.ts'
import { hasEnded } from '../../../objects/version.ts'
import { maySee, type Sight } from '../../../objects/visibility.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Post } from '../../../schemas/kinds/post.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Draft, FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { checkRules } from '../../../schemas/rules.ts'
import type { Address, Name } from '../../../schemas/text/names.ts'

export interface DraftPorts {
  readonly store: Store
  readonly clock: Clock
  readonly sight: Sight
}

/** Who makes it, and in whose name. */
export interface Making {
  readonly author: Address
  readonly owner: Name
  readonly before: Before['object'] | undefined
}

/** The object that a draft becomes. @throws {FmtpError} FMTP_BAD_OBJECT, FMTP_ABSENT, FMTP_FROM_FUTURE */
export function fillDraft(draft: Draft, { author, owner, before }: Making, ports: DraftPorts): Unsealed {
  const nowMs = ports.clock.now()
  const unsealed = {
    ...(draft.deleted === true ? tombstoneOf(before, draft) : draft),
    ...threadOf(draft, author, before, ports),
    owner,
    createdAt: draft.createdAt ?? before?.createdAt ?? new Date(nowMs).toISOString(),
    version: draft.version ?? Math.max(nowMs, (before?.version ?? 0) + 1),
  } as Unsealed
  // What the home filled in must fit what the draft says.
  checkRules(unsealed)
  checkTimes(unsealed, nowMs)
  return unsealed
}

/** Members of an answer about its parent: as they were, or from the parent where the author may see it. */
function threadOf(
  draft: Draft,
  author: Address,
  before: Before['object'] | undefined,
  { store, sight }: DraftPorts,
): Partial<Post> {
  if (before !== undefined)
    return { ...groupOf(draft, before), ...threadMembers(before), ...threadMembers(draft) }
  if (draft.parent === undefined) return {}
  const parent = store.findObject(draft.parent)
  if (parent !== undefined && maySee(parent, [author], sight)) {
    const parentHash = draft.parentHash ?? sealedDigest(parent)
    return { ...groupOf(draft, parent), parentHash, top: draft.top ?? parent.top ?? parent.id }
  }
  if (draft.parentHash !== undefined && draft.top !== undefined) return {}
  throw new FmtpError('FMTP_BAD_OBJECT', 'the parent is not here: parentHash and top are needed')
}

/** A comment is for the forum of what it answers, and a post stays in the one that it is for. */
function groupOf(draft: Draft, from: Pick<FmtpObject, 'kind'>): Partial<Post> {
  const [group] = groupIn(from)
  const isOpen = traitsOf(draft.kind).namesForum && draft.deleted !== true && groupIn(draft).length === 0
  return isOpen && group !== undefined ? { group } : {}
}

function threadMembers({ parent, parentHash, top }: Partial<FmtpObject>): Partial<FmtpObject> {
  return { ...(parent && { parent }), ...(parentHash && { parentHash }), ...(top && { top }) }
}

function tombstoneOf(before: Before['object'] | undefined, draft: Draft): Draft {
  if (before === undefined) throw new FmtpError('FMTP_ABSENT', draft.id)
  return {
    id: draft.id,
    kind: before.kind,
    ...(before.public === undefined ? {} : { public: before.public }),
    deleted: true,
  }
}

/** A draft that was sent again: all it says stands in the object already, in whatever order. */
export function saysTheSame(draft: Draft, object: Before['object']): boolean {
  const said = object as Readonly<Record<string, unknown>>
  return Object.entries(draft).every(([name, value]) => isSame(value, said[name]))
}

function isSame(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
    return left === right
  return canonicalText(left) === canonicalText(right)
}

/** None is made in the future, and none has ended before it is made. */
export function checkTimes(object: Unsealed, nowMs: number): void {
  const { createdAt, version, expiresAt } = object
  if (Math.max(version, Date.parse(createdAt)) > nowMs + limits.clockSkewMs)
    throw new FmtpError('FMTP_FROM_FUTURE', `version ${version}, created ${createdAt}`)
  if (hasEnded(object, nowMs)) throw new FmtpError('FMTP_ENDED', expiresAt)
}
