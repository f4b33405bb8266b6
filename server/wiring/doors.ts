/**
 * The three doors, with all that stands right behind them: lookup, views, blobs of users, upkeep. Built once for a server;
 * what listens and dials is the affair of `server.ts`.
 */
import { join } from 'node:path'
import type { DomainKeys } from '../../objects/seals/seal.ts'
import { FileBlobs } from '../../objects/store/blobs/blobs.ts'
import { noteUse } from '../../objects/store/cached.ts'
import type { Reach } from '../../routing/connect/connect.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import type { Routes } from '../../routing/connect/told-contacts.ts'
import { createAskPiece } from '../../routing/lookup/blob-pieces.ts'
import type { AskByDatagram } from '../../routing/lookup/datagram.ts'
import { createStandsFor } from '../../routing/lookup/delegation.ts'
import { createElder } from '../../routing/lookup/expired-seal.ts'
import { createLookup, type Lookup, type LookupPorts } from '../../routing/lookup/lookup.ts'
import type { Family } from '../../routing/parents/hierarchy.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { type Address, type Domain, domainOf, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import type { Accounts } from '../accounts/accounts.ts'
import { createSight } from '../accounts/sight.ts'
import { Puller, pieceBytesOf } from '../blobs/fetcher.ts'
import { createBlobReveal } from '../blobs/give-piece.ts'
import { Turns } from '../blobs/keyed-lock.ts'
import { Carrier } from '../blobs/relay-cache.ts'
import { createShelf, type Shelf } from '../blobs/user-blobs.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Core } from '../core/core.ts'
import type { Log } from '../core/log.ts'
import type { Reports } from '../delivery/status/reports.ts'
import { type Admit, createAdmit } from '../exchange/admit.ts'
import { createPublish, type Publish } from '../exchange/publish.ts'
import { createPull, type PullPorts } from '../exchange/reading/outbox-resend.ts'
import { createFindContacts } from '../exchange/reading/own-contacts.ts'
import type { Presence } from '../exchange/reading/presence.ts'
import { createViews } from '../exchange/reading/views.ts'
import { createCountRecipients } from '../exchange/recipients/new-recipients.ts'
import { createPassage } from '../exchange/recipients/relay-policy.ts'
import { createHearReport } from '../exchange/recipients/relay-report.ts'
import { createReveal, type Reveal } from '../exchange/reveal.ts'
import type { DiskWatch } from '../limits/disk-space.ts'
import type { Rates } from '../limits/rates.ts'
import { Upkeep } from '../retention/housekeeping.ts'
import type { Telling } from './events.ts'

export interface DoorsPorts {
  readonly core: Core
  readonly config: LoadedConfig
  readonly kinds: Kinds
  readonly keys: DomainKeys
  readonly reach: Reach
  readonly routes: Routes
  readonly askByDatagram: AskByDatagram
  /** Parents and children. */
  readonly family: Family
  readonly reports: Reports
  readonly rates: Rates
  readonly disk: DiskWatch
  /** In whose name others are asked on nobody's behalf. */
  readonly as: Domain
  readonly isIsland: boolean
  readonly followMs: number
  readonly log: Log
  readonly telling: Telling
  /** The open connection to a domain in the name of one of ours. */
  findOpen(domain: Domain, as: Domain): Peer | undefined
  /** The same in whichever name. */
  findAny(domain: Domain): Peer | undefined
  findPresence(address: Address): Presence
  /** What a peer asks of the courier. */
  readonly outbox: Pick<PullPorts, 'settled' | 'wake' | 'resend'>
}

export interface Doors {
  readonly lookup: Lookup
  /** What it was made of, for a lookup of another reach. */
  readonly lookupPorts: LookupPorts
  readonly reveal: Reveal
  readonly admit: Admit
  readonly publish: Publish
  readonly shelf: Shelf
  readonly puller: Puller
  readonly carrier: Carrier
  readonly upkeep: Upkeep
}

export async function createDoors(ports: DoorsPorts): Promise<Doors> {
  const {
    core,
    config,
    kinds,
    keys,
    reach,
    family,
    rates,
    disk,
    as: first,
    isIsland,
    followMs,
    log,
    telling,
  } = ports
  const { clock, database, hints, store, accounts } = core
  const requireRoom = (bytes?: number): void => disk.requireRoom(bytes)
  const blobs = await FileBlobs.open(join(config.data, 'blobs'), telling.onBlobDamaged)
  const upkeep = new Upkeep({
    store,
    clock,
    cacheBytes: config.limits.cacheBytes,
    giveUp: (id, domain) => ports.reports.unheard(id, domain as Domain),
    sweepBlobs: async () => (await core.removals.run(() => shelf.sweep())) ?? 0,
    isOwn: name => accounts.isOwn(name),
    onDone: record => log.info({ ...record }, 'upkeep'),
    onFailed: telling.onFailed('upkeep'),
  })
  const lookupPorts: LookupPorts = {
    store,
    kinds,
    keys,
    reach,
    askByDatagram: ports.askByDatagram,
    family,
    clock,
    as: first,
    isOwnDomain: domain => accounts.isOwnDomain(domain),
    findOwn: (id: ObjectId) => reveal.findFor(id, []),
    onStep: telling.onStep('lookup'),
    hasRoom: () => disk.hasRoom,
    onContacts: (domain, contacts) => ports.routes.keep(domain, contacts),
    onUse: id => {
      noteUse(id, clock.now(), database).catch(telling.onFailed('cache'))
    },
    onKept: () => {
      upkeep.evict().catch(telling.onFailed('cache'))
    },
  }
  const lookup = createLookup(lookupPorts)

  const findView = createViews({
    clock,
    findUser: address => accounts.findUser(address),
    findView: address => accounts.findView(address),
    findLeaver: address => accounts.findLeaver(address),
    homeKey: address => accounts.homeKey(address),
    findPresence: address => ports.findPresence(address),
  })
  const sight = createSight(store, accounts.groups)
  const standsFor = createStandsFor({
    lookup,
    isOwnDomain: domain => accounts.isOwnDomain(domain),
    findOpen: ports.findAny,
  })
  const reveal = createReveal({
    store,
    accounts,
    sight,
    lookup,
    isChild: domain => family.isChild(domain),
    isParent: domain => family.isParent(domain),
    standsFor,
    findView,
    findContacts: createFindContacts(config.listen.contacts),
    revealBlob: (sought, inquiry, by) => revealBlob(sought, inquiry, by),
    hints,
    clock,
    followMs,
    spendRequest: remote => rates.spendRequest(remote),
    pull: createPull({
      ...ports.outbox,
      store,
      clock,
      isExempt: remote => rates.isExempt(remote),
      refuse: (domain, retryAfterMs) => rates.refuse('resend', domain, retryAfterMs),
    }),
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
    maySee: (id, viewers) => reveal.findFor(id, viewers) !== undefined,
  })
  const bringing = {
    store,
    blobs,
    clock,
    requireRoom,
    turns: new Turns(),
    blobBytes: config.limits.blobBytes,
    pieceBytes: pieceBytesOf(config.limits.frameBytes),
    onEvent: telling.onEvent,
  }
  const askPiece = createAskPiece({ reach, family, clock })
  const onPullStep = telling.onStep('pull')
  const puller = new Puller({
    ...bringing,
    userBlobBytes: config.limits.userBlobBytes,
    random: Math.random,
    findOpen: ports.findOpen,
    ask: (query, by) =>
      askPiece(query, { ...by, onStep: step => onPullStep(domainOf(ownerOf(query.id)), step) }),
    reach: (domain, as, note) => reach.front(domain, as, note),
  })
  const carrier = new Carrier({
    ...bringing,
    ask: askPiece,
    as: first,
    cacheBytes: config.limits.cacheBytes,
    mayHaveFor: (sha256, id, asker) => shelf.mayHaveFor(sha256, id, asker),
    onKept: () => {
      upkeep.evict().catch(telling.onFailed('cache'))
    },
    onStep: telling.onStep('carry'),
    onFailed: telling.onFailed('cache'),
  })
  const revealBlob = createBlobReveal({
    shelf,
    ask: askPiece,
    clock,
    carrier,
    isChild: domain => family.isChild(domain),
    isOwn: name => accounts.isOwn(name),
    isHeld: async id => (await store.findHolders(id)).length > 0,
    bring: (sha256, id) => puller.bring(sha256, id),
    onStep: telling.onStep('blob'),
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
    passage: createPassage({
      store,
      clock,
      relayBytes: config.limits.relayBytes,
      isChild: domain => family.isChild(domain),
      isParent: domain => family.isParent(domain),
      standsFor,
      isOwnDomain: domain => accounts.isOwnDomain(domain),
    }),
    hearReport: createHearReport(ports.reports),
    blockedDomains: config.block.domains,
    spend: (domain, remote) => rates.spendObject(domain, remote),
    requireRoom,
    onDecision: telling.onDecision,
    onPulls: domain => puller.wake(domain),
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
    countRecipients: createCountRecipients({
      store,
      clock,
      perDay: config.limits.newRecipientsPerDay,
      isExempt: remote => rates.isExempt(remote),
      refuse: (author, retryAfterMs) => rates.refuse('newRecipients', author, retryAfterMs),
    }),
    onPublished: record => {
      if (log.isDebug) log.debug(record, 'publish')
    },
  })
  return { lookup, lookupPorts, reveal, admit, publish, shelf, puller, carrier, upkeep }
}
