/** The `post` object: something said to whoever reads, such as an article of a blog or its comment (protocol §6.7). */
import type { Static } from 'typebox'
import { limits } from '../limits.ts'
import { addressText, type FmtpObject, mediaType } from '../object.ts'
import { Type } from '../type.ts'
import { attachments } from './attachment.ts'

/** One word without white space, as people write it behind a `#`. */
const tag = Type.String({ pattern: '^\\S+$', minLength: 1, maxLength: 64 })

export const postMembers = {
  title: Type.Optional(Type.String({ maxLength: 1000 })),
  format: mediaType,
  body: Type.String({ maxLength: limits.objectBytes }),
  tags: Type.Optional(Type.Array(tag, { maxItems: 32, uniqueItems: true })),
  attachments: Type.Optional(attachments),
  /** The forum that it is for. */
  group: Type.Optional(addressText),
}

const members = Type.Object(postMembers)
export type Post = FmtpObject<Static<typeof members>>
