/** The `message` object: something said to somebody (protocol §6.5). */
import type { Static } from 'typebox'
import { limits } from '../limits.ts'
import { type FmtpObject, mediaType } from '../object.ts'
import { Type } from '../type.ts'
import { attachments } from './attachment.ts'
import { recipients } from './recipients.ts'

export const messageMembers = {
  to: recipients,
  subject: Type.Optional(Type.String({ maxLength: 1000 })),
  format: mediaType,
  body: Type.String({ maxLength: limits.objectBytes }),
  attachments: Type.Optional(attachments),
  important: Type.Optional(Type.Boolean()),
  noReply: Type.Optional(Type.Boolean()),
  /** The method by which `body` is enciphered, one of the recipient's `encryptMethods`. */
  encrypted: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
}

const members = Type.Object(messageMembers)
export type Message = FmtpObject<Static<typeof members>>
