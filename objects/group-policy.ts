/**
 * Who belongs to a group, and what it takes (protocol §6.8, §8.3): a forum posts that name it, a room what is written to
 * it; from members always, from others by its lists and policy.
 */
import type { Group } from '../schemas/kinds/group.ts'
import { traitsOf } from '../schemas/kinds/kinds.ts'
import { recipientsIn } from '../schemas/kinds/recipients.ts'
import type { FmtpObject } from '../schemas/object.ts'
import type { Address } from '../schemas/text/names.ts'
import { groupIn } from './addressees.ts'
import { findMatch } from './pattern.ts'
import { type Decision, isBroughtByOwner, refuse } from './policy.ts'

/** Members and moderators: a moderator is a member too. None twice. */
export function peopleOf({ members = [], moderators = [] }: Group): readonly Address[] {
  return [...new Set([...members, ...moderators] as Address[])]
}

export function isMember({ members, moderators }: Group, who: string): boolean {
  return members?.includes(who) === true || moderators?.includes(who) === true
}

export function isForum(group: Pick<Group, 'public'>): boolean {
  return group.public === true
}

/** What is known here of an object that comes to a group. */
export interface GroupApproach {
  /** The name that the session proved. */
  readonly session: string | undefined
  /** True where the group took a version of it. */
  readonly isHeld: boolean
  /** What it answers, where that is here. */
  readonly parent: FmtpObject | undefined
}

/** Whether a group takes an object: whether it is for the group, and then whether its owner may. */
export function decideGroupReach(group: Group, object: FmtpObject, approach: GroupApproach): Decision {
  const { owner, kind, deleted } = object
  // Who is not welcome any more may still take back what was said.
  if (deleted === true && approach.isHeld) return accept('ends what the group has')
  const isOpening = traitsOf(kind).isIntroduction || deleted === true
  const reason = isOpening ? findStray(object, approach) : findMisdirected(group, object, approach)
  if (reason !== undefined) return refuse(reason)
  if (isMember(group, owner)) return accept(`${owner} is a member`)
  const friend = findMatch(group.whitelist, owner)
  if (friend !== undefined) return accept(`whitelist has ${friend}, ${owner}`)
  const foe = findMatch(group.blacklist, owner)
  if (foe !== undefined) return refuse(`blacklist has ${foe}, ${owner}`)
  // A room is for its members, unless it says otherwise.
  const { policy = isForum(group) ? 'accept' : 'reject' } = group
  return policy === 'accept' ? accept(`policy accepts, ${owner}`) : refuse(`policy is ${policy}, ${owner}`)
}

/** What names no group is taken from its owner alone: who writes, and what was deleted before it came. */
function findStray(object: FmtpObject, { session }: GroupApproach): string | undefined {
  return isBroughtByOwner(object, session) ? undefined : `a ${object.kind} that ${session} brings`
}

/** Why an object is not for this group; `undefined`: it is. */
function findMisdirected(group: Group, object: FmtpObject, approach: GroupApproach): string | undefined {
  if (!isForum(group))
    return recipientsIn(object).includes(group.owner as Address)
      ? undefined
      : 'it is not written to this room'
  if (!groupIn(object).includes(group.owner as Address)) return 'it does not name this forum'
  // An author who takes back that it is public is followed.
  if (object.public !== true && !approach.isHeld) return 'it is not public'
  return isOfOtherGroup(object, approach.parent) ? 'it answers a post that is not of this forum' : undefined
}

/** True for a post that answers a post and names another group than that, or none where that names one. */
export function isOfOtherGroup(
  object: Pick<FmtpObject, 'kind' | 'deleted'>,
  parent: Pick<FmtpObject, 'kind' | 'deleted'> | undefined,
): boolean {
  if (parent === undefined || !traitsOf(parent.kind).namesForum || !traitsOf(object.kind).namesForum)
    return false
  // A tombstone does not say any more what it named.
  if (parent.deleted === true || object.deleted === true) return false
  return groupIn(object)[0] !== groupIn(parent)[0]
}

function accept(reason: string): Decision {
  return { isAccepted: true, reason }
}
