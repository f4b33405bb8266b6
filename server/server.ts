/**
 * The composition root: builds every part around the core and hands each what it uses, then starts those that work by
 * themselves, then listens; and closes all in reverse. Nothing runs before all is built. Nothing below reads the config or
 * knows another part than those it was given.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../objects/clock.ts'
import { keyOf, listOf } from '../objects/store/layout.ts'
import type { Store } from '../objects/store/store.ts'
import { createBreaker } from '../routing/connect/circuit-breaker.ts'
import { createReach } from '../routing/connect/connect.ts'
import { createGuard } from '../routing/connect/dial-guard.ts'
import type { Dial } from '../routing/connect/peer.ts'
import { createRoundTrips, hostPort } from '../routing/connect/round-trips.ts'
import { createRoutes } from '../routing/connect/told-contacts.ts'
import { createDomainKeys } from '../routing/dns/domain-keys.ts'
import { Continuity } from '../routing/dns/key-history.ts'
import { createNote, type Note } from '../routing/ladder.ts'
import { createAskByDatagram } from '../routing/lookup/datagram.ts'
import { noteFront, parentsOf } from '../routing/lookup/delegation.ts'
import { createFamily } from '../routing/parents/hierarchy.ts'
import { createWays } from '../routing/parents/next-hop.ts'
import { type LinkedPeer, ParentLinks } from '../routing/parents/uplinks.ts'
import { FmtpError, toFmtpError } from '../schemas/failures.ts'
import { traitsOf } from '../schemas/kinds/kinds.ts'
import { limits } from '../schemas/limits.ts'
import { findEndpoint, findParentRule } from '../schemas/text/formats.ts'
import {
  type Domain,
  domainOf,
  isAddressName,
  makeObjectId,
  type ObjectId,
  ownerOf,
} from '../schemas/text/names.ts'
import type { Channel } from '../wire/channel.ts'
import type { Accounts } from './accounts/accounts.ts'
import type { OwnDomains } from './accounts/own-domains.ts'
import { Resealing } from './accounts/resealing.ts'
import { type Rotation, watchRotation } from './accounts/rotation.ts'
import { ensureServerObject } from './accounts/server-object.ts'
import { loadKinds } from './config/kinds.ts'
import type { LoadedConfig } from './config/load.ts'
import { ownHosts } from './config/own-hosts.ts'
import { createActions, type StatsResult } from './control/actions.ts'
import { listenControl } from './control/socket.ts'
import { openCore } from './core/core.ts'
import { Closing } from './core/disposables.ts'
import type { Log } from './core/log.ts'
import { Courier } from './delivery/courier.ts'
import { createDirect } from './delivery/direct.ts'
import { sorts } from './delivery/outbox.ts'
import { createCatchUp, type DomainPeer } from './delivery/resync/catch-up.ts'
import { greetPeers } from './delivery/resync/greeting.ts'
import { Received } from './delivery/resync/received.ts'
import { createReports } from './delivery/status/reports.ts'
import { Presences } from './exchange/reading/presence.ts'
import { DiskWatch } from './limits/disk-space.ts'
import { createRates } from './limits/rates.ts'
import { Refusals } from './limits/refusals.ts'
import { askParents } from './operator/ask-parents.ts'
import type { Place } from './operator/health.ts'
import { Calls } from './protocol/calls.ts'
import { Connections } from './protocol/connections.ts'
import { createDatagrams } from './protocol/datagrams.ts'
import { passOn } from './protocol/push.ts'
import { Session, type SessionPorts } from './protocol/session.ts'
import { Leaving } from './retention/account-deletion.ts'
import type { Upkeep } from './retention/housekeeping.ts'
import { openCertificate } from './transports/certificate.ts'
import { dialChannel } from './transports/dial.ts'
import { listenHttp } from './transports/http.ts'
import { type Listener, listenTcp } from './transports/tcp.ts'
import { listenUdp } from './transports/udp.ts'
import { createWeb } from './web/app.ts'
import { createDoors } from './wiring/doors.ts'
import { createTelling } from './wiring/events.ts'

export interface RunningServer extends AsyncDisposable {
  readonly store: Store
  readonly accounts: Accounts
  readonly domains: OwnDomains
  readonly upkeep: Upkeep
  readonly rotation: Rotation
  readonly tcp: readonly Listener[]
  readonly udp: readonly Listener[]
  readonly http: readonly Listener[]
  /** Serves whoever is at the other end of a channel that no listener of ours took, such as an in-memory pair. */
  serve(channel: Channel): void
}

export interface ServerOptions {
  readonly log: Log
  readonly software: { readonly name: string; readonly version: string }
  readonly clock?: Clock
}

// Hints come from this process, so the list's head is looked at only in case one was lost.
const followMs = 60_000

/** Starts a server. @throws {FmtpError} FMTP_CONFIG, FMTP_STORE with what a person can do about it */
export async function startServer(config: LoadedConfig, options: ServerOptions): Promise<RunningServer> {
  const { log } = options
  const kinds = loadKinds(config.kinds)
  const telling = createTelling(log)
  const { onEvent } = telling
  const closing = new Closing()
  try {
    const core = closing.use(await openCore(config, { ...options, ...telling }))
    const { clock, database, hints, domains, store, accounts, resolver, rotation } = core
    if (database.damage.length > 0) telling.onStoreDamage(database.damage)
    const [first] = domains.keys()
    if (first === undefined) throw new FmtpError('FMTP_CONFIG', 'no domain')
    const isIsland = [...domains.keys()].every(domain => domain === 'localhost')
    const parentRules = config.parents.flatMap(text => findParentRule(text) ?? [])
    const parents = [...new Set(parentRules.map(({ parent }) => parent as Domain))]
    for (const domain of domains.keys()) {
      const { objectBytes, frameBytes, recipients } = config.limits
      const facts = {
        limits: { objectBytes, frameBytes, recipients },
        software: options.software.name,
        softwareVersion: options.software.version,
        parents,
      }
      await ensureServerObject(domain, facts, { store, accounts, clock })
    }

    const disk = closing.use(
      await DiskWatch.open({ folder: config.data, leastBytes: config.limits.freeBytes, clock, onEvent }),
    )
    const requireRoom = (bytes?: number): void => disk.requireRoom(bytes)

    const rotations = closing.use(watchRotation({ ...core, onEvent }))
    const hasOutbox = (domain: string): boolean =>
      sorts.some(sort => database.head(listOf[sort](domain)).number > 0)
    const continuity = new Continuity({
      database,
      clock,
      isKnown: hasOutbox,
      onChanged: telling.onKeyChanged,
      onFailed: telling.onFailed('continuity'),
    })
    const keys = createDomainKeys({
      resolver,
      clock,
      findOwn: domain => {
        const own = domains.get(domain as Domain)
        return own?.keys.map(({ key }) => key)
      },
      requireSecure: config.dns.requireSecure,
      onEvent: ({ what, ...record }) => log.info(record, `key.${what.slice('key-'.length)}`),
      onKeys: (domain, shown) => continuity.see(domain, shown),
    })

    const isKnown = async (domain: string): Promise<boolean> =>
      parents.includes(domain as Domain) ||
      family.isChild(domain as Domain) ||
      hasOutbox(domain) ||
      (await accounts.isListed(domain))
    const refusals = new Refusals({ clock, onEvent })
    const rates = createRates({
      perSecond: config.limits.unknownPeerPerSecond,
      burst: config.limits.unknownPeerBurst,
      exempt: config.limits.exempt,
      clock,
      isKnown,
      isNew: domain =>
        clock.now() - Number(database.get(keyOf.met(domain)) ?? clock.now()) < limits.newPeerMs,
      refusals,
    })
    const breaker = createBreaker(clock)
    const connections = new Connections({
      clock,
      sessionsPerPeer: config.limits.sessionsPerPeer,
      connectionsPerHost: config.limits.connectionsPerHost,
      connections: config.limits.connections,
      idleMs: config.limits.idleMs,
      // Over these is reached what can not be called.
      keeps: name =>
        parents.includes(name as Domain) || (!isAddressName(name) && family.isChild(name as Domain)),
      isKnown,
      isExempt: remote => rates.isExempt(remote),
      refuse: (limit, who, retryAfterMs) => rates.refuse(limit, who, retryAfterMs),
    })
    const resealing = closing.use(new Resealing({ store, accounts, clock, onEvent }))
    accounts.watchRevoked((address, thumbprints) => {
      onEvent('device.revoked', { address, thumbprints })
      connections.closeDevices(address, thumbprints)
      resealing.wake()
    })
    const ca = config.tls.ca === '' ? [] : [readFileSync(config.tls.ca, 'utf8')]
    const calls = new Calls()
    const dial: Dial = (target, note, outerSignal) =>
      calls.run(outerSignal, async signal => {
        const { host, address, port, to, as } = target
        const channel = await dialChannel(target, { note, signal, ca, clock })
        const session = await note.step('hello', { as: to, host, address, port }, () =>
          Session.call(channel, sessionPorts, {
            as: as as Domain,
            to,
            host: hostPort(host, port),
            mayBeFront: !isAddressName(to),
            signal,
          }),
        )
        if (session.name !== to && !isAddressName(to)) await checkFront(session, to as Domain, note)
        return session
      })
    /** Who answers for another domain is that domain's parent, or goes. */
    async function checkFront(session: Session, domain: Domain, note: Note): Promise<void> {
      try {
        await noteFront(session, domain, note, { keys, kinds, clock })
      } catch (thrown) {
        session.close(toFmtpError(thrown))
        throw thrown
      }
    }
    const roundTrips = createRoundTrips()
    const routes = createRoutes(clock)
    const guard = createGuard({ allow: config.guard.allow, clock })
    const reach = createReach({
      resolver,
      keys,
      guard,
      dial,
      peers: connections,
      breaker,
      roundTrips,
      routes,
      clock,
      random: Math.random,
      isIsland,
    })
    const askByDatagram = createAskByDatagram({
      resolver,
      guard,
      peers: connections,
      breaker,
      clock,
      random: Math.random,
      isIsland,
    })
    const uplinks = closing.use(
      new ParentLinks({
        parents: isIsland ? [] : parents,
        names: [...domains.keys()],
        clock,
        random: Math.random,
        call: async (parent, as) => {
          const onStep = telling.onStep('parent')
          const note = createNote('domain', { clock, onStep: step => onStep(parent, step) })
          return (await reach.domain(parent, as, note, true)) as LinkedPeer
        },
        onEvent,
      }),
    )
    const family = createFamily({
      rules: parentRules,
      children: config.children,
      uplinks,
      isOwnDomain: domain => accounts.isOwnDomain(domain),
      findOpen: domain => connections.findAny(domain),
      findParentsOf: domain => parentsOf(store.findObject(makeObjectId('server', domain))),
    })
    const ways = createWays({ family, reach, clock })
    const reports = createReports({
      store,
      clock,
      hasUser: address => accounts.findUser(address) !== undefined,
      homeKey: domain => accounts.homeKey(domain),
    })
    const presences = new Presences<Session>(clock)
    const doors = await createDoors({
      core,
      config,
      kinds,
      keys,
      reach,
      routes,
      askByDatagram,
      family,
      reports,
      rates,
      disk,
      as: first,
      isIsland,
      followMs,
      log,
      telling,
      findOpen: (domain, as) => connections.find(domain, as),
      findAny: domain => connections.findAny(domain),
      findPresence: address => presences.find(address),
      outbox: {
        settled: domain => courier.settled(domain),
        wake: domain => courier.wake(domain, true),
        resend: (domain, number) => courier.resend(domain, number),
      },
    })
    const { lookup, reveal, admit, publish, shelf } = doors
    const upkeep = closing.use(doors.upkeep)
    const puller = closing.use(doors.puller)
    closing.use(doors.carrier)
    const leaving = closing.use(
      new Leaving({
        store,
        clock,
        leavers: accounts.leavers,
        erase: (id, author) => publish.erase(id, author),
        sweepBlobs: () => upkeep.once(),
        onEvent,
      }),
    )
    accounts.leavers.watch(address => {
      onEvent('account.leaving', { address })
      // Behind what is being answered: who asked for it is told that it is done.
      setImmediate(() => connections.closeUser(address, new FmtpError('FMTP_ACCOUNT_GONE')))
      leaving.wake()
    })

    const direct = createDirect({
      lookup,
      peers: connections,
      reach,
      clock,
      onStep: telling.onStep('contact'),
    })
    const courier = closing.use(
      new Courier({
        store,
        hints,
        clock,
        random: Math.random,
        isWatched: log.isDebug,
        findOpen: (domain, as) => ways.findOpen(domain, as),
        lookUp: async (recipients, as) => {
          const looking = recipients
            .slice(0, 10)
            .map(address => lookup({ address }, { isScheduled: true }).catch(() => undefined))
          for (const outcome of await Promise.all(looking)) {
            // In another name of ours the domain may be reached all the same.
            const isLost = outcome?.outcome === 'unreachable' && !outcome.isReached && as === first
            if (isLost && recipients.every(to => family.findParent(domainOf(to)) === undefined))
              throw outcome.error
          }
        },
        findOutgoing: (id, version) => {
          const object = reveal.findFor(id as ObjectId, [ownerOf(id as ObjectId)])
          const isView = object !== undefined && traitsOf(object.kind).hasViews && object.deleted !== true
          const outgoing = isView ? reveal.findFor(id as ObjectId, []) : object
          return outgoing?.version === version ? outgoing : undefined
        },
        reach: (domain, as, note) => ways.reach(domain, as, note),
        reachDirect: direct,
        reports,
        onEvent: telling.onDelivery,
      }),
    )

    const received = new Received({ database, clock, onFailed: telling.onFailed('received') })
    const catchUp = createCatchUp({ received, clock, onEvent })

    const { pingAfterMs, pongMs } = config.limits
    const liveness = { pingAfterMs, pongMs }
    const sessionPorts: SessionPorts = {
      domains,
      accounts,
      keys,
      clock,
      log,
      admit,
      publish,
      reveal,
      hosts: ownHosts(config),
      findFront: domain => (family.isChild(domain) ? (family.findBelow(domain)?.as ?? first) : undefined),
      window: { frames: config.limits.windowFrames, bytes: config.limits.windowBytes },
      frameBytes: config.limits.frameBytes,
      liveness,
      requireRoom,
      spendTry: (remote, address) => rates.spendTry(remote, address),
      onRoundTrip: (host, ms) => roundTrips.measure(host, ms),
      onReceived: (session, cursor) => received.note(session.as, session.name as Domain, cursor),
      onIdentified: session => onIdentified(session),
      onClosed: session => {
        connections.remove(session)
        presences.leave(session)
      },
    }

    function onChannel(channel: Channel): void {
      connections.accept(Session.answer(channel, sessionPorts))
    }

    /** For who was heard before this was noted, the last time counts. Lost in a crash, it is noted the next time. */
    function noteMet(domain: Domain): void {
      const key = keyOf.met(domain)
      if (database.get(key) !== undefined) return
      const met = [key, database.get(keyOf.peer(domain)) ?? String(clock.now())] as const
      database.commit([{ absent: [key], puts: [met], isRelaxed: true }]).catch(telling.onFailed('met'))
    }

    async function onIdentified(session: Session): Promise<void> {
      connections.add(session)
      await connections.identify(session)
      if (!session.isOpen) return
      const { standing } = session
      if (standing?.role === 'server' || standing?.role === 'user') noteMet(domainOf(standing.name))
      if (standing?.role === 'server') {
        breaker.heard(standing.name)
        const heard = [keyOf.peer(standing.name), String(clock.now())] as const
        database.commit([{ puts: [heard], isRelaxed: true }]).catch(telling.onFailed('peer'))
        courier.wake(standing.name, true)
        const isLed = ways.findLed(standing.name, session.as)
        if (isLed !== undefined) courier.wakeWhere(isLed)
        void catchUp(session as DomainPeer)
        puller.wake(standing.name as Domain, true)
        if (family.isParent(standing.name)) puller.wakeAll()
      }
      if (standing?.role === 'client') accounts.leavers.requireHere(standing.name)
      if (standing?.role === 'client') presences.arrive(session, standing.name)
      if (standing?.role === 'client' && !passed.has(session)) {
        passed.add(session)
        passOn(session, standing.name, { store, hints, clock, followMs, reveal, log }).catch(
          telling.onFailed('passing'),
        )
      }
    }
    const passed = new WeakSet<Session>()

    // All is built: from here on there is work that nobody has asked for.
    for (const part of [disk, rotations, resealing, upkeep, leaving, puller, courier]) void part.start()

    const certificate = await openCertificate(join(config.data, 'tls'), first, clock.now())
    const tcp = []
    for (const endpoint of config.listen.tcp.map(requireEndpoint)) {
      const listener = await listenTcp({
        endpoint,
        certificate,
        maxConnections: config.http.maxConnections,
        onChannel,
      })
      closing.defer(() => listener.close())
      tcp.push(listener)
    }
    const udp = []
    const answer = createDatagrams({
      clock,
      findFor: reveal.findFor,
      isOwn: name => accounts.isOwn(name),
      isExempt: remote => rates.isExempt(remote),
      onRefused: network => refusals.note('datagrams', network),
      onFailed: telling.onFailed('datagram'),
    })
    for (const endpoint of config.listen.udp.map(requireEndpoint)) {
      const listener = await listenUdp({ endpoint, answer })
      closing.defer(() => listener.close())
      udp.push(listener)
    }
    const web = createWeb({
      reveal,
      accounts,
      shelf,
      bring: (sha256, id) => puller.bring(sha256, id),
      clock,
      log,
      isBehindProxy: config.http.behindProxy,
      spendRequest: remote => rates.spendRequest(remote),
    })
    const http = []
    for (const endpoint of config.listen.http.map(requireEndpoint)) {
      const listener = await listenHttp({
        ...config.http,
        endpoint,
        isBehindProxy: config.http.behindProxy,
        frameBytes: config.limits.frameBytes,
        liveness,
        clock,
        answer: web.callback(),
        onChannel,
      })
      closing.defer(() => listener.close())
      http.push(listener)
    }

    closing.defer(() => {
      calls.close()
      connections.closeAll()
    })
    // Ended before the connections over which it would wait.
    closing.defer(() => puller[Symbol.asyncDispose]())
    const stats = (): StatsResult => ({
      since: new Date(refusals.sinceMs).toISOString(),
      limits: refusals.report(),
      heldBack: breaker
        .list()
        .map(({ domain, untilMs }) => ({ domain, until: new Date(untilMs).toISOString() })),
    })
    closing.use(
      await listenControl(
        config.data,
        createActions(core, {
          stats,
          wake: domain => courier.wake(domain, true),
          routes: {
            lookupPorts: doors.lookupPorts,
            told: routes,
            open: connections,
            findHeld: domain => breaker.findHeld(domain),
          },
          health: {
            software: options.software,
            listeners: { tcp: tcp.map(placeOf), udp: udp.map(placeOf), http: http.map(placeOf) },
            hasRoom: () => disk.hasRoom,
            linkedChildren: () => connections.openDomains().filter(domain => family.isChild(domain)),
            askParents: () =>
              askParents(parents, [...domains.keys()], clock, (parent, as) => connections.find(parent, as)),
            hasBinding: binding => connections.hasBinding(binding),
          },
          erasedOf: address => leaving.erasedOf(address),
          httpPort: http[0]?.port,
        }),
      ),
    )
    uplinks.start()
    if (!isIsland) {
      const note = (domain: Domain) =>
        createNote('domain', { clock, onStep: step => telling.onStep('greet')(domain, step) })
      const { restored } = received
      // Each of ours may have lost what was brought to it.
      const names = restored === undefined ? [first] : [...domains.keys()]
      const call = (domain: Domain) =>
        Promise.allSettled(names.map(as => reach.domain(domain, as, note(domain))))
      const since = restored === undefined ? {} : { sinceMs: restored.backupAtMs - limits.restoredMs }
      greetPeers(call, { database, clock, ...since }).catch(telling.onFailed('greeting'))
    }

    return {
      store,
      accounts,
      domains,
      upkeep,
      rotation,
      tcp,
      udp,
      http,
      serve: onChannel,
      [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
    }
  } catch (thrown) {
    await closing[Symbol.asyncDispose]()
    throw thrown
  }
}

function placeOf({ address, port }: Listener): Place {
  return { address, port }
}

function requireEndpoint(text: string) {
  const endpoint = findEndpoint(text)
  if (endpoint === undefined) throw new FmtpError('FMTP_CONFIG', `${text} is not an address and port`)
  return endpoint
}
