/**
 * Judges one approach to one user of ours (protocol §8.3), from who is judged to quota. Used for what comes in and for
 * what one user of ours writes to another.
 */
import { parseBoxed } from '../../objects/box.ts'
import { listOf } from '../../objects/layout.ts'
import { topOf } from '../../objects/place.ts'
import { type Decision, decideReach, decideReadable, isForwarded } from '../../objects/policy.ts'
import type { Store } from '../../objects/store.ts'
import type { Message } from '../../schemas/message.ts'
import type { Address, Name } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { recipientsIn } from '../../schemas/recipients.ts'
import type { User } from '../../schemas/user.ts'

export interface JudgePorts {
  readonly store: Store
  findUser(address: Name): User | undefined
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
export function judge(
  object: FmtpObject,
  recipient: Name,
  from: { readonly session: Name | undefined; readonly bytes: number },
  ports: JudgePorts,
): Judgement {
  const user = ports.findUser(recipient)
  if (user === undefined) return { outcome: 'absent', reason: 'no such user' }
  const isForward = isForwarded(object, recipient, from.session)
  const judged = isForward ? from.session : object.owner
  const parent = findParent(object, recipient, ports.store)
  const hasTakenPart = !isForward && parent !== undefined && tookPart(object, parent, recipient, ports.store)
  const reach = decideReach(user, { judged, isForward, hasTakenPart })
  // To strangers a hidden user looks like none, whatever they bring.
  if (!reach.isAccepted && user.public === false)
    return { outcome: 'absent', reason: `hidden; ${reach.reason}` }
  const readable = decideReadable(user, object)
  for (const decision of [
    reach,
    decideAnswer(object, parent),
    readable,
    decideRoom(recipient, from.bytes - takenBytes(object.id, recipient, ports.store), ports),
  ]) {
    if (!decision.isAccepted) return { outcome: 'refuse', reason: decision.reason, decision }
  }
  const forwardedBy = isForward && from.session !== undefined ? { forwardedBy: from.session } : {}
  return { outcome: 'accept', reason: reach.reason, ...forwardedBy }
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

function decideRoom(recipient: Name, bytes: number, { store, boxBytes }: JudgePorts): Decision {
  const used = store.database.head(listOf.box(recipient)).bytes
  if (bytes <= 0 || used + bytes <= boxBytes) return { isAccepted: true, reason: 'room' }
  return { isAccepted: false, code: 'FMTP_QUOTA', reason: `${used} of ${boxBytes} bytes used` }
}

/** The version that the text of a box key names. */
export function versionOf(boxed: string): number {
  return parseBoxed(boxed).version
}
