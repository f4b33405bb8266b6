/**
 * What every command on a data folder needs: the store, the domains with their keys, the users. Nothing of it listens or
 * dials, so that a command can have it without being a server. `server.ts` builds the rest around it.
 */
import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from '../objects/clock.ts'
import { Database } from '../objects/database.ts'
import { createHints, type Hints } from '../objects/hints.ts'
import { Store } from '../objects/store.ts'
import { createResolver, systemServers } from '../routing/dns.ts'
import type { Resolver } from '../routing/resolver.ts'
import { parseDomain } from '../schemas/names.ts'
import { Accounts } from './accounts/accounts.ts'
import { type OwnDomains, openDomains } from './accounts/own-domains.ts'
import { createRotation, type Rotation } from './accounts/rotation.ts'
import { Closing } from './closing.ts'
import type { LoadedConfig } from './config/load.ts'

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
}

export interface CoreOptions {
  readonly clock?: Clock
  /** What happens to our keys, for the log. */
  onEvent?(event: string, record: Readonly<Record<string, unknown>>): void
  /** Something else stands under this key than was written. */
  onDamaged?(key: string): void
}

/**
 * Opens the data folder of a config, and makes it where there is none. Nobody else has it until it is disposed of.
 * @throws {FmtpError} FMTP_STORE with what a person can do about it
 */
export async function openCore(config: LoadedConfig, options: CoreOptions = {}): Promise<Core> {
  const { clock = systemClock, onEvent = () => undefined } = options
  const closing = new Closing()
  try {
    const hints = createHints()
    const database = closing.use(
      await Database.open(
        config.data,
        lists => hints.notify(lists),
        () => randomBytes(4).toString('hex'),
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
    const { servers } = config.dns
    const isIsland = [...domains.keys()].every(domain => domain === 'localhost')
    const resolver = closing.use(
      createResolver({ servers: servers.length > 0 ? servers : isIsland ? ['127.0.0.1'] : systemServers() }),
    )
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
      [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
    }
  } catch (thrown) {
    await closing[Symbol.asyncDispose]()
    throw thrown
  }
}
