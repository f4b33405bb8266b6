/** What a user of ours may publish, by its kind (protocol §9.5). */
import { checkMark } from '../../../objects/mark.ts'
import { FmtpError } from '../../../schemas/failures.ts'
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

/** @throws {FmtpError} FMTP_NOT_OWNER, FMTP_NOT_OFFERED, FMTP_BAD_OBJECT */
export function checkOffered(object: FmtpObject, author: Address): void {
  switch (object.kind) {
    case 'server':
      throw new FmtpError('FMTP_NOT_OWNER', 'a server object is made by a server')
    case 'report':
    case 'group':
      // What is not the author's own is of a group, and was sealed here.
      if (object.owner === author)
        throw new FmtpError('FMTP_NOT_OWNER', `a ${object.kind} is made by a server`)
      break
    case 'mark':
      if (object.deleted !== true) checkMark(object as Mark)
      break
    case 'user':
      checkUser(object as User)
  }
}
