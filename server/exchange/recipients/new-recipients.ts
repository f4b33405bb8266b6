/**
 * To how many a user of ours may write for the first time on one day (protocol §12.2), so that an account that was taken
 * over is of little use to who sends to everybody. Counted in the commit of the object itself.
 */
import type { Clock } from '../../../objects/clock.ts'
import type { Write } from '../../../objects/store/engine/write.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import type { Address } from '../../../schemas/text/names.ts'

export interface CountPorts {
  readonly store: Pick<Store, 'findObject'> & { readonly database: Pick<Store['database'], 'get'> }
  readonly clock: Clock
  readonly perDay: number
  isExempt(remote: string): boolean
  /** An error that says when to come again; it is counted. */
  refuse(author: Address, retryAfterMs: number): FmtpError
}

/**
 * What is to be written with an object for these recipients.
 * @throws {FmtpError} FMTP_RATE until the next day; FMTP_TOO_MANY_RECIPIENTS where no day has room for them
 */
export type CountRecipients = (
  object: FmtpObject,
  recipients: readonly Address[],
  from: { readonly before: Pick<FmtpObject, 'version'> | undefined; readonly remote: string },
) => Write

const dayMs = 86_400_000
const nothing: Write = {}

/** Day since 1970 and count, of the row `strangers`; `undefined` for a text that is no such row. */
export function readStrangers(text: string): { readonly day: number; readonly count: number } | undefined {
  const [, day, count] = /^(\d{1,9}) (\d{1,9})$/.exec(text) ?? []
  return day === undefined ? undefined : { day: Number(day), count: Number(count) }
}

export function createCountRecipients(ports: CountPorts): CountRecipients {
  const { store, clock, perDay } = ports

  /** Who wrote first is no stranger. */
  function findAnswered({ owner, parent }: FmtpObject): string | undefined {
    const asked = parent === undefined ? undefined : (store.findObject(parent) as Message | undefined)
    return asked?.to?.includes(owner as Address) === true ? asked.owner : undefined
  }

  return (object, recipients, { before, remote }) => {
    const author = object.owner as Address
    // An edit or a deletion goes to those who had it.
    if (before !== undefined && object.deleted === true) return nothing
    // What a group has to tell is its moderators' affair.
    if (traitsOf(object.kind).publishedBy === 'moderators') return nothing
    const fresh = recipients.filter(
      recipient => recipient !== author && store.database.get(keyOf.wrote(author, recipient)) === undefined,
    )
    if (fresh.length === 0) return nothing
    const puts = fresh.map(recipient => [keyOf.wrote(author, recipient), ''] as const)
    const answered = findAnswered(object)
    const counted = fresh.filter(recipient => recipient !== answered).length
    if (counted === 0 || ports.isExempt(remote)) return { puts }
    if (counted > perDay) throw new FmtpError('FMTP_TOO_MANY_RECIPIENTS', `${counted} at first sight`)
    const nowMs = clock.now()
    const day = Math.floor(nowMs / dayMs)
    const key = keyOf.strangers(author)
    const text = store.database.get(key)
    const known = text === undefined ? undefined : readStrangers(text)
    const count = counted + (known?.day === day ? known.count : 0)
    if (count > perDay) throw ports.refuse(author, (day + 1) * dayMs - nowMs)
    const condition = text === undefined ? { absent: [key] } : { equals: [[key, text] as const] }
    return { ...condition, puts: [...puts, [key, `${day} ${count}`]] }
  }
}
