/** The `mark` object: what its owner notes about another object, for all devices of the owner (protocol §6.12). */
import type { Static } from 'typebox'
import { type FmtpObject, objectIdText } from '../object.ts'
import { Type } from '../type.ts'

const flag = Type.Optional(Type.Boolean())

export const markMembers = {
  about: objectIdText,
  read: flag,
  /** A favourite: never cleared away. */
  kept: flag,
  hidden: flag,
  /** Of a thread, by its first object: what comes makes no noise. */
  muted: flag,
}

const members = Type.Object(markMembers)
export type Mark = FmtpObject<Static<typeof members>>
