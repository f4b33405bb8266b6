/** Frames and credentials, checked by the schema of their verb before anything reads them; objects are in parse-object.ts. */

import type { Static } from 'typebox'
import { FmtpError } from './failures.ts'
import { type AnswerFrame, type Frame, frames, publicJwk, type Verb } from './frame.ts'
import { nameText } from './object.ts'
import { Type } from './type.ts'
import { compile, parseAs, type Validator } from './validate.ts'

const frameValidators = Object.fromEntries(
  Object.entries(frames).map(([verb, schema]) => [verb, compile(schema)]),
) as unknown as Readonly<Record<Verb, Validator<Frame>>>

/** @throws {FmtpError} FMTP_UNKNOWN_VERB, FMTP_BAD_FRAME (protocol §4) */
export function parseFrame(value: object): Frame {
  const { verb } = value as { verb?: unknown }
  if (typeof verb !== 'string' || !Object.hasOwn(frameValidators, verb))
    throw new FmtpError('FMTP_UNKNOWN_VERB')
  return parseAs(frameValidators[verb as Verb], value, 'FMTP_BAD_FRAME')
}

/** The number that an answer to a broken frame can name, if the frame had one. */
export function findNumber(value: unknown): AnswerFrame['re'] | undefined {
  const { n } = (value ?? {}) as { n?: unknown }
  return typeof n === 'number' && Number.isSafeInteger(n) && n > 0 ? n : undefined
}

const seconds = Type.Integer({ minimum: 0, maximum: 253_402_300_799 })
const credentialPayload = Type.Object(
  { sub: nameText, cnf: Type.Object({ jwk: publicJwk }), nbf: seconds, exp: seconds },
  { additionalProperties: true },
)
const credentialValidator = compile(credentialPayload)

export function isCredentialPayload(value: unknown): value is Static<typeof credentialPayload> {
  return credentialValidator.is(value)
}
