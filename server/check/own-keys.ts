/** The key files of a domain as a check sees them: nothing is made where they are missing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readCredential } from '../../objects/seals/credential.ts'
import { recordKeyOf, thumbprintOf } from '../../objects/seals/keys.ts'
import type { DomainKey } from '../../objects/seals/seal.ts'
import { domainKeyOf } from '../../routing/dns/domain-keys.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { KeyFolder } from '../accounts/key-folder.ts'

/** `retired`: its file was deleted. */
export type FileState = 'current' | 'next' | 'old' | 'retired'

export interface FileKey {
  readonly state: FileState
  readonly key: DomainKey
  readonly record: string
  /** Of an old one, unix ms: nothing that it made is believed from then on. */
  readonly endsAtMs?: number
}

/** @throws {FmtpError} FMTP_CONFIG where there is no key, or one can not be read */
export function readKeyFiles(data: string, domain: string): readonly FileKey[] {
  const folder = join(data, 'keys', domain)
  if (!existsSync(folder)) throw new FmtpError('FMTP_CONFIG', `${folder} is not there`)
  const files = new KeyFolder(folder)
  const [pairs, successors] = [files.readPairs(), files.readSuccessors()]
  const current = files.findCurrent() ?? [...pairs.keys()].at(-1)
  if (current === undefined || !pairs.has(current))
    throw new FmtpError('FMTP_CONFIG', `${folder} has no key ${current ?? 'at all'}`)
  const endsOf = (selector: string): Pick<FileKey, 'endsAtMs'> => {
    const credential = successors.get(selector)?.credential
    const startSeconds = credential === undefined ? undefined : readCredential(credential)?.payload.nbf
    if (startSeconds === undefined) return {}
    return { endsAtMs: startSeconds * 1000 + limits.credentialMs + limits.clockSkewMs }
  }
  const here = [...pairs].map(([selector, { jwk }]): FileKey => {
    const state = selector === current ? 'current' : successors.has(selector) ? 'old' : 'next'
    return {
      state,
      key: domainKeyOf(selector, jwk),
      record: recordOf(selector, jwk),
      ...(state === 'old' ? endsOf(selector) : {}),
    }
  })
  const gone = [...successors].filter(([selector]) => !pairs.has(selector))
  return [
    ...here,
    ...gone.map(([selector, { key }]): FileKey => {
      const record = recordOf(selector, key)
      return { state: 'retired', key: domainKeyOf(selector, key), record, ...endsOf(selector) }
    }),
  ]
}

function recordOf(selector: string, jwk: PublicJwk): string {
  return `v=FMTP1; k=ed25519; s=${selector}; p=${recordKeyOf(jwk)}`
}

/** True for a record of DNS that shows this key. */
export function isOf(
  { key }: FileKey,
  shown: { readonly selector: string; readonly jwk: PublicJwk },
): boolean {
  return key.selector === shown.selector && key.thumbprint === thumbprintOf(shown.jwk)
}
