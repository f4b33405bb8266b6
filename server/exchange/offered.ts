/** What a user of ours may publish, by its kind (protocol §9.5). */
import { checkMark } from '../../objects/mark.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Mark } from '../../schemas/mark.ts'
import type { FmtpObject } from '../../schemas/object.ts'

/** @throws {FmtpError} FMTP_NOT_OWNER, FMTP_NOT_OFFERED, FMTP_BAD_OBJECT */
export function checkOffered(object: FmtpObject): void {
  switch (object.kind) {
    case 'server':
    case 'report':
      throw new FmtpError('FMTP_NOT_OWNER', `a ${object.kind} is made by a server`)
    case 'group':
      throw new FmtpError('FMTP_NOT_OFFERED', 'groups')
    case 'mark':
      if (object.deleted !== true) checkMark(object as Mark)
  }
}
