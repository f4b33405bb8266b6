/**
 * The text in which an object is kept, read back (docs/architecture.md). The disk is not trusted: a text must have the
 * digest that its own seal names, and stand under its own key.
 */
import { hash } from 'node:crypto'
import type { FmtpObject } from '../../schemas/object.ts'
import { readJws } from '../../wire/jws.ts'
import { sealedDigest } from '../seals/seal.ts'
import { keyOf } from './layout.ts'
import { findRow } from './row.ts'

/** An object as it is kept: its credential has a key of its own. */
export type AtRest = Omit<FmtpObject, 'encryptedKey'>

/** The object of a text that is what was written under this key; `undefined`: it is damaged. */
export function findIntact(key: string, text: string): AtRest | undefined {
  const object = findRow<AtRest>(text)
  if (object === undefined || keyFor(key, object) !== key) return undefined
  const seal =
    findDigest(text, object) === sealedDigest(object) ? readJws(object.hash, 'fmtp-hash') : undefined
  return seal === undefined ? undefined : object
}

/** Parses a text that was found intact a moment ago. */
export function parseAtRest(text: string): AtRest {
  return JSON.parse(text) as AtRest
}

/** Views stand under their owner's name. */
function keyFor(key: string, object: AtRest & { readonly view?: string }): string {
  const { id, owner, view = '' } = object
  return key.startsWith('view ') ? keyOf.view(view, owner) : keyOf.object(id)
}

/**
 * SHA-256 of the text without its `hash`, base64url. The text is canonical, so that nothing has to be written anew, and
 * `hash` stands before `id`. The same words deeper inside would have to hold their own digest.
 */
function findDigest(text: string, { hash: seal }: AtRest): string | undefined {
  if (typeof seal !== 'string') return undefined
  const member = `"hash":"${seal}",`
  const at = text.indexOf(member)
  if (at < 0) return undefined
  return hash('sha256', text.slice(0, at) + text.slice(at + member.length), 'base64url')
}

/** Adds the credential at its place in the order of names, so that the canonical form stays cheap. */
export function withCredential(atRest: AtRest, encryptedKey: string): FmtpObject {
  const entries = Object.entries(atRest)
  const at = entries.findIndex(([other]) => other > 'encryptedKey')
  entries.splice(at === -1 ? entries.length : at, 0, ['encryptedKey', encryptedKey])
  return Object.fromEntries(entries) as FmtpObject
}
