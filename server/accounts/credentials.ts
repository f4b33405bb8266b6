/**
 * Credentials of our names (protocol §7.3): issued with the domain key, renewed when they are a day old or another domain key
 * signs now, and the home keys that they vouch for. What was issued is remembered, so that sealing costs no signature of the domain key.
 */
import type { Clock } from '../../objects/clock.ts'
import { issueCredential, readCredential } from '../../objects/seals/credential.ts'
import { parsePrivatePem, signerOf, thumbprintOf } from '../../objects/seals/keys.ts'
import type { SealingKey } from '../../objects/seals/seal.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { domainOf, type Name } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { Signer } from '../../wire/jws.ts'
import type { OwnDomain, OwnDomains } from './own-domains.ts'

export interface AccountRecord {
  readonly createdAtMs: number
  /** PKCS #8 PEM of the home key; of an account that was deleted there is none any more. */
  readonly homeKey?: string
  /** What is left of the home key then: what it sealed is still believed. */
  readonly jwk?: PublicJwk
}

export interface HomeSealingKey extends SealingKey {
  /** Unix ms; what says to be older is not believed of this key. */
  readonly enrolledAtMs: number
}

export interface HomeKey {
  readonly signer: Signer
  readonly jwk: PublicJwk
  readonly createdAtMs: number
}

/** What a credential of ours says, and when it is a day old. */
interface ReadCredential {
  /** Of the domain key that made it. */
  readonly selector: string
  readonly jwk: PublicJwk
  readonly thumbprint: string
  readonly enrolledAtMs: number
  readonly renewAtMs: number
}

interface Issued {
  readonly text: string
  /** Of the domain key that made it. */
  readonly selector: string
  readonly renewAtMs: number
}

export interface CredentialsPorts {
  readonly store: Store
  readonly domains: OwnDomains
  readonly clock: Clock
}

const rememberedMost = 10_000

export class Credentials {
  readonly #ports: CredentialsPorts
  readonly #homeKeys = new BoundedMap<Name, HomeKey>(rememberedMost)
  /** By key and owner. */
  readonly #issued = new BoundedMap<string, Issued>(rememberedMost)
  /** By their text: each object on its way out has one, and few differ. */
  readonly #read = new BoundedMap<string, ReadCredential>(rememberedMost)

  constructor(ports: CredentialsPorts) {
    this.#ports = ports
  }

  /**
   * The key with which the home seals for one of its names, under a credential that is at most a day old.
   * @throws {FmtpError} FMTP_NOT_FOUND without an account
   */
  homeKey(name: Name): HomeSealingKey {
    const home = this.#findHomeKey(name)
    if (home === undefined) throw new FmtpError('FMTP_NOT_FOUND', `no account ${name}`)
    return this.sealingKey(name, home)
  }

  sealingKey(name: Name, { signer, jwk, createdAtMs }: HomeKey): HomeSealingKey {
    return { signer, credential: this.issue(name, jwk, createdAtMs), enrolledAtMs: createdAtMs }
  }

  isHomeKey(name: Name, thumbprint: string): boolean {
    const home = this.#findHomeKey(name)
    if (home !== undefined) return home.signer.kid === thumbprint
    const { jwk } = this.#findRecord(name) ?? {}
    return jwk !== undefined && thumbprintOf(jwk) === thumbprint
  }

  /** What stays of an account when its last object was sealed: its home key can not be had from it. */
  withoutKey(name: Name): AccountRecord | undefined {
    const home = this.#findHomeKey(name)
    return home && { createdAtMs: home.createdAtMs, jwk: home.jwk }
  }

  /** To be called when the account has changed. */
  forget(name: Name): void {
    this.#homeKeys.delete(name)
  }

  /** A credential for a key of one of our names: the one that was issued last, until that is a day old. */
  issue(sub: Name, jwk: PublicJwk, enrolledAtMs: number): string {
    const nowMs = this.#ports.clock.now()
    const key = `${jwk.x} ${sub}`
    const known = this.#issued.get(key)
    const { signer } = this.#requireDomain(sub).current
    if (known !== undefined && known.renewAtMs > nowMs && known.selector === signer.kid) return known.text
    const text = issueCredential({ sub, jwk, enrolledAtMs, nowMs }, signer)
    this.#issued.set(key, { text, selector: signer.kid, renewAtMs: nowMs + limits.credentialRenewMs })
    return text
  }

  #requireDomain(sub: Name): OwnDomain {
    const domain = this.#ports.domains.get(domainOf(sub))
    if (domain === undefined) throw new FmtpError('FMTP_NOT_FOUND', `${domainOf(sub)} is not served here`)
    return domain
  }

  /** The text, or a new one where it is a day old or of a domain key that signs no more, and its key is live. */
  refresh(text: string, owner: Name, isLive: (thumbprint: string) => boolean): string {
    const read = this.#read.get(text) ?? this.#readOnce(text)
    if (read === undefined) return text
    const isCurrent = read.selector === this.#requireDomain(owner).current.selector
    if ((isCurrent && read.renewAtMs > this.#ports.clock.now()) || !isLive(read.thumbprint)) return text
    return this.issue(owner, read.jwk, read.enrolledAtMs)
  }

  #readOnce(text: string): ReadCredential | undefined {
    const credential = readCredential(text)
    if (credential === undefined) return undefined
    const { kid: selector, payload } = credential
    const { jwk } = payload.cnf
    const renewAtMs = (payload.exp + 60) * 1000 - limits.credentialMs + limits.credentialRenewMs
    const enrolledAtMs = payload.nbf * 1000
    const read = { selector, jwk, thumbprint: thumbprintOf(jwk), enrolledAtMs, renewAtMs }
    this.#read.set(text, read)
    return read
  }

  #findHomeKey(name: Name): HomeKey | undefined {
    const known = this.#homeKeys.get(name)
    if (known !== undefined) return known
    const { homeKey, createdAtMs = 0 } = this.#findRecord(name) ?? {}
    if (homeKey === undefined) return undefined
    const pair = parsePrivatePem(homeKey)
    const home = { signer: signerOf(pair), jwk: pair.jwk, createdAtMs }
    this.#homeKeys.set(name, home)
    return home
  }
  #findRecord(name: Name): AccountRecord | undefined {
    const text = this.#ports.store.database.get(keyOf.account(name))
    return text === undefined ? undefined : (JSON.parse(text) as AccountRecord)
  }
}
