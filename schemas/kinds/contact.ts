/** A contact point: where an object's owner can be reached (protocol §6.2). */
import type { Static } from 'typebox'
import { limits } from '../limits.ts'
import { Type } from '../type.ts'

export const contact = Type.Object(
  {
    protocol: Type.Enum(['tcp', 'wss', 'udp']),
    /** A host name in A-labels, or an IP address without brackets. */
    host: Type.String({ pattern: '^[a-z0-9.:-]+$', minLength: 1, maxLength: 253 }),
    port: Type.Integer({ minimum: 1, maximum: 65535 }),
    /** Smaller is tried first. */
    priority: Type.Integer({ minimum: 0, maximum: 65535 }),
  },
  { additionalProperties: true },
)
export type Contact = Readonly<Static<typeof contact>>

export const contacts = Type.Array(contact, { maxItems: limits.contacts })
