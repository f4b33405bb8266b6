/** What a user of ours may publish, by its kind (protocol §9.5). */
import { checkMark } from '../../../objects/mark.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { type CoreKind, forKind, type KindTraits, traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Mark } from '../../../schemas/kinds/mark.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import type { Address } from '../../../schemas/text/names.ts'

function checkUser({ view, policy, deleted }: User): void {
  if (view !== undefined && view !== 'owner')
    throw new FmtpError('FMTP_BAD_OBJECT', 'publish the view of the owner')
  if (policy === 'confirm') throw new FmtpError('FMTP_NOT_OFFERED', 'policy confirm')
  if (deleted === true) throw new FmtpError('FMTP_NOT_OFFERED', 'deleting an account')
}

/** True where the author may not publish the object in this way. */
const isMadeElsewhere: {
  readonly [P in KindTraits['publishedBy']]: (object: FmtpObject, author: Address) => boolean
} = {
  owner: () => false,
  // What is not the author's own is of a group, and was sealed here.
  moderators: ({ owner }, author) => owner === author,
  server: () => true,
}

const anything = (): void => undefined

/** What an object of each kind may say. What a group says was checked before. */
const checks: { readonly [K in CoreKind]: (object: FmtpObject) => void } = {
  user: object => checkUser(object as User),
  server: anything,
  message: anything,
  post: anything,
  group: anything,
  file: anything,
  report: anything,
  invite: anything,
  mark(object) {
    if (object.deleted !== true) checkMark(object as Mark)
  },
}

/** @throws {FmtpError} FMTP_NOT_OWNER, FMTP_NOT_OFFERED, FMTP_BAD_OBJECT */
export function checkOffered(object: FmtpObject, author: Address): void {
  const { kind } = object
  if (isMadeElsewhere[traitsOf(kind).publishedBy](object, author))
    throw new FmtpError('FMTP_NOT_OWNER', `a ${kind} is made by a server`)
  forKind(checks, kind, anything)(object)
}
