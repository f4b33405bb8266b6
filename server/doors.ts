/**
 * The three doors, with all that stands right behind them: lookup, views, blobs of users, upkeep. Built once for a server;
 * what listens and dials is the affair of `server.ts`.
 */
import { join } from 'node:path'
import { FileBlobs } from '../objects/blobs.ts'
import { noteUse } from '../objects/cached.ts'
import type { DomainKeys } from '../objects/seal.ts'
import { createElder } from '../routing/elder.ts'
import { createLookup, type Lookup } from '../routing/lookup.ts'
import type { Reach } from '../routing/reach.ts'
import type { Address, Domain, ObjectId } from '../schemas/names.ts'
import type { Kinds } from '../schemas/parse-object.ts'
import type { Accounts } from './accounts/accounts.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Core } from './core.ts'
import type { Rates } from './delivery/rates.ts'
import type { DiskWatch } from './disk-watch.ts'
import { type Admit, createAdmit } from './exchange/admit.ts'
import type { Presence } from './exchange/presence.ts'
import { createPublish, type Publish } from './exchange/publish.ts'
import { createReveal, type Reveal } from './exchange/reveal.ts'
import { createShelf, type Shelf } from './exchange/shelf.ts'
import { createSight } from './exchange/sight.ts'
import { createViews } from './exchange/views.ts'
import type { Log } from './log.ts'
import type { Telling } from './telling.ts'
import { Upkeep } from './upkeep.ts'

export interface DoorsPorts {
  readonly core: Core
  readonly config: LoadedConfig
  readonly kinds: Kinds
  readonly keys: DomainKeys
  readonly reach: Reach
  readonly rates: Rates
  readonly disk: DiskWatch
  /** In whose name others are asked on nobody's behalf. */
  readonly as: Domain
  readonly isIsland: boolean
  readonly followMs: number
  readonly log: Log
  readonly telling: Telling
  findPresence(address: Address): Presence
}

export interface Doors {
  readonly lookup: Lookup
  readonly reveal: Reveal
  readonly admit: Admit
  readonly publish: Publish
  readonly shelf: Shelf
  readonly upkeep: Upkeep
}

export async function createDoors(ports: DoorsPorts): Promise<Doors> {
  const { core, config, kinds, keys, reach, rates, disk, as: first, isIsland, followMs, log, telling } = ports
  const { clock, database, hints, store, accounts } = core
  const requireRoom = (bytes?: number): void => disk.requireRoom(bytes)
  const blobs = await FileBlobs.open(join(config.data, 'blobs'), telling.onBlobDamaged)
  // Nothing is waited for between this and the shelf that it sweeps.
  const upkeep = new Upkeep({
    store,
    clock,
    cacheBytes: config.limits.cacheBytes,
    sweepBlobs: async () => (await core.removals.run(() => shelf.sweep())) ?? 0,
    isOwn: name => accounts.isOwn(name),
    onDone: record => log.info({ ...record }, 'upkeep'),
    onFailed: telling.onFailed('upkeep'),
  })
  const lookup = createLookup({
    store,
    kinds,
    keys,
    reach,
    clock,
    as: first,
    isOwnDomain: domain => accounts.isOwnDomain(domain),
    findOwn: (id: ObjectId) => reveal.findFor(id, []),
    onStep: telling.onStep('lookup'),
    hasRoom: () => disk.hasRoom,
    onUse: id => {
      noteUse(id, clock.now(), database).catch(telling.onFailed('cache'))
    },
    onKept: () => {
      upkeep.evict().catch(telling.onFailed('cache'))
    },
  })

  const findView = createViews({
    clock,
    findUser: address => accounts.findUser(address),
    findView: address => accounts.findView(address),
    findLeaver: address => accounts.findLeaver(address),
    homeKey: address => accounts.homeKey(address),
    findPresence: address => ports.findPresence(address),
  })
  const sight = createSight(store, accounts.groups)
  const reveal = createReveal({
    store,
    accounts,
    sight,
    lookup,
    findView,
    hints,
    clock,
    followMs,
    spendRequest: remote => rates.spendRequest(remote),
    onFollowFailed: telling.onFailed('follow'),
  })
  const taking = {
    store,
    clock,
    isIsland,
    sight,
    groups: accounts.groups,
    isOwn: (name: Parameters<Accounts['isOwn']>[0]) => accounts.isOwn(name),
    findUser: (address: Parameters<Accounts['findUser']>[0]) => accounts.findUser(address),
    boxBytes: config.limits.boxBytes,
  }
  const shelf = createShelf({
    store,
    blobs,
    clock,
    requireRoom,
    requireHere: user => accounts.leavers.requireHere(user),
    blobBytes: config.limits.blobBytes,
    userBlobBytes: config.limits.userBlobBytes,
    maySee: (id, viewer) => reveal.findFor(id, viewer === undefined ? [] : [viewer]) !== undefined,
  })
  const { objectBytes, recipients } = config.limits
  const admit = createAdmit({
    ...taking,
    kinds,
    believeOld: createElder({
      lookup,
      reach,
      keys,
      kinds,
      clock,
      as: first,
      isOwnDomain: domain => accounts.isOwnDomain(domain),
      onStep: telling.onStep('elder'),
    }),
    keys,
    objectBytes,
    recipients,
    isOwnDomain: domain => accounts.isOwnDomain(domain),
    blockedDomains: config.block.domains,
    spend: (domain, remote) => rates.spendObject(domain, remote),
    requireRoom,
    onDecision: telling.onDecision,
  })
  const publish = createPublish({
    ...taking,
    findBlob: (sha256, by) => shelf.findFor(sha256, by),
    kinds,
    accounts,
    keys,
    objectBytes,
    recipients,
    requireRoom,
    groupsPerUser: config.limits.groupsPerUser,
    onPublished: record => {
      if (log.isDebug) log.debug(record, 'publish')
    },
  })
  return { lookup, reveal, admit, publish, shelf, upkeep }
}
