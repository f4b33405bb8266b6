/**
 * Compact JWS as FMTP uses it (protocol §3.4): Ed25519 only, a header of exactly three members in one byte form,
 * payload inside or detached. Keys and crypto are handed in; nothing here chooses an algorithm by what a peer says.
 */
import { fromBase64url, toBase64url } from './base64url.ts'

export type JwsType = 'fmtp-key' | 'fmtp-hash' | 'fmtp-hello' | 'fmtp-http'

/** A private key that can be used but not read. */
export interface Signer {
  /** Selector of a domain key, or RFC 7638 thumbprint of a user key. */
  readonly kid: string
  sign(data: Uint8Array): Uint8Array
}

/** A public key. Resolves to false for a signature that is not its own. */
export interface Verifier {
  verify(data: Uint8Array, signature: Uint8Array): Promise<boolean>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** The one header for a type and a key, as it stands in the JWS. `kid` is base64url or a selector: no escapes. */
export function encodeHeader(typ: JwsType, kid: string): string {
  return toBase64url(encoder.encode(`{"alg":"Ed25519","kid":"${kid}","typ":"${typ}"}`))
}

const headerPattern = /^\{"alg":"Ed25519","kid":"([A-Za-z0-9_-]{1,64})","typ":"(fmtp-[a-z]{3,8})"\}$/

export function signJws(typ: JwsType, payload: Uint8Array, signer: Signer): string {
  const input = `${encodeHeader(typ, signer.kid)}.${toBase64url(payload)}`
  return `${input}.${toBase64url(signer.sign(encoder.encode(input)))}`
}

/** The same with the payload left out of the text (RFC 7515 appendix F). */
export function signDetached(typ: JwsType, payload: Uint8Array, signer: Signer): string {
  const [header, , signature] = splitJws(signJws(typ, payload, signer))
  return `${header}..${signature}`
}

/** What a JWS says before anything of it is believed. */
export interface UnverifiedJws {
  readonly kid: string
  readonly payload: Uint8Array
  /** The bytes that were signed. */
  readonly input: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Takes a compact JWS apart. `undefined`: not of this type, or its header is not in the one byte form.
 * `payload` is given where the text carries none.
 */
export function readJws(text: string, typ: JwsType, payload?: Uint8Array): UnverifiedJws | undefined {
  const [header, body, signature] = splitJws(text)
  if (header === undefined || body === undefined || signature === undefined) return undefined
  if ((body === '') !== (payload !== undefined)) return undefined
  const kid = readHeader(header, typ)
  if (kid === undefined) return undefined
  const bytes = fromBase64url(signature)
  // The other spellings of the same bytes (stray bits at the end) are refused: one signature, one text.
  if (bytes.length !== 64 || toBase64url(bytes) !== signature) return undefined
  const encoded = payload === undefined ? body : toBase64url(payload)
  return {
    kid,
    payload: payload ?? fromBase64url(body),
    input: encoder.encode(`${header}.${encoded}`),
    signature: bytes,
  }
}

function splitJws(text: string): string[] {
  const parts = text.split('.')
  return parts.length === 3 ? parts : []
}

// The headers of the keys in use, so that an object costs no decoding of its header.
const headers = new Map<string, { typ: string; kid: string }>()
const headersMost = 10_000

function readHeader(encoded: string, typ: JwsType): string | undefined {
  let known = headers.get(encoded)
  if (known === undefined) {
    let match: RegExpExecArray | null
    try {
      match = headerPattern.exec(decoder.decode(fromBase64url(encoded)))
    } catch {
      return undefined
    }
    const [, kid, type] = match ?? []
    if (kid === undefined || type === undefined || encodeHeader(typ, kid) !== encoded) return undefined
    if (headers.size >= headersMost) headers.clear()
    known = { typ: type, kid }
    headers.set(encoded, known)
  }
  return known.typ === typ ? known.kid : undefined
}
