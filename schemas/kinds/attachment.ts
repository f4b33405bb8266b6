/** Bytes that an object names by their SHA-256: an attachment of a message or post, and the `file` object (protocol §6.9). */
import { digestText, mediaType } from '../object.ts'
import { Type } from '../type.ts'

/** Whoever says it may have the bytes. */
export const blobSecret = Type.String({ pattern: '^[A-Za-z0-9_-]+$', minLength: 22, maxLength: 86 })

export const blobMembers = {
  name: Type.String({ minLength: 1, maxLength: 255 }),
  format: mediaType,
  bytes: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  sha256: digestText,
  /** Without it the bytes are absent, where the object is not public. */
  secret: Type.Optional(blobSecret),
}

const attachment = Type.Object(blobMembers, { additionalProperties: true })
export const attachments = Type.Array(attachment, { maxItems: 100 })
