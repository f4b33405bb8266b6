/**
 * The `invite` object: a key that works once, with which somebody who has no server may talk with the owner of the
 * invite (protocol §6.11). The key travels in a link; only its SHA-256 stands here.
 */
import type { Static } from 'typebox'
import { addressText, digestText, type FmtpObject, instantText, objectIdText } from '../object.ts'
import { Type } from '../type.ts'

export const inviteMembers = {
  keySha256: digestText,
  /** The first object of the conversation that it opens; missing: a new one with the owner alone. */
  about: Type.Optional(objectIdText),
  /** Whom it is meant for, in the owner's words. */
  name: Type.Optional(Type.String({ maxLength: 200 })),
  /** What the invited reads first. */
  greeting: Type.Optional(Type.String({ maxLength: 1000 })),
  /** Set by the home, when the key was used. */
  usedBy: Type.Optional(addressText),
  usedAt: Type.Optional(instantText),
}

const members = Type.Object(inviteMembers)
export type Invite = FmtpObject<Static<typeof members>>
