/** The `report` object: what a server tells an author of an object, or a group of a post in its list (protocol §6.10). */
import type { Static } from 'typebox'
import { limits } from '../limits.ts'
import { type FmtpObject, nameText, objectIdText, versionNumber } from '../object.ts'
import { Type } from '../type.ts'

const word = Type.String({ maxLength: 64 })

/** One thing that was tried: where, what, and how it went. */
const step = Type.Object(
  {
    rung: word,
    what: word,
    outcome: word,
    ms: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  },
  { additionalProperties: true },
)

/** What a relay says of one recipient. */
const resultOfRelay = Type.Object(
  {
    for: nameText,
    outcome: Type.Enum(['stored', 'refused', 'absent', 'failed', 'unknown']),
    code: Type.Optional(Type.String({ pattern: '^FMTP_[A-Z_]+$', maxLength: 64 })),
  },
  { additionalProperties: true },
)

export const reportMembers = {
  about: objectIdText,
  /** The version that it speaks of, in the report of a relay. */
  aboutVersion: Type.Optional(versionNumber),
  /** What a relay says of each recipient, all of one domain. */
  results: Type.Optional(Type.Array(resultOfRelay, { minItems: 0, maxItems: limits.recipients })),
  /** Whom it speaks of: one recipient, or the domain of several. */
  recipient: Type.Optional(nameText),
  recipients: Type.Optional(Type.Array(nameText, { maxItems: limits.recipients })),
  /** `delayed`, `failed`, `delivered`, `removed`; a later version may know more. */
  outcome: Type.String({ pattern: '^[a-z]+$', maxLength: 32 }),
  code: Type.Optional(Type.String({ pattern: '^FMTP_[A-Z_]+$', maxLength: 64 })),
  trail: Type.Optional(Type.Array(step, { maxItems: 100 })),
}

const members = Type.Object(reportMembers)
export type Report = FmtpObject<Static<typeof members>>
