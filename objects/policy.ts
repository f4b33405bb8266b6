/**
 * May this reach this user, and why (protocol §8.3): whitelist, blacklist, taking part, policy; then what the user can
 * read. Every decision carries its reason; what the sender is told is less, so that blocked and refused look the same.
 */
import type { FailureCode } from '../schemas/failures.ts'
import { traitsOf } from '../schemas/kinds/kinds.ts'
import type { Message } from '../schemas/kinds/message.ts'
import { recipientsIn } from '../schemas/kinds/recipients.ts'
import type { User } from '../schemas/kinds/user.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { type Address, domainOf, isAddressName, type Name } from '../schemas/text/names.ts'
import { addresseesOf } from './addressees.ts'
import { findMatch } from './pattern.ts'

export type Decision =
  | { readonly isAccepted: true; readonly reason: string }
  | { readonly isAccepted: false; readonly reason: string; readonly code: FailureCode }

export interface Approach {
  /** Owner of the object, or for a forward the name that the session proved. `undefined`: an unproven guest. */
  readonly judged: string | undefined
  readonly isForward: boolean
  /** True when the recipient has the parent and the sender belongs to the conversation (protocol §8.3). */
  readonly hasTakenPart: boolean
  /** True where who brings it has written an answer of the same thread to the recipient (protocol §8.3). */
  readonly isBroughtAlong?: boolean
}

/**
 * True where the owner did not write to this recipient: then whoever brings the object is judged, so that nobody can replay
 * a friend's message into a stranger's box. `session`: the name that the bringer proved.
 */
export function isForwarded(object: FmtpObject, recipient: string, session: string | undefined): boolean {
  if (addresseesOf(object).includes(recipient as Address)) return false
  return recipientsIn(object).length > 0 || !isBroughtByOwner(object, session)
}

/** True where the session proved the owner or the owner's domain. */
export function isBroughtByOwner(object: FmtpObject, session: string | undefined): boolean {
  return session === object.owner || session === domainOf(object.owner as Name)
}

/**
 * The groups through which an object comes to somebody whom it does not name: those in `to` for whose home the session
 * speaks. A tombstone names nobody, so that it comes through whoever brought what it ends (`by`).
 */
export function groupsBringing(
  object: FmtpObject,
  session: string | undefined,
  by: string | undefined,
): readonly Address[] {
  const isProven = (name: Name): boolean => name === session || domainOf(name) === session
  if (object.deleted !== true) return recipientsIn(object).filter(isProven)
  return by !== undefined && isAddressName(by as Name) && isProven(by as Name) ? [by as Address] : []
}

/** The group is judged, and the owner against the blacklist. The first group that is welcome brings it. */
export function decideReachThrough(
  recipient: User,
  owner: string,
  groups: readonly Address[],
): { readonly decision: Decision; readonly group: Address | undefined } {
  const unwelcome = refuseOwner(recipient, owner)
  if (unwelcome !== undefined) return { decision: unwelcome, group: undefined }
  let decision = refuse('no group brings it')
  for (const group of groups) {
    decision = decideReach(recipient, { judged: group, isForward: true, hasTakenPart: false })
    if (decision.isAccepted) return { decision, group }
  }
  return { decision, group: undefined }
}

/** Nobody is brought what somebody wrote from whom they want nothing. */
export function refuseOwner(recipient: User, owner: string): Decision | undefined {
  return isUnwelcome(recipient, owner) ? refuse(`blacklist has a pattern for ${owner}`) : undefined
}

/** True for a name on the blacklist, unless a pattern of the whitelist has it too. */
export function isUnwelcome({ blacklist, whitelist }: User, name: string): boolean {
  return findMatch(blacklist, name) !== undefined && findMatch(whitelist, name) === undefined
}

/** The rungs of reaching a user, first match wins. */
export function decideReach(recipient: User, approach: Approach): Decision {
  const { judged, isForward, hasTakenPart, isBroughtAlong } = approach
  const who = isForward ? `forwarded by ${judged}` : judged
  if (judged !== undefined) {
    const friend = findMatch(recipient.whitelist, judged)
    if (friend !== undefined) return { isAccepted: true, reason: `whitelist has ${friend}, ${who}` }
    const foe = findMatch(recipient.blacklist, judged)
    if (foe !== undefined) return refuse(`blacklist has ${foe}, ${who}`)
    if (hasTakenPart) return { isAccepted: true, reason: `took part in the conversation, ${who}` }
    if (isBroughtAlong) return { isAccepted: true, reason: `belongs to an answer that is here, ${who}` }
  }
  const policy = recipient.policy ?? 'accept'
  if (policy === 'accept') return { isAccepted: true, reason: `policy accepts, ${who}` }
  return refuse(`policy is ${policy}, ${who}`)
}

/** What is handed to others at all, and of messages formats and encryption: what the recipient says it can read. */
export function decideReadable(recipient: User, object: FmtpObject): Decision {
  const { isPrivate, mustBeReadable } = traitsOf(object.kind)
  if (isPrivate) return refuse(`a ${object.kind} is for its owner alone`)
  if (!mustBeReadable || object.deleted === true) return { isAccepted: true, reason: 'not a message' }
  const { format, encrypted } = object as Message
  if (recipient.formats !== undefined && !recipient.formats.includes(format)) {
    return { isAccepted: false, code: 'FMTP_FORMAT', reason: `formats has no ${format}` }
  }
  if (recipient.encryptPolicy === 'required' && encrypted === undefined) {
    return { isAccepted: false, code: 'FMTP_ENCRYPT_REQUIRED', reason: 'encryptPolicy is required' }
  }
  if (recipient.encryptPolicy === 'none' && encrypted !== undefined) {
    return { isAccepted: false, code: 'FMTP_ENCRYPT_NONE', reason: 'encryptPolicy is none' }
  }
  return { isAccepted: true, reason: 'readable' }
}

export function refuse(reason: string): Decision {
  return { isAccepted: false, code: 'FMTP_REFUSED', reason }
}
