/** Frames, objects and credentials, checked by the schema of their verb or kind before anything reads them. */

import Type, { type Static } from 'typebox'
import { FmtpError } from './failures.ts'
import { type AnswerFrame, type Frame, frames, publicJwk, type Verb } from './frame.ts'
import { type Kind, kinds, singleKinds } from './kinds.ts'
import { isAddressName, type Name, nonceOf, type ObjectId, ownerOf } from './names.ts'
import { type Draft, draftTombstone, type FmtpObject, nameText, tombstone } from './object.ts'
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

const finished = Object.fromEntries(
  Object.entries(kinds).map(([kind, schemas]) => [kind, compile(schemas.finished)]),
) as unknown as Readonly<Record<Kind, Validator<FmtpObject>>>

const drafts = Object.fromEntries(
  Object.entries(kinds).map(([kind, schemas]) => [kind, compile(schemas.draft)]),
) as unknown as Readonly<Record<Kind, Validator<Draft>>>

const finishedTombstone = compile(tombstone) as unknown as Validator<FmtpObject>
const unsealedTombstone = compile(draftTombstone) as unknown as Validator<Draft>

/**
 * A finished object: the shape of its kind, and what no schema can say (protocol §6.1).
 * @throws {FmtpError} FMTP_NOT_SEALED, FMTP_UNKNOWN_KIND, FMTP_BAD_OBJECT
 */
export function parseObject(value: unknown): FmtpObject {
  const kind = requireKind(value)
  if (!isSealed(value)) throw new FmtpError('FMTP_NOT_SEALED')
  const validator = isDeleted(value) ? finishedTombstone : finished[kind]
  const object = parseAs(validator, value, 'FMTP_BAD_OBJECT')
  checkIdentity(object)
  if (object.parent !== undefined && (object.parentHash === undefined || object.top === undefined)) {
    throw new FmtpError('FMTP_BAD_OBJECT', 'parent needs parentHash and top')
  }
  if (object.parent === undefined && (object.top !== undefined || object.parentHash !== undefined)) {
    throw new FmtpError('FMTP_BAD_OBJECT', 'top and parentHash need a parent')
  }
  return object
}

/** A draft of an own client (protocol §7.2). @throws {FmtpError} FMTP_UNKNOWN_KIND, FMTP_BAD_OBJECT */
export function parseDraft(value: unknown): Draft {
  const kind = requireKind(value)
  const draft = parseAs(isDeleted(value) ? unsealedTombstone : drafts[kind], value, 'FMTP_BAD_OBJECT')
  checkIdentity({ owner: ownerOf(draft.id as ObjectId), ...draft })
  return draft
}

export function isSealed(value: unknown): boolean {
  const { encryptedKey, hash } = (value ?? {}) as Partial<FmtpObject>
  return encryptedKey !== undefined || hash !== undefined
}

function isDeleted(value: unknown): boolean {
  return (value as Partial<FmtpObject>).deleted === true
}

function requireKind(value: unknown): Kind {
  const { kind } = (value ?? {}) as { kind?: unknown }
  if (typeof kind !== 'string') throw new FmtpError('FMTP_BAD_OBJECT', 'kind is missing')
  if (!Object.hasOwn(kinds, kind)) throw new FmtpError('FMTP_UNKNOWN_KIND', kind.slice(0, 32))
  return kind as Kind
}

function checkIdentity(object: { readonly id: string; readonly kind: string; readonly owner: string }): void {
  const owner = ownerOf(object.id as ObjectId)
  if (owner !== object.owner)
    throw new FmtpError('FMTP_BAD_OBJECT', `id ${object.id} is not of ${object.owner}`)
  const nonce = nonceOf(object.id as ObjectId)
  if (
    singleKinds.has(nonce) !== singleKinds.has(object.kind) ||
    (singleKinds.has(nonce) && nonce !== object.kind)
  ) {
    throw new FmtpError('FMTP_BAD_OBJECT', `id ${object.id} does not fit kind ${object.kind}`)
  }
  if (isAddressName(owner as Name) === (object.kind === 'server')) {
    throw new FmtpError('FMTP_BAD_OBJECT', `${object.kind} of ${owner}`)
  }
  const { domain } = object as { domain?: unknown }
  if (object.kind === 'server' && domain !== undefined && domain !== owner) {
    throw new FmtpError('FMTP_BAD_OBJECT', `server object of ${owner} speaks of another domain`)
  }
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
