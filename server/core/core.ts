/**
 * What every command on a data folder needs: the store, the domains with their keys, the users. Nothing of it listens or
 * dials, so that a command can have it without being a server. `server.ts` builds the rest around it.
 */
import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from '../../objects/clock.ts'
import { damageAdvice } from '../../objects/store/engine/damage.ts'
import type { Database } from '../../objects/store/engine/database.ts'
import { reasonOf } from '../../objects/store/engine/leveldb.ts'
import { createHints, type Hints } from '../../objects/store/hints.ts'
import { openDatabase, type StoreOptions } from '../../objects/store/open.ts'
import { Store } from '../../objects/store/store.ts'
import { createResolver, systemServers } from '../../routing/dns/client.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { isLoopback } from '../../routing/ip.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { findEndpoint } from '../../schemas/text/formats.ts'
import { parseDomain } from '../../schemas/text/names.ts'
import { Accounts } from '../accounts/accounts.ts'
import { type OwnDomains, openDomains } from '../accounts/own-domains.ts'
import { createRotation, type Rotation } from '../accounts/rotation.ts'
import type { LoadedConfig } from '../config/load.ts'
import { Closing } from './disposables.ts'
import { Removals } from './file-hold.ts'

export interface Core extends AsyncDisposable {
  readonly config: LoadedConfig
  readonly clock: Clock
  readonly database: Database
  readonly hints: Hints
  readonly store: Store
  readonly domains: OwnDomains
  readonly accounts: Accounts
  readonly resolver: Resolver
  readonly rotation: Rotation
  /** What copies the files of the data folder holds them. */
  readonly removals: Removals
}

export interface CoreOptions {
  readonly clock?: Clock
  /** True: a store of an older version is opened as it is, to be copied. */
  readonly keepsVersion?: boolean
  /** What happens to our keys and to the store, for the log. */
  onEvent?(event: string, record: Readonly<Record<string, unknown>>): void
  /** Something else stands under this key than was written. */
  onDamaged?(key: string): void
}

/**
 * Opens the data folder of a config, and makes it where there is none. Nobody else has it until it is disposed of.
 * @throws {FmtpError} FMTP_STORE with what a person can do about it
 */
export async function openCore(config: LoadedConfig, options: CoreOptions = {}): Promise<Core> {
  const { clock = systemClock, onEvent = () => undefined, keepsVersion = false } = options
  const closing = new Closing()
  try {
    const hints = createHints()
    const database = closing.use(
      await openDatabase(
        config.data,
        lists => hints.notify(lists),
        () => randomBytes(4).toString('hex'),
        { ...watchStore(onEvent), keepsVersion },
      ),
    )
    // Behind the database, whose lock keeps a second process from making keys of its own.
    const domains = openDomains(
      config.domain.map(({ name }) => parseDomain(name)),
      config.data,
      clock.now(),
    )
    const store = new Store(database, options.onDamaged)
    const accounts = new Accounts({ store, domains, clock })
    const isIsland = [...domains.keys()].every(domain => domain === 'localhost')
    const resolver = closing.use(createResolver({ servers: nameServers(config.dns, isIsland), clock }))
    const rotation = createRotation({ domains, resolver, clock, onEvent })
    return {
      config,
      clock,
      database,
      hints,
      store,
      domains,
      accounts,
      resolver,
      rotation,
      removals: new Removals(),
      [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
    }
  } catch (thrown) {
    await closing[Symbol.asyncDispose]()
    throw thrown
  }
}

/** @throws {FmtpError} FMTP_CONFIG where none of them can say what `dns.requireSecure` wants to hear */
function nameServers({ servers, requireSecure }: LoadedConfig['dns'], isIsland: boolean): readonly string[] {
  const used = servers.length > 0 ? servers : isIsland ? ['127.0.0.1'] : systemServers()
  const far = used.find(server => !isLoopback(findEndpoint(server)?.address ?? server))
  if (requireSecure && far !== undefined)
    throw new FmtpError(
      'FMTP_CONFIG',
      `dns.requireSecure needs a name server on loopback that checks DNSSEC, and ${far} is none. Set dns.servers.`,
    )
  return used
}

/** What happens to the store, as events of the log. */
function watchStore(
  onEvent: (event: string, record: Readonly<Record<string, unknown>>) => void,
): StoreOptions {
  return {
    onUpgrade: progress => onEvent('store.upgrade', { ...progress }),
    onFailed: cause => onEvent('store.failed', { reason: reasonOf(cause) }),
    onReopened: ({ damage, ...record }) => {
      onEvent('store.reopened', { ...record })
      if (damage.length > 0) onEvent('store.damage', { lines: damage, advice: damageAdvice })
    },
  }
}
