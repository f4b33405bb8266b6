/** The `server` object: what a domain's server says about itself (protocol §6.4). */
import type { Static } from 'typebox'
import { domainText, type FmtpObject } from '../object.ts'
import { Type } from '../type.ts'
import { contacts } from './contact.ts'

export const serverMembers = {
  domain: domainText,
  name: Type.Optional(Type.String({ maxLength: 200 })),
  contacts: Type.Optional(contacts),
  parents: Type.Optional(Type.Array(domainText, { maxItems: 16 })),
  limits: Type.Optional(
    Type.Object(
      {
        objectBytes: Type.Optional(Type.Integer({ minimum: 0 })),
        frameBytes: Type.Optional(Type.Integer({ minimum: 0 })),
        recipients: Type.Optional(Type.Integer({ minimum: 0 })),
      },
      { additionalProperties: true },
    ),
  ),
  registration: Type.Optional(Type.Enum(['open', 'invite', 'closed'])),
  software: Type.Optional(Type.String({ maxLength: 100 })),
  softwareVersion: Type.Optional(Type.String({ maxLength: 100 })),
}

const members = Type.Object(serverMembers)
export type Server = FmtpObject<Static<typeof members>>
