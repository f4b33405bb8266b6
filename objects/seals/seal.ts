/**
 * `encryptedKey` and `hash`: seals an object and verifies a seal (protocol §7). The domain's key in DNS vouches for a
 * user's key, and that key for the digest of the object; nothing else is needed to believe it.
 */
import { randomBytes } from 'node:crypto'
import { canonicalText } from '../../schemas/canonical.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { domainOf, type Name } from '../../schemas/text/names.ts'
import { toBase64url } from '../../wire/base64url.ts'
import { readJws, type Signer, signJws, type Verifier } from '../../wire/jws.ts'
import { type Credential, isLive, readCredential, verifyCredential } from './credential.ts'
import { sha256, thumbprintOf, verifierOf } from './keys.ts'

/** One published key of a domain. */
export interface DomainKey {
  readonly selector: string
  readonly thumbprint: string
  readonly verifier: Verifier
  /** Credentials that this key was seen to have signed: they die with the key. */
  readonly credentials: Map<string, Credential>
}

/** The port to what DNS says of a domain's keys. */
export interface DomainKeys {
  /**
   * All keys the domain publishes now. `isFresh` asks DNS again, at most once a minute for a domain.
   * @throws {FmtpError} FMTP_DNS_FAILED (temporary), FMTP_NO_KEY when the domain publishes none
   */
  find(domain: string, options?: { readonly isFresh?: boolean }): Promise<readonly DomainKey[]>
}

/** A user's or server's key with the credential that vouches for it. */
export interface SealingKey {
  readonly signer: Signer
  readonly credential: string
}

declare const verified: unique symbol
/** An object whose seal was verified here; only these are stored. */
export interface VerifiedObject<O extends FmtpObject = FmtpObject> {
  readonly [verified]: true
  readonly object: O
  /** SHA-256 of the canonical form without seal, base64url: what `parentHash` names. */
  readonly digest: string
  /** The canonical text without `encryptedKey`: what is kept. */
  readonly atRest: string
  /** Thumbprint of the key that sealed it. */
  readonly thumbprint: string
}

export type SealVerdict =
  | { readonly isBelieved: true; readonly verified: VerifiedObject }
  | { readonly isBelieved: false; readonly code: FailureCode; readonly reason: string }

/** The digest of an object, with or without its seal. */
export function digestOf(object: Unsealed | FmtpObject): string {
  const { encryptedKey: _, hash: __, ...unsealed } = object as FmtpObject
  return toBase64url(sha256(canonicalText(unsealed)))
}

/** The digest that the seal of an object names, without looking at the object: for what was verified and stored. */
export function sealedDigest({ hash }: Pick<FmtpObject, 'hash'>): string {
  const [, payload = ''] = hash.split('.')
  return payload
}

/**
 * The canonical text without seal, cut out of the one at rest, so that an object is written once and not twice. An object
 * that has its own hash in some other place as well can not be made, since that is of what is inside.
 */
function unsealedText(atRest: string, hash: string): string {
  const member = `,"hash":${JSON.stringify(hash)}`
  const start = atRest.indexOf(member)
  // `createdAt` comes before it in every object.
  if (start < 0) throw new FmtpError('FMTP_INTERNAL', 'a text at rest without its hash')
  return atRest.slice(0, start) + atRest.slice(start + member.length)
}

/** Stands for a hash until there is one. Nobody knows it, so that it stands nowhere else. */
const noHash = randomBytes(32).toString('base64url')

/** Seals an object that is whole. Believed without a look: the key is our own. */
export function sealObject<O extends FmtpObject>(unsealed: Unsealed<O>, key: SealingKey): VerifiedObject<O> {
  // Members in order from the start, so that this and every later reader take the short way to the canonical form.
  const object = inOrder({ ...unsealed, encryptedKey: key.credential, hash: noHash }) as { hash: string }
  const draft = atRestText(object as FmtpObject)
  const digest = sha256(unsealedText(draft, noHash))
  const hash = signJws('fmtp-hash', digest, key.signer)
  object.hash = hash
  const atRest = draft.replace(noHash, hash)
  return { object, digest: toBase64url(digest), atRest, thumbprint: key.signer.kid } as VerifiedObject<O>
}

function inOrder(value: object): object {
  const record = value as Readonly<Record<string, unknown>>
  const ordered: Record<string, unknown> = {}
  for (const name of Object.keys(record).sort()) ordered[name] = record[name]
  return ordered
}

function believe<O extends FmtpObject>(object: O, digest: string, thumbprint: string): VerifiedObject<O> {
  return { object, digest, atRest: atRestText(object), thumbprint } as VerifiedObject<O>
}

/** The text in which an object is kept. */
export function atRestText(object: FmtpObject): string {
  const { encryptedKey: _, ...atRest } = object
  return canonicalText(atRest)
}

/** An object that is here already in this very version: only verified objects are stored. */
export function believeStored(stored: FmtpObject): VerifiedObject {
  return believe(stored, sealedDigest(stored), readJws(stored.hash, 'fmtp-hash')?.kid ?? '')
}

/** The checks of protocol §7.4 in their order. */
export async function verifySeal(object: FmtpObject, keys: DomainKeys, nowMs: number): Promise<SealVerdict> {
  const hash = readJws(object.hash, 'fmtp-hash')
  if (hash === undefined) return refuse('FMTP_SEAL', 'hash is not a compact JWS of this type')
  const found = await findCredential(object.encryptedKey, object.owner as Name, keys)
  if ('code' in found) return { isBelieved: false, ...found }
  return verifyUnder(object, hash, found.credential, nowMs)
}

/**
 * An object whose credential has ended, if its seal holds under the key that the credential names (protocol §7.5); whether
 * that key is the owner's is for the caller to find out. `undefined`: it does not hold, or the credential has not ended.
 */
export async function verifyOldSeal(object: FmtpObject, nowMs: number): Promise<VerifiedObject | undefined> {
  const hash = readJws(object.hash, 'fmtp-hash')
  const payload = readCredential(object.encryptedKey)?.payload
  if (hash === undefined || payload === undefined || isLive(payload, nowMs)) return undefined
  const { jwk } = payload.cnf
  const credential = { ...payload, thumbprint: thumbprintOf(jwk), verifier: verifierOf(jwk) }
  const verdict = await verifyUnder(object, hash, credential)
  return verdict.isBelieved ? verdict.verified : undefined
}

/** `nowMs`: missing where the credential may have ended. */
async function verifyUnder(
  object: FmtpObject,
  hash: NonNullable<ReturnType<typeof readJws>>,
  credential: Credential,
  nowMs?: number,
): Promise<SealVerdict> {
  if (credential.sub !== object.owner)
    return refuse('FMTP_SEAL_CREDENTIAL', `credential of ${credential.sub}`)
  if (credential.thumbprint !== hash.kid)
    return refuse('FMTP_SEAL', 'hash was made with another key than the credential names')
  if (credential.nbf > Math.floor(object.version / 1000) + limits.clockSkewMs / 1000) {
    return refuse('FMTP_SEAL_EXPIRED', 'made before its key was enrolled')
  }
  if (nowMs !== undefined && !isLive(credential, nowMs))
    return refuse('FMTP_SEAL_EXPIRED', 'the credential has ended')
  const atRest = atRestText(object)
  const digest = sha256(unsealedText(atRest, object.hash))
  if (!sameBytes(hash.payload, digest))
    return refuse('FMTP_SEAL', 'the object was changed after it was sealed')
  if (!(await credential.verifier.verify(hash.input, hash.signature)))
    return refuse('FMTP_SEAL', 'wrong signature')
  return {
    isBelieved: true,
    verified: {
      object,
      digest: toBase64url(digest),
      atRest,
      thumbprint: credential.thumbprint,
    } as VerifiedObject,
  }
}

type Refusal = { readonly code: FailureCode; readonly reason: string }

/**
 * The verified credential of an owner (protocol §7.3). A key that cached DNS does not know may be new: asked once more.
 */
export async function findCredential(
  text: string,
  owner: Name,
  keys: DomainKeys,
): Promise<{ readonly credential: Credential } | Refusal> {
  const domain = domainOf(owner)
  for (const isFresh of [false, true]) {
    for (const key of await keys.find(domain, { isFresh })) {
      const known = key.credentials.get(text)
      if (known !== undefined) return { credential: known }
      if (readCredential(text)?.kid !== key.selector) continue
      const credential = await verifyCredential(text, key.verifier)
      if (credential === undefined) continue
      remember(key, text, credential)
      return { credential }
    }
  }
  return { code: 'FMTP_SEAL_CREDENTIAL', reason: `no key of ${domain} made this credential` }
}

const rememberedMost = 10_000

function remember(key: DomainKey, text: string, credential: Credential): void {
  if (key.credentials.size >= rememberedMost) key.credentials.clear()
  key.credentials.set(text, credential)
}

function refuse(code: FailureCode, reason: string): SealVerdict {
  return { isBelieved: false, code, reason }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0
}
