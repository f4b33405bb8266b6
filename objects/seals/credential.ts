/** `encryptedKey`, the credential: a domain vouches for the key of one of its users (protocol §7.3). */
import { parseJson } from '../../schemas/canonical.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { isCredentialPayload } from '../../schemas/parse.ts'
import { readJws, type Signer, signJws, type Verifier } from '../../wire/jws.ts'
import { thumbprintOf, verifierOf } from './keys.ts'

export interface CredentialPayload {
  /** Address or domain that the key belongs to. */
  readonly sub: string
  readonly cnf: { readonly jwk: PublicJwk }
  /** Unix seconds: when the key was enrolled; renewing never moves it. */
  readonly nbf: number
  /** Unix seconds: from then on the key is not believed any more. */
  readonly exp: number
}

/** A credential whose domain's signature was found right. */
export interface Credential extends CredentialPayload {
  readonly thumbprint: string
  readonly verifier: Verifier
}

export interface Enrolment {
  readonly sub: string
  readonly jwk: PublicJwk
  readonly enrolledAtMs: number
  readonly nowMs: number
  /** Default `credentialMs`. */
  readonly lifeMs?: number
}

/** Made by the domain key for `lifeMs` from now. */
export function issueCredential(enrolment: Enrolment, domainSigner: Signer): string {
  const payload: CredentialPayload = {
    cnf: { jwk: enrolment.jwk },
    exp: Math.floor((enrolment.nowMs + (enrolment.lifeMs ?? limits.credentialMs)) / 1000),
    nbf: Math.floor(enrolment.enrolledAtMs / 1000),
    sub: enrolment.sub,
  }
  return signJws('fmtp-key', new TextEncoder().encode(JSON.stringify(payload)), domainSigner)
}

/** What a credential says before its signature was looked at. `undefined`: not a credential. */
export function readCredential(
  text: string,
): { readonly kid: string; readonly payload: CredentialPayload } | undefined {
  const jws = readJws(text, 'fmtp-key')
  if (jws === undefined) return undefined
  try {
    const payload = parseJson(Buffer.from(jws.payload).toString('utf8'), 4)
    return isCredentialPayload(payload) ? { kid: jws.kid, payload } : undefined
  } catch {
    return undefined
  }
}

/** The credential if this domain key signed it, else `undefined`. */
export async function verifyCredential(text: string, domainKey: Verifier): Promise<Credential | undefined> {
  const jws = readJws(text, 'fmtp-key')
  const read = readCredential(text)
  if (jws === undefined || read === undefined || !(await domainKey.verify(jws.input, jws.signature)))
    return undefined
  const { jwk } = read.payload.cnf
  return { ...read.payload, thumbprint: thumbprintOf(jwk), verifier: verifierOf(jwk) }
}

/** Whether a credential is ahead of its end, with the skew that clocks are allowed. */
export function isLive(credential: CredentialPayload, nowMs: number): boolean {
  return credential.exp * 1000 + limits.clockSkewMs > nowMs
}
