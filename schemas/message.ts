/** The `message` object: something said to somebody (protocol §6.5). */
import Type, { type Static } from 'typebox'
import { limits } from './limits.ts'
import { addressText, digestText, type FmtpObject, mediaType } from './object.ts'

const attachment = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 255 }),
    format: mediaType,
    bytes: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    sha256: digestText,
    secret: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+$', minLength: 22, maxLength: 86 })),
  },
  { additionalProperties: true },
)

export const messageMembers = {
  to: Type.Array(addressText, { minItems: 1, maxItems: limits.recipients, uniqueItems: true }),
  subject: Type.Optional(Type.String({ maxLength: 1000 })),
  format: mediaType,
  body: Type.String({ maxLength: limits.objectBytes }),
  attachments: Type.Optional(Type.Array(attachment, { maxItems: 100 })),
  important: Type.Optional(Type.Boolean()),
  noReply: Type.Optional(Type.Boolean()),
  /** The method by which `body` is enciphered, one of the recipient's `encryptMethods`. */
  encrypted: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
}

const members = Type.Object(messageMembers)
export type Message = FmtpObject<Static<typeof members>>
