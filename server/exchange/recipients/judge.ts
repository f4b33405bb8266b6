/**
 * Judges one approach to one user or group of ours (protocol §8.3), from who is judged to quota. Used for what comes in and for
 * what one user of ours writes to another.
 */

import { decideGroupReach } from '../../../objects/group-policy.ts'
import {
  type Decision,
  decideReach,
  decideReachThrough,
  decideReadable,
  groupsBringing,
  isBroughtByOwner,
  isForwarded,
  isUnwelcome,
  refuseOwner,
} from '../../../objects/policy.ts'
import { answeredKey } from '../../../objects/store/box.ts'
import { keyOf, listOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { topOf } from '../../../objects/thread.ts'
import type { Group } from '../../../schemas/kinds/group.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, domainOf, type Name } from '../../../schemas/text/names.ts'
import type { Groups } from '../../accounts/groups.ts'

export interface JudgePorts {
  readonly store: Store
  findUser(address: Name): User | undefined
  readonly groups: Pick<Groups, 'find'>
  readonly boxBytes: number
}

export type Judgement =
  | { readonly outcome: 'accept'; readonly reason: string; readonly forwardedBy?: Name }
  | { readonly outcome: 'absent'; readonly reason: string }
  | {
      readonly outcome: 'refuse'
      readonly reason: string
      readonly decision: Extract<Decision, { isAccepted: false }>
    }

/** `session`: the name that the session proved. `bytes`: what the object takes in the box. */
interface Bringing {
  readonly session: Name | undefined
  readonly bytes: number
  /** Known to be brought along: the answer that it belongs to is of the same write. */
  readonly isBroughtAlong?: boolean
}

export function judge(object: FmtpObject, recipient: Name, from: Bringing, ports: JudgePorts): Judgement {
  const user = ports.findUser(recipient)
  if (user === undefined) {
    const group = ports.groups.find(recipient)
    if (group !== undefined) return judgeForGroup(object, group, from, ports)
    return { outcome: 'absent', reason: 'no such user or group' }
  }
  const parent = findParent(object, recipient, ports.store)
  const { reach, forwardedBy } = reachOf(object, user, { ...from, parent }, ports.store)
  if (isEndHere(object, recipient, ports.store))
    return conclude([{ isAccepted: true, reason: 'ends what is in the box' }], forwardedBy)
  // To strangers a hidden user looks like none, whatever they bring.
  if (!reach.isAccepted && user.public === false)
    return { outcome: 'absent', reason: `hidden; ${reach.reason}` }
  const rest = [decideAnswer(object, parent), decideReadable(user, object)]
  const room = decideRoom(object.id, recipient, from.bytes, ports)
  return conclude([reach, ...rest, room], forwardedBy)
}

function judgeForGroup(object: FmtpObject, group: Group, from: Bringing, ports: JudgePorts): Judgement {
  const { store } = ports
  const address = group.owner as Name
  const isHeld = store.findBoxedText(address, object.id) !== undefined
  const parent = object.parent === undefined ? undefined : store.findObject(object.parent)
  const reach = decideGroupReach(group, object, { session: from.session, isHeld, parent })
  const answer = decideAnswer(object, findParent(object, address, store))
  return conclude([reach, answer, decideRoom(object.id, address, from.bytes, ports)])
}

/** The first rung that refuses; else the reason of the first. */
function conclude(decisions: readonly [Decision, ...Decision[]], forwardedBy?: Name): Judgement {
  for (const decision of decisions)
    if (!decision.isAccepted) return { outcome: 'refuse', reason: decision.reason, decision }
  const [{ reason }] = decisions
  return { outcome: 'accept', reason, ...(forwardedBy === undefined ? {} : { forwardedBy }) }
}

interface Reach {
  readonly reach: Decision
  /** In whose name the object comes where its owner did not write to this user. */
  readonly forwardedBy: Name | undefined
}

/** Who is judged. */
function reachOf(
  object: FmtpObject,
  user: User,
  from: Bringing & { readonly parent: Message | undefined },
  store: Store,
): Reach {
  const recipient = user.owner as Address
  if (isForwarded(object, recipient, from.session)) return reachOfForward(object, user, from, store)
  const { parent } = from
  const hasTakenPart = parent !== undefined && tookPart(object, parent, recipient, store)
  // It names nobody. With anything else its owner would write to this user.
  const isEndOfForward = object.deleted === true && store.findBoxed(recipient, object.id)?.by !== undefined
  const isBroughtAlong = isEndOfForward && findBringer(object, from, recipient, store) !== undefined
  const approach = { judged: object.owner, isForward: false, hasTakenPart, isBroughtAlong }
  return { reach: decideReach(user, approach), forwardedBy: undefined }
}

/** The groups through which it comes are judged first, then who brings it. */
function reachOfForward(object: FmtpObject, user: User, from: Bringing, store: Store): Reach {
  const { session } = from
  const recipient = user.owner as Address
  const groups = groupsBringing(object, session, store.findBoxed(recipient, object.id)?.by)
  const through = decideReachThrough(user, object.owner, groups)
  if (through.decision.isAccepted) return { reach: through.decision, forwardedBy: through.group }
  const bringer = findBringer(object, from, recipient, store)
  const isUnasked = bringer === undefined || groups.some(each => isUnwelcome(user, each))
  if (groups.length > 0 && isUnasked) return { reach: through.decision, forwardedBy: undefined }
  const isBroughtAlong = bringer !== undefined
  const approach = { judged: session, isForward: true, hasTakenPart: false, isBroughtAlong }
  const reach = refuseOwner(user, object.owner) ?? decideReach(user, approach)
  return { reach, forwardedBy: bringer ?? session }
}

/**
 * Who has written to this user an answer of the thread that the message belongs to, is proven by the session, and so brings
 * it along: who adds somebody to a conversation hands on what was said before.
 */
function findBringer(
  object: FmtpObject,
  { session, isBroughtAlong }: Bringing,
  recipient: Address,
  store: Store,
): Name | undefined {
  if (isBroughtAlong === true) return session
  const top = topOf(object)
  if (top === undefined || session === undefined || !traitsOf(object.kind).isHandedOn) return undefined
  const key = keyOf.answered(top, recipient, domainOf(session))
  const id = store.database.get(key)
  if (id === undefined || id === object.id || store.findBoxedText(recipient, id) === undefined)
    return undefined
  const answer = store.findObject(id)
  if (answer === undefined || answer.deleted === true || answeredKey(answer, recipient) !== key)
    return undefined
  return isBroughtByOwner(answer, session) ? (answer.owner as Name) : undefined
}

/** Its owner takes it back: what somebody took from a friend must not stay because they are friends no more. */
function isEndHere({ id, deleted }: FmtpObject, recipient: Name, store: Store): boolean {
  return deleted === true && store.findBoxedText(recipient, id) !== undefined
}

/** What an object answers, where that is in the recipient's box. */
function findParent({ parent }: FmtpObject, recipient: Name, store: Store): Message | undefined {
  if (parent === undefined || store.findBoxedText(recipient, parent) === undefined) return undefined
  return store.findObject(parent) as Message | undefined
}

/** Who asked for no answers gets none, from friends neither; a deletion is no answer. */
function decideAnswer({ deleted }: FmtpObject, parent: Message | undefined): Decision {
  if (parent?.noReply !== true || deleted === true) return { isAccepted: true, reason: 'may be answered' }
  return { isAccepted: false, code: 'FMTP_REFUSED', reason: `${parent.id} takes no answers` }
}

/**
 * The sender owns the parent or was written to in it and saw a version that was here, and the recipient has said
 * something in the thread.
 */
function tookPart(object: FmtpObject, parent: Message, recipient: Name, store: Store): boolean {
  if (object.parentHash === undefined || !store.hasDigest(parent.id, object.parentHash)) return false
  if (parent.owner !== object.owner && !recipientsIn(parent).includes(object.owner as Address)) return false
  const top = topOf(parent)
  return top !== undefined && store.hasSpoken(top, recipient)
}

/** What a version of this object takes in the box already: a newer one takes its place. */
function takenBytes(id: string, recipient: Name, store: Store): number {
  return store.findBoxed(recipient, id)?.bytes ?? 0
}

function decideRoom(id: string, recipient: Name, bytes: number, ports: JudgePorts): Decision {
  const { store, boxBytes } = ports
  const more = bytes - takenBytes(id, recipient, store)
  const used = store.database.head(listOf.box(recipient)).bytes
  if (more <= 0 || used + more <= boxBytes) return { isAccepted: true, reason: 'room' }
  return { isAccepted: false, code: 'FMTP_QUOTA', reason: `${used} of ${boxBytes} bytes used` }
}
