/**
 * Users of our domains (protocol §5.6, §7.3): accounts with a home key, enrolled devices, one-time links, credentials.
 * A domain's own name has an account too, for the home key that seals its `server` object.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../objects/clock.ts'
import { issueCredential, readCredential } from '../../objects/credential.ts'
import {
  generateKeyPair,
  parsePrivatePem,
  privatePem,
  sha256Text,
  signerOf,
  thumbprintOf,
} from '../../objects/keys.ts'
import { keyOf, lastPart, rangeOf } from '../../objects/layout.ts'
import { type SealingKey, sealObject, type VerifiedObject } from '../../objects/seal.ts'
import type { Store } from '../../objects/store.ts'
import { everyonesView } from '../../objects/view.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { skeletonOf } from '../../schemas/look-alikes.ts'
import { type Address, domainOf, isAddressName, makeObjectId, type Name } from '../../schemas/names.ts'
import type { Unsealed } from '../../schemas/object.ts'
import type { User } from '../../schemas/user.ts'
import type { Signer } from '../../wire/jws.ts'
import type { OwnDomain, OwnDomains } from './own-domains.ts'

interface AccountRecord {
  readonly createdAtMs: number
  /** PKCS #8 PEM of the home key. */
  readonly homeKey: string
}

interface DeviceRecord {
  readonly jwk: PublicJwk
  readonly enrolledAtMs: number
}

interface TokenRecord {
  readonly address: string
  readonly expiresAtMs: number
}

export interface AccountsPorts {
  readonly store: Store
  readonly domains: OwnDomains
  readonly clock: Clock
}

interface HomeKey {
  readonly signer: Signer
  readonly jwk: PublicJwk
  readonly createdAtMs: number
}

export class Accounts {
  readonly #store: Store
  readonly #domains: OwnDomains
  readonly #clock: Clock
  readonly #homeKeys = new Map<Name, HomeKey>()

  constructor(ports: AccountsPorts) {
    this.#store = ports.store
    this.#domains = ports.domains
    this.#clock = ports.clock
  }

  isOwnDomain(domain: string): boolean {
    return this.#domains.has(domain as OwnDomain['domain'])
  }

  isOwn(name: Name): boolean {
    return this.isOwnDomain(domainOf(name))
  }

  hasAccount(name: Name): boolean {
    return this.#store.database.get(keyOf.account(name)) !== undefined
  }

  /** All users of ours, in order of their addresses. */
  async listAddresses(): Promise<Address[]> {
    const rows = await this.#store.database.scan(rangeOf('account'), { limit: 1000 })
    return rows.map(([key]) => lastPart(key) as Name).filter(isAddressName)
  }

  /** The owner's view of a user of ours: lists and policy included. */
  findUser(address: Name): User | undefined {
    if (!isAddressName(address) || !this.isOwn(address)) return undefined
    return this.#store.findObject(makeObjectId('user', address)) as User | undefined
  }

  /**
   * Makes an account with a home key and a user object.
   * @throws {FmtpError} FMTP_BAD_NAME when the name is taken, foreign, or looks like another
   */
  async create(address: Address): Promise<void> {
    if (!this.isOwn(address)) throw new FmtpError('FMTP_BAD_NAME', `${domainOf(address)} is not served here`)
    const nowMs = this.#clock.now()
    const pair = generateKeyPair()
    const record: AccountRecord = { createdAtMs: nowMs, homeKey: privatePem(pair) }
    this.#homeKeys.set(address, { signer: signerOf(pair), jwk: pair.jwk, createdAtMs: nowMs })
    const user = sealObject(newUser(address, nowMs), this.#issue(address))
    const skeleton = keyOf.skeleton(skeletonOf(address))
    const write = this.#store.objectWrite(user, undefined)
    const puts = [...write.puts, ...this.viewPuts(user, [pair.thumbprint])]
    const [isMade] = await this.#store.database.commit([
      {
        absent: [keyOf.account(address), skeleton, ...(write.absent ?? [])],
        puts: [[keyOf.account(address), JSON.stringify(record)], [skeleton, address], ...puts],
      },
    ])
    if (isMade === true) return
    this.#homeKeys.delete(address)
    throw new FmtpError('FMTP_BAD_NAME', `${address} is taken, or looks like a name that is`)
  }

  /** The account of a domain itself, made when missing. */
  async ensureDomainAccount(domain: OwnDomain['domain']): Promise<void> {
    const record: AccountRecord = { createdAtMs: this.#clock.now(), homeKey: privatePem(generateKeyPair()) }
    const key = keyOf.account(domain)
    await this.#store.database.commit([{ absent: [key], puts: [[key, JSON.stringify(record)]] }])
  }

  /**
   * The key with which the home seals for one of its names, under a credential that is at most a day old.
   * @throws {FmtpError} FMTP_NOT_FOUND without an account
   */
  homeKey(name: Name): SealingKey {
    if (!this.#homeKeys.has(name)) {
      const text = this.#store.database.get(keyOf.account(name))
      if (text === undefined) throw new FmtpError('FMTP_NOT_FOUND', `no account ${name}`)
      const { homeKey, createdAtMs } = JSON.parse(text) as AccountRecord
      const pair = parsePrivatePem(homeKey)
      this.#homeKeys.set(name, { signer: signerOf(pair), jwk: pair.jwk, createdAtMs })
    }
    return this.#issue(name)
  }

  #issue(name: Name): SealingKey {
    const home = this.#homeKeys.get(name)
    if (home === undefined) throw new FmtpError('FMTP_INTERNAL', `no home key of ${name}`)
    const credential = this.#currentCredential(name, home.jwk, home.createdAtMs)
    return { signer: home.signer, credential }
  }

  // Credentials by thumbprint and owner, so that sealing costs no signature of the domain key.
  readonly #issued = new Map<string, { readonly text: string; readonly renewAtMs: number }>()

  #currentCredential(sub: Name, jwk: PublicJwk, enrolledAtMs: number): string {
    const nowMs = this.#clock.now()
    const key = `${jwk.x} ${sub}`
    const known = this.#issued.get(key)
    if (known !== undefined && known.renewAtMs > nowMs) return known.text
    const domain = this.#requireDomain(sub)
    const text = issueCredential({ sub, jwk, enrolledAtMs, nowMs }, domain.signer)
    if (this.#issued.size > 100_000) this.#issued.clear()
    this.#issued.set(key, { text, renewAtMs: nowMs + limits.credentialRenewMs })
    return text
  }

  #requireDomain(name: Name): OwnDomain {
    const domain = this.#domains.get(domainOf(name))
    if (domain === undefined) throw new FmtpError('FMTP_NOT_FOUND', `${domainOf(name)} is not served here`)
    return domain
  }

  /** Text of a credential that is renewed where it is of one of our users and a day old (protocol §7.3). */
  freshCredential(text: string, owner: Name): string {
    if (!this.isOwn(owner)) return text
    const payload = readCredential(text)?.payload
    if (payload === undefined) return text
    const isYoung =
      (payload.exp + 60) * 1000 > this.#clock.now() + limits.credentialMs - limits.credentialRenewMs
    if (isYoung) return text
    return this.#currentCredential(owner, payload.cnf.jwk, payload.nbf * 1000)
  }

  /** Thumbprints of all keys that speak for a user: the home key and every device. */
  async liveKeys(address: Address): Promise<string[]> {
    const rows = await this.#store.database.scan(rangeOf('device', address), { limit: 64 })
    return [...new Set([this.homeKey(address).signer.kid, ...rows.map(([key]) => lastPart(key))])]
  }

  hasDevice(address: string, thumbprint: string): boolean {
    return this.#store.database.get(keyOf.device(address, thumbprint)) !== undefined
  }

  findDeviceKey(address: string, thumbprint: string): PublicJwk | undefined {
    const text = this.#store.database.get(keyOf.device(address, thumbprint))
    return text === undefined ? undefined : (JSON.parse(text) as DeviceRecord).jwk
  }

  /** True when some device of the user is enrolled. */
  async hasDevices(address: Address): Promise<boolean> {
    return (await this.#store.database.scan(rangeOf('device', address), { limit: 1 })).length > 0
  }

  /** A new one-time secret for a log-in link: 43 characters, good for a day, kept as SHA-256. */
  async makeToken(address: Address): Promise<string> {
    if (!this.hasAccount(address)) throw new FmtpError('FMTP_NOT_FOUND', `no account ${address}`)
    const token = randomBytes(32).toString('base64url')
    const record: TokenRecord = { address, expiresAtMs: this.#clock.now() + limits.linkMs }
    await this.#store.database.commit([{ puts: [[keyOf.token(sha256Text(token)), JSON.stringify(record)]] }])
    return token
  }

  /**
   * Uses up a token, and enrols the key that came with it.
   * @returns the credential of the enrolled key, `undefined` without one
   * @throws {FmtpError} FMTP_TOKEN
   */
  async redeem(address: Address, token: string, jwk: PublicJwk | undefined): Promise<string | undefined> {
    const key = keyOf.token(sha256Text(token))
    const text = this.#store.database.get(key)
    const record = text === undefined ? undefined : (JSON.parse(text) as TokenRecord)
    const nowMs = this.#clock.now()
    if (
      text === undefined ||
      record === undefined ||
      record.address !== address ||
      record.expiresAtMs <= nowMs
    ) {
      throw new FmtpError('FMTP_TOKEN', address)
    }
    const enrolled = jwk === undefined ? undefined : await this.#enrolment(address, jwk, nowMs)
    const [isUsed] = await this.#store.database.commit([
      { equals: [[key, text]], dels: [key], puts: enrolled?.puts ?? [] },
    ])
    if (isUsed !== true) throw new FmtpError('FMTP_TOKEN', 'used up a moment ago')
    return enrolled?.credential
  }

  async #enrolment(address: Address, jwk: PublicJwk, nowMs: number) {
    const thumbprint = thumbprintOf(jwk)
    const device: DeviceRecord = { jwk, enrolledAtMs: nowMs }
    const credential = this.#currentCredential(address, jwk, nowMs)
    const user = this.findUser(address)
    const keys = [...new Set([...(await this.liveKeys(address)), thumbprint])]
    const puts: [string, string][] = [
      [keyOf.device(address, thumbprint), JSON.stringify(device)],
      [keyOf.credential(thumbprint, address), credential],
      ...(user === undefined ? [] : this.viewPuts({ object: user }, keys)),
    ]
    return { credential, puts }
  }

  /** A device's current credential for its hello. */
  renewedCredential(address: Address, thumbprint: string): string | undefined {
    const text = this.#store.database.get(keyOf.device(address, thumbprint))
    if (text === undefined) return undefined
    const { jwk, enrolledAtMs } = JSON.parse(text) as DeviceRecord
    return this.#currentCredential(address, jwk, enrolledAtMs)
  }

  /** What keeps the sealed view of a user for everyone in step with the owner's own; nothing where it did not change. */
  viewPuts({ object }: Pick<VerifiedObject<User>, 'object'>, keys: readonly string[]): [string, string][] {
    const address = object.owner as Address
    const composed = everyonesView(object, keys)
    const before = this.#store.findView('everyone', address)
    if (before !== undefined) {
      const { version: _, hash: __, encryptedKey: ___, ...old } = before
      if (JSON.stringify(sortedEntries(old)) === JSON.stringify(sortedEntries(composed))) return []
    }
    const version = Math.max(this.#clock.now(), (before?.version ?? 0) + 1)
    const sealed = sealObject({ ...composed, version } as Unsealed<User>, this.homeKey(address))
    return [[keyOf.view('everyone', address), sealed.atRest], ...this.#store.credentialPuts(sealed)]
  }
}

function sortedEntries(value: object): [string, unknown][] {
  return Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
}

function newUser(address: Address, nowMs: number): Unsealed<User> {
  return {
    createdAt: new Date(nowMs).toISOString(),
    id: makeObjectId('user', address),
    kind: 'user',
    owner: address,
    policy: 'accept',
    public: true,
    version: nowMs,
    view: 'owner',
  } as Unsealed<User>
}
