/**
 * Objects, checked by the schema of their kind before anything reads them (protocol §6). Which kinds are known is a value
 * that each server makes for itself from its config, so that several can run in one process.
 */
import type { TProperties } from 'typebox'
import { FmtpError } from './failures.ts'
import { kinds } from './kinds/kinds.ts'
import { recipients } from './kinds/recipients.ts'
import {
  anyObject,
  type Draft,
  draftSchema,
  draftTombstone,
  type FmtpObject,
  finishedSchema,
  tombstone,
} from './object.ts'
import { checkDraftRules, checkRules } from './rules.ts'
import { Type } from './type.ts'
import { compile, parseAs, type Validator } from './validate.ts'

/** The kinds that somebody knows, and the objects that are well-formed for them. */
export interface Kinds {
  has(kind: string): boolean
  /**
   * A finished object: the shape of its kind, and what no schema can say.
   * @throws {FmtpError} FMTP_NOT_SEALED, FMTP_UNKNOWN_KIND, FMTP_BAD_OBJECT
   */
  parseObject(value: unknown): FmtpObject
  /** A draft of an own client (protocol §7.2). @throws {FmtpError} FMTP_UNKNOWN_KIND, FMTP_BAD_OBJECT */
  parseDraft(value: unknown): Draft
}

/** A kind that an operator adds: the schemas of its own members, checked by operator-kind.ts. */
export interface OperatorKind {
  readonly kind: string
  readonly members: TProperties
}

/** The two shapes of a kind. Nothing is compiled before it is first used. */
interface Shapes {
  readonly finished: Validator<FmtpObject>
  readonly draft: Validator<Draft>
  readonly hasRecipients: boolean
}

function shapesOf(kind: string, members: TProperties): Shapes {
  return {
    // What a schema of a kind that is only known at run time says is more than the type can.
    finished: compile(finishedSchema(kind, members)) as unknown as Validator<FmtpObject>,
    draft: compile(draftSchema(kind, members)) as unknown as Validator<Draft>,
    hasRecipients: Object.hasOwn(members, 'to'),
  }
}

const finishedTombstone = compile(tombstone) as unknown as Validator<FmtpObject>
const unsealedTombstone = compile(draftTombstone) as unknown as Validator<Draft>

const coreShapes: ReadonlyMap<string, Shapes> = new Map(
  Object.entries(kinds).map(([kind, { members }]) => [kind, shapesOf(kind, members)]),
)

/** What any object is, where its kind says nothing more. */
const anyFinished = compile(
  Type.Object({ ...anyObject.properties, to: Type.Optional(recipients) }, { additionalProperties: true }),
) as unknown as Validator<FmtpObject>

/** The kinds of the protocol, and those of an operator. */
export function createKinds(added: readonly OperatorKind[] = []): Kinds {
  const shapes = new Map(coreShapes)
  for (const { kind, members } of added) shapes.set(kind, shapesOf(kind, members))

  function requireShapes(value: unknown): Shapes {
    const kind = requireKind(value)
    const found = shapes.get(kind)
    if (found === undefined) throw new FmtpError('FMTP_UNKNOWN_KIND', kind.slice(0, 32))
    return found
  }

  return {
    has: kind => shapes.has(kind),
    parseObject(value) {
      const { finished, hasRecipients } = requireShapes(value)
      if (!isSealed(value)) throw new FmtpError('FMTP_NOT_SEALED')
      const object = parseAs(isDeleted(value) ? finishedTombstone : finished, value, 'FMTP_BAD_OBJECT')
      if (!hasRecipients) checkNoRecipients(object)
      checkRules(object)
      return object
    },
    parseDraft(value) {
      const { draft, hasRecipients } = requireShapes(value)
      const parsed = parseAs(isDeleted(value) ? unsealedTombstone : draft, value, 'FMTP_BAD_OBJECT')
      if (!hasRecipients) checkNoRecipients(parsed)
      checkDraftRules(parsed)
      return parsed
    },
  }
}

/** The kinds of the protocol alone. */
export const coreKinds: Kinds = createKinds()

/**
 * A finished object for a reader who can not know the kinds of every operator, such as a client: of a kind of the
 * protocol as above, of another kind what all objects share.
 * @throws {FmtpError} FMTP_NOT_SEALED, FMTP_BAD_OBJECT
 */
export function parseAnyObject(value: unknown): FmtpObject {
  if (coreKinds.has(requireKind(value))) return coreKinds.parseObject(value)
  if (!isSealed(value)) throw new FmtpError('FMTP_NOT_SEALED')
  const object = parseAs(isDeleted(value) ? finishedTombstone : anyFinished, value, 'FMTP_BAD_OBJECT')
  checkRules(object)
  return object
}

export function isSealed(value: unknown): boolean {
  const { encryptedKey, hash } = (value ?? {}) as Partial<FmtpObject>
  return encryptedKey !== undefined || hash !== undefined
}

function isDeleted(value: unknown): boolean {
  return (value as Partial<FmtpObject>).deleted === true
}

function requireKind(value: unknown): string {
  const { kind } = (value ?? {}) as { kind?: unknown }
  if (typeof kind !== 'string') throw new FmtpError('FMTP_BAD_OBJECT', 'kind is missing')
  return kind
}

/** Elsewhere `to` would name people whom nobody brings the object to. */
function checkNoRecipients(object: object): void {
  if ('to' in object) throw new FmtpError('FMTP_BAD_OBJECT', 'this kind is not written to anybody')
}
