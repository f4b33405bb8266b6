/** The `user` object: who somebody is, and where and how they can be reached (protocol §6.3). */
import type { Static } from 'typebox'
import { limits } from '../limits.ts'
import { addressText, digestText, type FmtpObject, mediaType } from '../object.ts'
import { Type } from '../type.ts'
import { contacts } from './contact.ts'

const shortText = Type.String({ maxLength: 200 })

/** A pattern of addresses: literal text with `*` for any run of characters, e.g. `*@poe.net`. */
const patternText = Type.String({ pattern: '^[^\\s]+$', minLength: 1, maxLength: 200 })
const patterns = Type.Array(patternText, { maxItems: limits.patterns })

export const userMembers = {
  /** Whose eyes this copy is made for: `everyone`, `friends`, `owner`, or `net:<name>`. */
  view: Type.Optional(Type.String({ pattern: '^(everyone|friends|owner|net:[a-z0-9-]+)$', maxLength: 64 })),
  givenName: Type.Optional(shortText),
  familyName: Type.Optional(shortText),
  quote: Type.Optional(Type.String({ maxLength: 1000 })),
  avatar: Type.Optional(
    Type.Object(
      { format: mediaType, bytes: Type.Integer({ minimum: 0 }), sha256: digestText },
      { additionalProperties: true },
    ),
  ),
  links: Type.Optional(
    Type.Array(
      Type.Object(
        { title: shortText, url: Type.String({ pattern: '^https?://[^\\s]+$', maxLength: 1000 }) },
        { additionalProperties: true },
      ),
      { maxItems: 20 },
    ),
  ),
  contacts: Type.Optional(contacts),
  status: Type.Optional(Type.Enum(['online', 'away', 'busy', 'offline'])),
  statusText: Type.Optional(shortText),
  formats: Type.Optional(Type.Array(mediaType, { maxItems: 32 })),
  encryptPolicy: Type.Optional(Type.Enum(['required', 'optional', 'none'])),
  encryptMethods: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { maxItems: 16 })),
  keys: Type.Optional(Type.Array(digestText, { maxItems: 64 })),
  movedTo: Type.Optional(addressText),
  movedFrom: Type.Optional(addressText),
}

/** Who may reach an address; a group has these too. */
export const reachMembers = {
  whitelist: Type.Optional(patterns),
  blacklist: Type.Optional(patterns),
  policy: Type.Optional(Type.Enum(['accept', 'confirm', 'reject'])),
}

/** Members that only the owner's view carries. */
export const ownerMembers = {
  ...reachMembers,
  buddies: Type.Optional(Type.Array(addressText, { maxItems: 1000 })),
  statusFor: Type.Optional(Type.Enum(['everyone', 'friends', 'nobody'])),
  /** Thumbprints of devices that are the user's no more: the home removes them. */
  revokedKeys: Type.Optional(Type.Array(digestText, { maxItems: 64 })),
  keepDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 36500 })),
}

const members = Type.Object({ ...userMembers, ...ownerMembers })
export type User = FmtpObject<Static<typeof members>>
