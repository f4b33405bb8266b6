/**
 * Proves in one header who makes an HTTP request (protocol §9.8): a JWS by a device's key over method, path and time. It
 * can be used again for a while, but for the very same request only.
 */

import { parseJson } from '../schemas/canonical.ts'
import type { Address } from '../schemas/text/names.ts'
import { isAddress } from '../schemas/text/names.ts'
import { readJws, type Signer, signJws, type UnverifiedJws } from './jws.ts'

export interface HttpRequest {
  readonly as: Address
  /** In upper case. */
  readonly method: string
  readonly path: string
  /** Unix ms. */
  readonly atMs: number
}

const scheme = 'FMTP '

/** The value of the header `Authorization`. */
export function proveHttp({ as, method, path, atMs }: HttpRequest, signer: Signer): string {
  const payload = JSON.stringify({ as, at: atMs, method, path })
  return `${scheme}${signJws('fmtp-http', new TextEncoder().encode(payload), signer)}`
}

/** What a header says, before its signature was looked at. `undefined`: it is no such proof. */
export function readHttpProof(
  header: string,
): { readonly request: HttpRequest; readonly jws: UnverifiedJws } | undefined {
  if (!header.startsWith(scheme) || header.length > headerMost) return undefined
  const jws = readJws(header.slice(scheme.length), 'fmtp-http')
  if (jws === undefined) return undefined
  try {
    const said = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(jws.payload), 1) as Record<
      string,
      unknown
    >
    const { as, at, method, path } = said
    if (typeof as !== 'string' || !isAddress(as) || typeof at !== 'number') return undefined
    if (typeof method !== 'string' || typeof path !== 'string') return undefined
    return { request: { as, method, path, atMs: at }, jws }
  } catch {
    return undefined
  }
}

const headerMost = 4096
