/** The `group` object: an address that many share; public it is a forum, else a room (protocol §6.8). */
import type { Static } from 'typebox'
import { addressText, type FmtpObject } from '../object.ts'
import { Type } from '../type.ts'
import { reachMembers } from './user.ts'

const addresses = (maxItems: number) => Type.Array(addressText, { maxItems, uniqueItems: true })

export const groupMembers = {
  title: Type.Optional(Type.String({ maxLength: 200 })),
  description: Type.Optional(Type.String({ maxLength: 10_000 })),
  members: Type.Optional(addresses(1000)),
  moderators: Type.Optional(addresses(100)),
  ...reachMembers,
}

const members = Type.Object(groupMembers)
export type Group = FmtpObject<Static<typeof members>>
