/**
 * The domains this process serves and their private keys (protocol §7.1). Keys are PEM files in the data folder, readable
 * by their owner alone; a missing one is made at the first start.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  generateKeyPair,
  type KeyPair,
  parsePrivatePem,
  privatePem,
  recordKeyOf,
  signerOf,
} from '../../objects/keys.ts'
import type { DomainKey } from '../../objects/seal.ts'
import { domainKeyOf } from '../../routing/domain-key.ts'
import type { Domain } from '../../schemas/names.ts'
import type { Signer } from '../../wire/jws.ts'
import { writeKeyFile } from './key-file.ts'

export interface OwnDomain {
  readonly domain: Domain
  readonly pair: KeyPair
  readonly signer: Signer
  /** The public side as peers see it. */
  readonly key: DomainKey
  /** Text of the TXT record at `fmtpkey.<domain>`. */
  readonly record: string
}

export type OwnDomains = ReadonlyMap<Domain, OwnDomain>

export function openDomains(names: readonly Domain[], dataFolder: string): OwnDomains {
  return new Map(names.map(name => [name, openDomain(name, join(dataFolder, 'keys', name))]))
}

/** The last selector in order of names counts; a new one is named by chance, so that it never means another key. */
function openDomain(domain: Domain, folder: string): OwnDomain {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const [file] = readdirSync(folder)
    .filter(name => name.endsWith('.pem'))
    .sort()
    .reverse()
  if (file !== undefined) {
    return ownDomain(
      domain,
      file.slice(0, -'.pem'.length),
      parsePrivatePem(readFileSync(join(folder, file), 'utf8')),
    )
  }
  const pair = generateKeyPair()
  const selector = `k${pair.thumbprint
    .replaceAll(/[^A-Za-z0-9]/g, '')
    .slice(0, 7)
    .toLowerCase()}`
  writeKeyFile(join(folder, `${selector}.pem`), privatePem(pair))
  return ownDomain(domain, selector, pair)
}

function ownDomain(domain: Domain, selector: string, pair: KeyPair): OwnDomain {
  return {
    domain,
    pair,
    signer: signerOf(pair, selector),
    key: domainKeyOf(selector, pair.jwk),
    record: `v=FMTP1; k=ed25519; s=${selector}; p=${recordKeyOf(pair.jwk)}`,
  }
}
