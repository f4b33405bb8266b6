/**
 * Users whose account was deleted (protocol §6.14). One row says so, and stays: from its commit on nobody logs in, publishes or is
 * written to, and the address is taken for ever. What there was of the account is erased behind that (`server/leaving/`).
 */
import type { Clock } from '../../objects/clock.ts'
import { keyOf, lastPart, rangeOf } from '../../objects/store/layout.ts'
import { findRow, parseRow } from '../../objects/store/row.ts'
import { rowsIn } from '../../objects/store/rows.ts'
import type { Store } from '../../objects/store/store.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { type Address, isAddressName, type Name } from '../../schemas/text/names.ts'
import type { Credentials } from './credentials.ts'
import type { Groups } from './groups.ts'
import { listedWrite } from './listed-domains.ts'
import type { AttachedWrite } from './user-view.ts'

/** How far the deletion of an account is. */
export interface GoneRecord {
  /** Unix ms at which it began, at which the last object was erased here, and at which nothing more was to do. */
  readonly startedAtMs: number
  readonly erasedAtMs?: number
  readonly endedAtMs?: number
  /** Groups that go with it: nobody else could change them. */
  readonly groups: readonly Address[]
  /** What became of copies at other servers, counted at the end. */
  readonly copies?: Copies
}

/** Copies of objects that other domains were given: one for each object and recipient. */
export interface Copies {
  readonly objects: number
  readonly all: number
  /** Their home has confirmed that they are erased. */
  readonly erased: number
  /** It was not said yet what became of them. */
  readonly waiting: number
}

export interface Leaver {
  readonly address: Address
  readonly record: GoneRecord
}

export interface LeaversPorts {
  readonly store: Store
  readonly clock: Clock
  readonly groups: Groups
  readonly credentials: Credentials
  /** A user of ours who stays. */
  findUser(address: Name): User | undefined
  /** Nothing of this user that was read before is true any more. */
  forget(address: Address): void
}

export class Leavers {
  readonly #ports: LeaversPorts
  /** Those whose row is being written: what is judged from now on comes behind it. */
  readonly #coming = new Set<string>()

  #onBegun: (address: Address) => void = () => undefined

  constructor(ports: LeaversPorts) {
    this.#ports = ports
  }

  /** Who ends sessions and erases: told when the row is on the disk. */
  watch(onBegun: (address: Address) => void): void {
    this.#onBegun = onBegun
  }

  /** True for an account that was deleted, from the beginning on. */
  isGone(address: string): boolean {
    return this.#coming.has(address) || this.#ports.store.database.get(keyOf.gone(address)) !== undefined
  }

  /** @throws {FmtpError} FMTP_ACCOUNT_GONE */
  requireHere(address: string): void {
    if (this.isGone(address)) throw new FmtpError('FMTP_ACCOUNT_GONE', address)
  }

  find(address: Address): GoneRecord | undefined {
    const text = this.#ports.store.database.get(keyOf.gone(address))
    return text === undefined ? undefined : findRow<GoneRecord>(text)
  }

  /** Those of whom there is something to do. */
  async listOpen(): Promise<Leaver[]> {
    const leavers: Leaver[] = []
    for await (const [key, text] of rowsIn(rangeOf('gone'), this.#ports.store.database)) {
      const record = findRow<GoneRecord>(text)
      if (record !== undefined && record.endedAtMs === undefined)
        leavers.push({ address: lastPart(key) as Address, record })
    }
    return leavers
  }

  /** Notes how far it is. */
  async note(address: Address, news: Partial<GoneRecord>): Promise<void> {
    const { database } = this.#ports.store
    const key = keyOf.gone(address)
    const text = database.get(key)
    if (text === undefined) return
    const record: GoneRecord = { ...parseRow<GoneRecord>(text), ...news }
    await database.commit([{ equals: [[key, text]], puts: [[key, JSON.stringify(record)]] }])
  }

  /**
   * Begins: ends all log-ins, in one write. `isForced`: groups that nobody else could change any more go too.
   * @throws {FmtpError} FMTP_NOT_FOUND without such a user, FMTP_LAST_MODERATOR with those groups
   */
  async begin(address: Address, isForced: boolean): Promise<GoneRecord> {
    const { store, clock, forget, findUser } = this.#ports
    const account = store.database.get(keyOf.account(address))
    if (account === undefined || findUser(address) === undefined)
      throw new FmtpError('FMTP_NOT_FOUND', `no user ${address}`)
    await this.#requireGroups(address, isForced)
    this.#coming.add(address)
    forget(address)
    let record: GoneRecord
    try {
      // From here on the user makes no group.
      const groups = await this.#requireGroups(address, isForced)
      record = { startedAtMs: clock.now(), groups }
      const key = keyOf.gone(address)
      const [isWritten] = await store.database.commit([
        {
          absent: [key],
          equals: [[keyOf.account(address), account]],
          puts: [[key, JSON.stringify(record)]],
          dels: await this.logInKeys(address),
        },
      ])
      if (isWritten !== true) throw new FmtpError('FMTP_BUSY', `${address} is being deleted already`)
    } finally {
      this.#coming.delete(address)
      forget(address)
    }
    this.#onBegun(address)
    return record
  }

  /** Groups that go too. @throws {FmtpError} FMTP_LAST_MODERATOR where there are some, and that was not said */
  async #requireGroups(address: Address, isForced: boolean): Promise<readonly Address[]> {
    const groups = await this.#findAlone(address)
    if (groups.length === 0 || isForced) return groups
    const advice = 'name another one there first, or delete with --force, which deletes these groups too'
    throw new FmtpError(
      'FMTP_LAST_MODERATOR',
      `${address} is the only moderator here of ${groups.join(', ')}: ${advice}`,
    )
  }

  /** Keys of all with which somebody may log in as this user. */
  async logInKeys(address: Address): Promise<string[]> {
    const { database } = this.#ports.store
    const keys: string[] = []
    for (const word of ['device', 'resealing'] as const)
      for await (const [key] of rowsIn(rangeOf(word, address), database)) keys.push(key)
    for await (const [key, text] of rowsIn(rangeOf('token'), database))
      if (findRow<{ address?: string }>(text)?.address === address) keys.push(key)
    return keys
  }

  /** Groups that have no other moderator among the users who stay. */
  async #findAlone(address: Address): Promise<Address[]> {
    const { store, groups, findUser } = this.#ports
    const alone: Address[] = []
    for await (const [key] of rowsIn(rangeOf('account'), store.database)) {
      const name = lastPart(key) as Name
      const { moderators = [] } = (isAddressName(name) && groups.find(name)) || {}
      const others = moderators.filter(other => other !== address && findUser(other as Name) !== undefined)
      if (moderators.includes(address) && others.length === 0) alone.push(name as Address)
    }
    return alone
  }

  /**
   * What goes with the tombstone of the user object, which is the last thing that is sealed: everyone's view, what was listed of
   * the user, and the private home key.
   */
  lastWrite(user: User, before: Pick<User, 'whitelist'> | undefined): AttachedWrite {
    const { store, credentials } = this.#ports
    const address = user.owner as Address
    const account = keyOf.account(address)
    const left = credentials.withoutKey(address)
    const text = store.database.get(account)
    if (left === undefined || text === undefined || !this.isGone(address))
      throw new FmtpError('FMTP_NOT_FOUND', `no account ${address} that goes`)
    const { puts, dels } = listedWrite({ ...user, whitelist: [] }, before)
    return {
      absent: [],
      equals: [[account, text]],
      puts: [[account, JSON.stringify(left)], ...puts],
      dels: [keyOf.view('everyone', address), keyOf.retention(address), ...dels],
    }
  }
}
