/**
 * Judges one approach to one user of ours (protocol §8.3), from who is judged to quota. Used for what comes in and for
 * what one user of ours writes to another.
 */
import { keyOf, listOf } from '../../objects/layout.ts'
import { type Decision, decideReach, decideReadable, isForwarded } from '../../objects/policy.ts'
import { digestOf } from '../../objects/seal.ts'
import type { Boxed, Store } from '../../objects/store.ts'
import type { Message } from '../../schemas/message.ts'
import { type Address, type Name, type ObjectId, ownerOf } from '../../schemas/names.ts'
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
  const parent = findParent(object, recipient, ports.store)
  const hasTakenPart =
    !isForward && parent !== undefined && (await tookPart(object, parent, recipient as Address, ports.store))
  const reach = decideReach(user, { judged, isForward, hasTakenPart })
  // To strangers a hidden user looks like none, whatever they bring.
  if (!reach.isAccepted && user.public === false)
    return { outcome: 'absent', reason: `hidden; ${reach.reason}` }
  const readable = decideReadable(user, object)
  for (const decision of [
    reach,
    decideAnswer(object, parent),
    readable,
    decideRoom(recipient, from.bytes, ports),
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
 * The sender owns the parent or was written to in it and saw the version that is here, and the recipient has said
 * something in the thread.
 */
async function tookPart(
  object: FmtpObject,
  parent: Message,
  recipient: Address,
  store: Store,
): Promise<boolean> {
  if (digestOf(parent) !== object.parentHash) return false
  if (parent.owner !== object.owner && !recipientsIn(parent).includes(object.owner as Address)) return false
  const { entries } = await store.readList(listOf.thread(parent.top ?? parent.id), 0, threadMost)
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

/** The version that the text of a box key names. */
export function versionOf(boxed: string): number {
  return (JSON.parse(boxed) as Boxed).version
}

/** That the box keys of these recipients are as they were read. */
export function boxCondition(
  id: string,
  read: readonly { readonly recipient: Name; readonly boxed?: string | undefined }[],
): {
  readonly absent: readonly string[]
  readonly equals: readonly (readonly [key: string, value: string])[]
} {
  const keys = read.map(({ recipient, boxed }) => [keyOf.boxed(recipient, id), boxed] as const)
  return {
    absent: keys.flatMap(([key, boxed]) => (boxed === undefined ? [key] : [])),
    equals: keys.flatMap(([key, boxed]) => (boxed === undefined ? [] : [[key, boxed] as const])),
  }
}
