/**
 * Users of our domains (protocol §5.6, §7.3): accounts with a home key, enrolled devices, one-time links, credentials.
 * A domain's own name has an account too, for the home key that seals its `server` object.
 */

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../objects/clock.ts'
import { generateKeyPair, privatePem, sha256Text, signerOf, thumbprintOf } from '../../objects/seals/keys.ts'
import { type SealingKey, sealObject } from '../../objects/seals/seal.ts'
import { keyOf, lastPart, rangeOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { PublicJwk } from '../../schemas/frame.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { limits } from '../../schemas/limits.ts'
import { skeletonOf } from '../../schemas/text/look-alikes.ts'
import { type Address, domainOf, isAddressName, makeObjectId, type Name } from '../../schemas/text/names.ts'
import { type AccountRecord, Credentials, type HomeSealingKey } from './credentials.ts'
import { createGroups, type Groups } from './groups.ts'
import { Leavers } from './leavers.ts'
import { isListed, listedWrite } from './listed-domains.ts'
import type { OwnDomain, OwnDomains } from './own-domains.ts'
import { findRevoked, type OnRevoked, revocationWrite } from './revoking.ts'
import { ShortMemory } from './short-memory.ts'
import { type AttachedWrite, newUser, type ViewBefore, viewWrite } from './user-view.ts'

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

/** An enrolled device of a user. */
export interface EnrolledDevice {
  readonly thumbprint: string
  readonly enrolledAtMs: number
}

export class Accounts {
  /** Addresses of ours that many share. */
  readonly groups: Groups
  /** Users of ours whose account was deleted. */
  readonly leavers: Leavers
  readonly #store: Store
  readonly #domains: OwnDomains
  readonly #clock: Clock
  readonly #credentials: Credentials
  readonly #users: ShortMemory<User>
  readonly #views: ShortMemory<User>
  readonly #listed: ShortMemory<boolean>
  /** Devices that a write under way takes from their user. */
  readonly #leaving = new Map<string, Set<string>>()
  #onRevoked: OnRevoked = () => undefined

  constructor(ports: AccountsPorts) {
    this.#store = ports.store
    this.#domains = ports.domains
    this.#clock = ports.clock
    const credentials = new Credentials(ports)
    this.#credentials = credentials
    this.groups = createGroups({ ...ports, credentials, isOwn: name => this.isOwn(name) })
    this.leavers = new Leavers({
      ...ports,
      credentials,
      groups: this.groups,
      findUser: address => this.findUser(address),
      forget: address => this.forget(address),
    })
    this.#users = new ShortMemory(ports.clock)
    this.#views = new ShortMemory(ports.clock)
    this.#listed = new ShortMemory(ports.clock)
  }

  isOwnDomain(domain: string): boolean {
    return this.#domains.has(domain as OwnDomain['domain'])
  }

  isOwn(name: Name): boolean {
    return this.isOwnDomain(domainOf(name))
  }

  /** False for one that was deleted. */
  hasAccount(name: Name): boolean {
    return this.#store.database.get(keyOf.account(name)) !== undefined && !this.leavers.isGone(name)
  }

  /** All users of ours, without groups, in order of their addresses; those whose account was deleted too. */
  async listAddresses(): Promise<Address[]> {
    const addresses: Address[] = []
    const range = rangeOf('account')
    for (let { gt } = range; ; ) {
      const rows = await this.#store.database.scan({ gt, lt: range.lt }, { limit: accountsPage })
      const names = rows.map(([key]) => lastPart(key) as Name)
      addresses.push(...names.filter(isAddressName).filter(address => !this.groups.isGroup(address)))
      const [last] = rows.at(-1) ?? []
      if (last === undefined || rows.length < accountsPage) return addresses
      gt = last
    }
  }

  /** The owner's view of a user of ours: lists and policy included. What another process writes is seen 5 s later. */
  findUser(address: Name): User | undefined {
    const known = this.#users.find(address)
    if (known !== undefined) return known
    const user = this.#readUser(address)
    return user === undefined ? undefined : this.#users.keep(address, user)
  }

  #readUser(address: Name): User | undefined {
    if (!isAddressName(address) || !this.isOwn(address) || this.leavers.isGone(address)) return undefined
    return this.#store.findObject(makeObjectId('user', address)) as User | undefined
  }

  /** The object of a user whose account was deleted, and in the end the tombstone of it, while somebody has to be told. */
  findLeaver(address: Name): User | undefined {
    if (!isAddressName(address) || !this.leavers.isGone(address)) return undefined
    return this.#store.findObject(makeObjectId('user', address)) as User | undefined
  }

  /** Everyone's view of a user of ours. What another process writes is seen 5 s later. */
  findView(address: Name): User | undefined {
    const known = this.#views.find(address)
    if (known !== undefined) return known
    const view = this.leavers.isGone(address) ? undefined : this.#store.findView('everyone', address)
    return view === undefined ? undefined : this.#views.keep(address, view)
  }

  /** True where the whitelist of some user names this domain (protocol §12.2). */
  async isListed(domain: string): Promise<boolean> {
    const known = this.#listed.find(domain)
    return known ?? this.#listed.keep(domain, await isListed(domain, this.#store.database))
  }

  /** Who closes sessions and seals again what a lost device had sealed. */
  watchRevoked(onRevoked: OnRevoked): void {
    this.#onRevoked = onRevoked
  }

  /**
   * To be called when a write of this user's object or view has ended, so that the next reader sees it. Whether the write
   * was made shows in the store: only then its revoked devices are told.
   */
  forget(address: Name): void {
    const leaving = this.#leaving.get(address)
    if (leaving !== undefined) this.#tellRevoked(address, leaving)
    if (this.leavers.isGone(address)) this.#credentials.forget(address)
    this.#users.forget(address)
    this.#views.forget(address)
    this.#listed.forgetAll()
  }

  #noteLeaving(address: string, thumbprints: readonly string[]): void {
    if (thumbprints.length === 0) return
    this.#leaving.set(address, new Set([...(this.#leaving.get(address) ?? []), ...thumbprints]))
  }

  /** Those that are still enrolled wait for the write that takes them, which may be another one's turn. */
  #tellRevoked(address: Name, leaving: Set<string>): void {
    const revoked = [...leaving].filter(thumbprint => !this.hasDevice(address, thumbprint))
    for (const thumbprint of revoked) leaving.delete(thumbprint)
    if (leaving.size === 0) this.#leaving.delete(address)
    if (revoked.length > 0) this.#onRevoked(address, revoked)
  }

  /**
   * Makes an account with a home key and a user object.
   * @throws {FmtpError} FMTP_BAD_NAME when the name is taken, foreign, or looks like another
   */
  async create(address: Address): Promise<void> {
    if (!this.isOwn(address)) throw new FmtpError('FMTP_BAD_NAME', `${domainOf(address)} is not served here`)
    if (this.leavers.isGone(address))
      throw new FmtpError('FMTP_BAD_NAME', `${address} was deleted, and is never given out again`)
    const nowMs = this.#clock.now()
    const pair = generateKeyPair()
    const record: AccountRecord = { createdAtMs: nowMs, homeKey: privatePem(pair) }
    const key = this.#credentials.sealingKey(address, {
      signer: signerOf(pair),
      jwk: pair.jwk,
      createdAtMs: nowMs,
    })
    const user = sealObject(newUser(address, nowMs), key)
    const skeleton = keyOf.skeleton(skeletonOf(address))
    const write = this.#store.objectWrite(user, undefined)
    const view = this.#viewWrite(user.object, [pair.thumbprint], key, undefined)
    const [isMade] = await this.#store.database.commit([
      {
        absent: [keyOf.account(address), skeleton, ...(write.absent ?? []), ...view.absent],
        puts: [
          [keyOf.account(address), JSON.stringify(record)],
          [skeleton, address],
          ...write.puts,
          ...view.puts,
        ],
      },
    ])
    if (isMade !== true)
      throw new FmtpError('FMTP_BAD_NAME', `${address} is taken, or looks like a name that is`)
    this.forget(address)
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
  homeKey(name: Name): HomeSealingKey {
    return this.#credentials.homeKey(name)
  }

  /**
   * Text of a credential that is renewed where it is a day old and of a key that still speaks for one of our users
   * (protocol §7.3). That of a lost device is left to end.
   */
  freshCredential(text: string, owner: Name): string {
    const isLive = (thumbprint: string): boolean =>
      this.hasDevice(owner, thumbprint) || this.#credentials.isHomeKey(owner, thumbprint)
    return this.isOwn(owner) ? this.#credentials.refresh(text, owner, isLive) : text
  }

  /** The devices of a user, in order of their thumbprints. */
  async listDevices(address: Address): Promise<EnrolledDevice[]> {
    const rows = await this.#store.database.scan(rangeOf('device', address), { limit: 2 * limits.devices })
    return rows.map(([key, text]) => {
      const { enrolledAtMs } = JSON.parse(text) as DeviceRecord
      return { thumbprint: lastPart(key), enrolledAtMs }
    })
  }

  /** Ends the enrolment of a device, whoever says so. @throws {FmtpError} FMTP_NOT_FOUND */
  async revoke(address: Address, thumbprint: string): Promise<void> {
    await untilWritten(async () => {
      const before = this.#findView(address)
      const devices = await this.#deviceKeys(address)
      if (!devices.includes(thumbprint))
        throw new FmtpError('FMTP_NOT_FOUND', `${address} has no device ${thumbprint}`)
      const user = this.#readUser(address)
      const home = this.homeKey(address)
      const others = devices.filter(other => other !== thumbprint)
      const view = user && this.#viewWrite(user, [home.signer.kid, ...others], home, before)
      const { puts, dels } = revocationWrite(address, [thumbprint])
      this.#noteLeaving(address, [thumbprint])
      const [isRevoked] = await this.#store.database.commit([
        { ...view, puts: [...puts, ...(view?.puts ?? [])], dels },
      ])
      this.forget(address)
      return isRevoked === true || undefined
    })
  }

  async #deviceKeys(address: Address): Promise<string[]> {
    const rows = await this.#store.database.scan(rangeOf('device', address), { limit: 2 * limits.devices })
    return rows.map(([key]) => lastPart(key))
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
    if (!this.hasAccount(address) || this.groups.isGroup(address))
      throw new FmtpError('FMTP_NOT_FOUND', `no user ${address}`)
    const token = randomBytes(32).toString('base64url')
    const record: TokenRecord = { address, expiresAtMs: this.#clock.now() + limits.linkMs }
    const puts = [[keyOf.token(sha256Text(token)), JSON.stringify(record)] as const]
    const [isMade] = await this.#store.database.commit([{ absent: [keyOf.gone(address)], puts }])
    if (isMade !== true) throw new FmtpError('FMTP_NOT_FOUND', `${address} was deleted`)
    return token
  }

  /**
   * Uses up a token, and enrols the key that came with it.
   * @returns the credential of the enrolled key, `undefined` without one
   * @throws {FmtpError} FMTP_TOKEN, FMTP_REVOKED, FMTP_TOO_MANY_DEVICES; then the token stays good
   */
  async redeem(address: Address, token: string, jwk: PublicJwk | undefined): Promise<string | undefined> {
    const key = keyOf.token(sha256Text(token))
    const enrolled = await untilWritten(async () => {
      const text = this.#store.database.get(key)
      const record = text === undefined ? undefined : (JSON.parse(text) as TokenRecord)
      const isGood = record?.address === address && record.expiresAtMs > this.#clock.now()
      if (text === undefined || !isGood || this.leavers.isGone(address))
        throw new FmtpError('FMTP_TOKEN', address)
      const enrolled = jwk === undefined ? undefined : await this.#enrolment(address, jwk)
      const { absent = [], equals = [], puts = [] } = enrolled?.write ?? {}
      const [isUsed] = await this.#store.database.commit([
        { absent: [keyOf.gone(address), ...absent], equals: [[key, text], ...equals], dels: [key], puts },
      ])
      // Else the token was used meanwhile, or the view has changed: look again.
      return isUsed === true ? { credential: enrolled?.credential } : undefined
    })
    this.forget(address)
    return enrolled.credential
  }

  async #enrolment(address: Address, jwk: PublicJwk) {
    const thumbprint = thumbprintOf(jwk)
    const viewBefore = this.#findView(address)
    const others = (await this.#deviceKeys(address)).filter(other => other !== thumbprint)
    if (others.length >= limits.devices)
      throw new FmtpError('FMTP_TOO_MANY_DEVICES', `${address} has ${others.length}`)
    const user = this.#readUser(address)
    if (user?.revokedKeys?.includes(thumbprint) === true)
      throw new FmtpError('FMTP_REVOKED', `${address} has revoked ${thumbprint}`)
    const key = keyOf.device(address, thumbprint)
    const before = this.#store.database.get(key)
    // A key that is enrolled again stays enrolled since when it was: what it sealed stays believed.
    const device: DeviceRecord =
      before === undefined ? { jwk, enrolledAtMs: this.#clock.now() } : (JSON.parse(before) as DeviceRecord)
    const credential = this.#credentials.issue(address, jwk, device.enrolledAtMs)
    const home = this.homeKey(address)
    const view = user && this.#viewWrite(user, [home.signer.kid, ...others, thumbprint], home, viewBefore)
    const puts: AttachedWrite['puts'] = [
      [key, JSON.stringify(device)],
      [keyOf.credential(thumbprint, address), credential],
      ...(view?.puts ?? []),
    ]
    return { credential, write: { absent: view?.absent ?? [], equals: view?.equals ?? [], puts } }
  }

  /** A device's current credential for its hello. */
  renewedCredential(address: Address, thumbprint: string): string | undefined {
    const text = this.#store.database.get(keyOf.device(address, thumbprint))
    if (text === undefined) return undefined
    const { jwk, enrolledAtMs } = JSON.parse(text) as DeviceRecord
    return this.#credentials.issue(address, jwk, enrolledAtMs)
  }

  /**
   * What goes with a new version of a user's own object, in its commit: everyone's view, and the domains that its whitelist
   * names; and the end of the devices that it revokes. `before` is the version that the commit replaces. Afterwards `forget`.
   */
  async userWrite(user: User, before: Pick<User, 'whitelist'> | undefined): Promise<AttachedWrite> {
    const address = user.owner as Address
    if (user.deleted === true) return this.leavers.lastWrite(user, before)
    const viewBefore = this.#findView(address)
    const devices = await this.#deviceKeys(address)
    const revoked = findRevoked(user, devices)
    const home = this.homeKey(address)
    const live = devices.filter(thumbprint => !revoked.includes(thumbprint))
    const view = this.#viewWrite(user, [home.signer.kid, ...live], home, viewBefore)
    const listed = listedWrite(user, before)
    const revocation = revocationWrite(address, revoked)
    this.#noteLeaving(address, revoked)
    const retention = keyOf.retention(address)
    const [kept, unkept] =
      user.keepDays === undefined ? [[], [retention]] : [[[retention, String(user.keepDays)] as const], []]
    const puts = [...view.puts, ...listed.puts, ...revocation.puts, ...kept]
    return { ...view, puts, dels: [...listed.dels, ...revocation.dels, ...unkept] }
  }

  #findView(address: Address): ViewBefore | undefined {
    return this.#store.findViewBefore('everyone', address)
  }

  #viewWrite(
    user: User,
    keys: readonly string[],
    home: SealingKey,
    before: ViewBefore | undefined,
  ): Omit<AttachedWrite, 'dels'> {
    return viewWrite(user, keys, { store: this.#store, home, before, nowMs: this.#clock.now() })
  }
}

const accountsPage = 1000
