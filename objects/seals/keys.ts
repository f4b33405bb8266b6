/** Ed25519 key pairs, their texts, and raw signing and verifying with node:crypto (protocol §3.4). */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { toBase64url } from '../../wire/base64url.ts'
import type { Signer, Verifier } from '../../wire/jws.ts'

export interface KeyPair {
  readonly privateKey: KeyObject
  readonly jwk: PublicJwk
  /** RFC 7638, 43 characters. */
  readonly thumbprint: string
}

export function generateKeyPair(): KeyPair {
  return pairOf(generateKeyPairSync('ed25519').privateKey)
}

/** @throws {FmtpError} FMTP_CONFIG when the text is no Ed25519 private key in PEM (PKCS #8) */
export function parsePrivatePem(pem: string): KeyPair {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw new FmtpError('FMTP_CONFIG', 'not a private key in PEM', { cause })
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new FmtpError('FMTP_CONFIG', `not Ed25519 but ${key.asymmetricKeyType}`)
  return pairOf(key)
}

export function privatePem(pair: KeyPair): string {
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function pairOf(privateKey: KeyObject): KeyPair {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' })
  const jwk: PublicJwk = { kty: 'OKP', crv: 'Ed25519', x }
  return { privateKey, jwk, thumbprint: thumbprintOf(jwk) }
}

/** The RFC 7638 thumbprint of a public key, in base64url. */
export function thumbprintOf(jwk: PublicJwk): string {
  return sha256Text(`{"crv":"Ed25519","kty":"OKP","x":"${jwk.x}"}`)
}

/** `kid`: the selector of a domain key; the thumbprint where none is given. */
export function signerOf(pair: KeyPair, kid = pair.thumbprint): Signer {
  return { kid, sign: data => sign(null, data, pair.privateKey) }
}

/** Verifies in libuv's pool, so that the event loop stays free. */
export function verifierOf(jwk: PublicJwk): Verifier {
  const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
  return {
    verify: (data, signature) =>
      new Promise((resolve, reject) => {
        verify(null, data, key, signature, (error, isValid) =>
          error === null ? resolve(isValid) : reject(error),
        )
      }),
  }
}

/** SHA-256 in base64url, 43 characters. */
export function sha256Text(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('base64url')
}

export function sha256(data: string | Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest()
}

/** Standard base64 of the raw 32 bytes, as it stands in a `fmtpkey` record. */
export function recordKeyOf(jwk: PublicJwk): string {
  return Buffer.from(jwk.x, 'base64url').toString('base64')
}

/** The public key of a `fmtpkey` record's `p`. `undefined`: not 32 bytes of base64. */
export function jwkOfRecordKey(text: string): PublicJwk | undefined {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== 32 || bytes.toString('base64') !== text) return undefined
  return { kty: 'OKP', crv: 'Ed25519', x: toBase64url(bytes) }
}
