/**
 * The five frames of the wire and their members (protocol §4, §4.5). A frame is one JSON object with `verb`; members that are not
 * named here are ignored, so that later versions can add some.
 */
import type { Static } from 'typebox'
import { blobSecret } from './kinds/attachment.ts'
import { contact } from './kinds/contact.ts'
import { limits } from './limits.ts'
import { askedListNames } from './lists.ts'
import {
  addressText,
  compactJws,
  digestText,
  domainText,
  nameText,
  objectIdText,
  versionNumber,
} from './object.ts'
import { Type } from './type.ts'

const frame = <P extends Parameters<typeof Type.Object>[0]>(properties: P) =>
  Type.Object(properties, { additionalProperties: true })

/** Numbers of frames: each side counts its own. */
const number = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** 16 to 64 random bytes in base64url. */
const nonce = Type.String({ pattern: '^[A-Za-z0-9_-]+$', minLength: 22, maxLength: 86 })

/** A compact JWS with its payload left out. */
const detachedJws = Type.String({ pattern: '^[A-Za-z0-9_-]+\\.\\.[A-Za-z0-9_-]+$', maxLength: 1024 })

/** An Ed25519 public key (RFC 8037). */
export const publicJwk = Type.Object(
  { kty: Type.Literal('OKP'), crv: Type.Literal('Ed25519'), x: digestText },
  { additionalProperties: false },
)
export type PublicJwk = Readonly<Static<typeof publicJwk>>

/** An older key of a domain, and its credential for the key that followed it. */
const successor = frame({ key: publicJwk, credential: compactJws })
export type Successor = Readonly<Static<typeof successor>>

const failure = {
  code: Type.Optional(Type.String({ pattern: '^FMTP_[A-Z_]+$', maxLength: 64 })),
  text: Type.Optional(Type.String({ maxLength: 500 })),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400_000 })),
}

export const helloFrame = frame({
  verb: Type.Literal('hello'),
  version: Type.Integer({ minimum: 1, maximum: 1000 }),
  role: Type.Enum(['opens', 'answers']),
  as: Type.Optional(nameText),
  to: Type.Optional(nameText),
  nonce,
  peerNonce: Type.Optional(nonce),
  binding: Type.Optional(Type.String({ minLength: 1, maxLength: 253 })),
  proof: Type.Optional(detachedJws),
  credential: Type.Optional(compactJws),
  token: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })),
  key: Type.Optional(publicJwk),
  issued: Type.Optional(compactJws),
  successors: Type.Optional(Type.Array(successor, { maxItems: 8 })),
  limits: Type.Optional(
    frame({
      windowFrames: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
      windowBytes: Type.Optional(Type.Integer({ minimum: 1024, maximum: 1_000_000_000 })),
    }),
  ),
})
export type HelloFrame = Readonly<Static<typeof helloFrame>>

/** First and last of some bytes, counted from 0. */
const byteRange = Type.Array(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), {
  minItems: 2,
  maxItems: 2,
})

const hops = Type.Optional(Type.Array(domainText, { maxItems: limits.hops }))

export const describeFrame = frame({
  verb: Type.Literal('describe'),
  n: Type.Optional(number),
  re: Type.Optional(number),
  /** Checked by the schema of its kind in a second step. */
  object: Type.Object({}, { additionalProperties: true }),
  for: Type.Optional(Type.Array(nameText, { minItems: 1, maxItems: limits.recipients, uniqueItems: true })),
  replaces: Type.Optional(versionNumber),
  by: Type.Optional(nameText),
  cursor: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9]+\\.[0-9]+$', maxLength: 64 })),
  hops,
})
export type DescribeFrame = Readonly<Static<typeof describeFrame>>

export const listQuery = Type.Object(
  {
    of: Type.Enum(askedListNames),
    owner: Type.Optional(nameText),
    top: Type.Optional(objectIdText),
    kind: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9-]*$', maxLength: 32 })),
    order: Type.Optional(Type.Enum(['arrival', 'newest'])),
    after: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9]+\\.[0-9]+$', maxLength: 64 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.pageObjectsMost })),
  },
  { additionalProperties: false },
)
export type ListQuery = Readonly<Static<typeof listQuery>>

export const requestFrame = frame({
  verb: Type.Literal('request'),
  n: number,
  address: Type.Optional(nameText),
  id: Type.Optional(objectIdText),
  list: Type.Optional(listQuery),
  /** A piece of this blob, for the sake of the object `id`. */
  blob: Type.Optional(digestText),
  secret: Type.Optional(blobSecret),
  range: Type.Optional(byteRange),
  for: Type.Optional(
    Type.Array(addressText, { minItems: 1, maxItems: limits.recipients, uniqueItems: true }),
  ),
  effort: Type.Optional(Type.Enum(['own', 'cache', 'lookup'])),
  follow: Type.Optional(Type.Boolean()),
  /** Makes a datagram as long as its answer may be. */
  pad: Type.Optional(Type.String({ maxLength: limits.datagramBytesMost })),
  hops,
})
export type RequestFrame = Readonly<Static<typeof requestFrame>>

/** What became of a describe, for one recipient or for the object as a whole (protocol §4.6). */
export const describeOutcomes = [
  ...['stored', 'duplicate', 'queued', 'relayed', 'refused', 'absent', 'busy'],
] as const
export type DescribeOutcome = (typeof describeOutcomes)[number]

/** What became of a request. `absent` only the owner's domain may say. */
export const requestOutcomes = ['found', 'absent', 'looking', 'unreachable', 'refused', 'busy'] as const
export type RequestOutcome = (typeof requestOutcomes)[number]

const outcome = Type.String({ pattern: '^[a-z]+$', maxLength: 32 })

const result = frame({ for: nameText, outcome, ...failure })
export type Result = Readonly<Static<typeof result>>

export const answerFrame = frame({
  verb: Type.Literal('answer'),
  re: number,
  outcome,
  ...failure,
  results: Type.Optional(Type.Array(result, { maxItems: limits.recipients })),
  /** Unix ms at which the home of what was found said so. */
  asOf: Type.Optional(versionNumber),
  id: Type.Optional(objectIdText),
  version: Type.Optional(versionNumber),
  contacts: Type.Optional(Type.Array(contact, { maxItems: limits.contacts })),
  cursor: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9]+\\.[0-9]+$', maxLength: 64 })),
  complete: Type.Optional(Type.Boolean()),
  /** Of a blob, in base64. */
  bytes: Type.Optional(
    Type.String({ pattern: '^[A-Za-z0-9+/]*={0,2}$', maxLength: 4 * Math.ceil(limits.blobPieceBytes / 3) }),
  ),
  range: Type.Optional(byteRange),
  total: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  /** In a datagram, which has no room for a describe: what was asked for. */
  object: Type.Optional(Type.Object({}, { additionalProperties: true })),
})
export type AnswerFrame = Readonly<Static<typeof answerFrame>>

export const goodbyeFrame = frame({ verb: Type.Literal('goodbye'), ...failure })
export type GoodbyeFrame = Readonly<Static<typeof goodbyeFrame>>

export const frames = {
  hello: helloFrame,
  describe: describeFrame,
  request: requestFrame,
  answer: answerFrame,
  goodbye: goodbyeFrame,
} as const

export type Verb = keyof typeof frames
export type FrameOf = { readonly [V in Verb]: Readonly<Static<(typeof frames)[V]>> }
export type Frame = FrameOf[Verb]
