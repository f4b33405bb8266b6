/** What is looked for, and what counts as an answer to it (protocol §10.2). */
import { isEveryones } from '../../objects/view.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { isAddressName, makeObjectId, type Name, type ObjectId } from '../../schemas/text/names.ts'
import { answerError, type Reply } from '../../wire/pairing.ts'

/** What is looked for: somebody's own object by address, or an object by id. */
export type Sought = { readonly address: Name } | { readonly id: ObjectId }

/** The id that a sought thing has. */
export function soughtId(sought: Sought): ObjectId {
  if ('id' in sought) return sought.id
  return makeObjectId(isAddressName(sought.address) ? 'user' : 'server', sought.address)
}

/** The object that was asked for, or `undefined` where its home says that there is none. */
export function takeReply({ answer, describes }: Reply, id: ObjectId, kinds: Kinds): FmtpObject | undefined {
  if (answer.outcome === 'absent') return undefined
  const [first] = describes
  if (answer.outcome !== 'found' || first === undefined) throw answerError(answer)
  const object = kinds.parseObject(first.object)
  if (object.id !== id) throw new FmtpError('FMTP_BAD_OBJECT', `asked for ${id}, got ${object.id}`)
  if (!isEveryones(object)) throw new FmtpError('FMTP_BAD_OBJECT', 'a view that is not for everyone')
  return object
}
