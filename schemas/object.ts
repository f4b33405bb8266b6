/**
 * What all objects share (protocol §6.1): the common members, as TypeBox values, so that the JSON Schema
 * and the type are one. Kinds add their own members in files of their own; unknown members are kept.
 */
import type { Static, TProperties } from 'typebox'
import { Type } from './type.ts'

/** Text of SHA-256 or of an Ed25519 thumbprint: 32 bytes in base64url, 43 characters. */
export const digestText = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })

/** A compact JWS: three base64url parts. */
export const compactJws = Type.String({
  pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
  maxLength: 2048,
})

export const addressText = Type.String({ format: 'address', maxLength: 200 })
export const domainText = Type.String({ format: 'a-labels', maxLength: 253 })
export const nameText = Type.String({ format: 'name', maxLength: 253 })
export const objectIdText = Type.String({ format: 'object-id', maxLength: 300 })

/** RFC 3339 in UTC with milliseconds, the only form that is written. */
export const instantText = Type.String({ format: 'instant', maxLength: 24 })

/** A media type such as `text/plain`, without parameters. */
export const mediaType = Type.String({
  pattern: '^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$',
  maxLength: 127,
})

/** Unix milliseconds. */
export const versionNumber = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

const kindText = Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 32 })

const thread = {
  parent: Type.Optional(objectIdText),
  parentHash: Type.Optional(digestText),
  top: Type.Optional(objectIdText),
}

const lifetime = {
  public: Type.Optional(Type.Boolean()),
  expiresAt: Type.Optional(instantText),
}

/** Names that mean the same in every kind; `view` only users have, but others read it without asking for the kind. */
export const commonNames: ReadonlySet<string> = new Set(
  [
    ['id', 'kind', 'owner', 'createdAt', 'version', 'public', 'parent', 'parentHash', 'top'],
    ['expiresAt', 'deleted', 'encryptedKey', 'hash', 'view'],
  ].flat(),
)

/** Members that the home fills in a draft when they are missing (protocol §7.2). */
const identity = { owner: nameText, createdAt: instantText, version: versionNumber }

const seal = { encryptedKey: compactJws, hash: compactJws }

const sealed = { id: objectIdText, kind: kindText, ...identity, ...thread, ...lifetime, ...seal }

/** What may be said of any object, whatever its kind. `deleted` marks a tombstone. */
export const anyObject = Type.Object(
  { ...sealed, deleted: Type.Optional(Type.Literal(true)) },
  { additionalProperties: true },
)

/** A finished object with its seal; `E` are the members of its kind. */
export type FmtpObject<E = object> = Readonly<Static<typeof anyObject> & E>

/** A deleted object: the common members and nothing else. */
export const tombstone = Type.Object(
  { ...sealed, deleted: Type.Literal(true) },
  { additionalProperties: false },
)

/** A tombstone as its maker hands it to its home. */
export const draftTombstone = Type.Object(
  { id: objectIdText, kind: kindText, version: Type.Optional(versionNumber), deleted: Type.Literal(true) },
  { additionalProperties: false },
)

/** An object as its maker hands it to its home: without a seal, and with gaps that the home fills. */
export type Draft<E = object> = Readonly<
  Partial<Omit<Static<typeof anyObject>, 'id' | 'kind' | 'encryptedKey' | 'hash'>> & {
    id: string
    kind: string
  } & E
>

/** An object with all its members but without the seal: what is digested. */
export type Unsealed<O extends FmtpObject = FmtpObject> = Omit<O, 'encryptedKey' | 'hash'>

/** The schema of a finished object of one kind. */
export function finishedSchema<P extends TProperties>(kind: string, own: P) {
  return Type.Object(
    {
      id: objectIdText,
      kind: Type.Literal(kind),
      ...identity,
      ...thread,
      ...lifetime,
      ...seal,
      deleted: Type.Optional(Type.Literal(true)),
      ...own,
    },
    { additionalProperties: true },
  )
}

/** The schema of a draft of the same kind: no seal, and what the home knows may be missing. */
export function draftSchema<P extends TProperties>(kind: string, own: P) {
  return Type.Object(
    {
      id: objectIdText,
      kind: Type.Literal(kind),
      owner: Type.Optional(nameText),
      createdAt: Type.Optional(instantText),
      version: Type.Optional(versionNumber),
      ...thread,
      ...lifetime,
      deleted: Type.Optional(Type.Literal(true)),
      ...own,
    },
    { additionalProperties: true },
  )
}
