/**
 * Judges one approach to one user of ours (protocol §8.3), from who is judged to quota. Used for what comes in and for
 * what one user of ours writes to another.
 */
import { keyOf, listOf } from '../../objects/layout.ts'
import { type Decision, decideReach, decideReadable, isForwarded } from '../../objects/policy.ts'
import { digestOf } from '../../objects/seal.ts'
import type { Store } from '../../objects/store.ts'
import type { Message } from '../../schemas/message.ts'
import { type Address, type Name, type ObjectId, ownerOf } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
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
export async function judge(
  object: FmtpObject,
  recipient: Name,
  from: { readonly session: Name | undefined; readonly bytes: number },
  ports: JudgePorts,
): Promise<Judgement> {
  const user = ports.findUser(recipient)
  if (user === undefined) return { outcome: 'absent', reason: 'no such user' }
  const isForward = isForwarded(object, recipient, from.session)
  const judged = isForward ? from.session : object.owner
  const hasTakenPart = !isForward && (await tookPart(object, recipient as Address, ports.store))
  const reach = decideReach(user, { judged, isForward, hasTakenPart })
  // To strangers a hidden user looks like none, whatever they bring.
  if (!reach.isAccepted && user.public === false)
    return { outcome: 'absent', reason: `hidden; ${reach.reason}` }
  for (const decision of [reach, decideReadable(user, object), decideRoom(recipient, from.bytes, ports)]) {
    if (!decision.isAccepted) return { outcome: 'refuse', reason: decision.reason, decision }
  }
  const forwardedBy = isForward && from.session !== undefined ? { forwardedBy: from.session } : {}
  return { outcome: 'accept', reason: reach.reason, ...forwardedBy }
}

/**
 * The parent is in the recipient's box, the sender owns it or was written to in it, the recipient has said something
 * in the thread, and the sender saw the version that is here.
 */
async function tookPart(object: FmtpObject, recipient: Address, store: Store): Promise<boolean> {
  const { parent, parentHash } = object
  if (parent === undefined || parentHash === undefined) return false
  if (store.findBoxed(recipient, parent) === undefined) return false
  const before = store.findObject(parent) as Message | undefined
  if (before === undefined || before.noReply === true || digestOf(before) !== parentHash) return false
  if (before.owner !== object.owner && before.to?.includes(object.owner) !== true) return false
  const top = before.top ?? before.id
  const { entries } = await store.readList(listOf.thread(top), 0, threadMost)
  return entries.some(({ id }) => ownerOf(id as ObjectId) === recipient)
}

const threadMost = 500

function decideRoom(recipient: Name, bytes: number, { store, boxBytes }: JudgePorts): Decision {
  const used = store.database.head(listOf.box(recipient)).bytes
  if (used + bytes <= boxBytes) return { isAccepted: true, reason: 'room' }
  return { isAccepted: false, code: 'FMTP_QUOTA', reason: `${used} of ${boxBytes} bytes used` }
}

/** Keys and entries that put an object into a user's box. */
export function boxWrite(object: FmtpObject, recipient: string, bytes: number, forwardedBy?: Name) {
  const boxed = { version: object.version, ...(forwardedBy === undefined ? {} : { by: forwardedBy }) }
  const entry = { id: object.id, ...boxed }
  return {
    put: [keyOf.boxed(recipient, object.id), JSON.stringify(boxed)] as const,
    append: { list: listOf.box(recipient), value: JSON.stringify(entry), bytes },
  }
}
