/**
 * A proven connection to a domain or to contacts (protocol §10.3): the open one, else key and hosts from DNS, then the
 * hosts in order, overlapping. Callers that want the same domain share one attempt.
 */
import type { Clock } from '../../objects/clock.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain, Name } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { DnsKeys } from '../dns/domain-keys.ts'
import { findHosts, type HostStep } from '../dns/hosts.ts'
import type { Resolver } from '../dns/resolver.ts'
import { firstOf, type Note, type Step } from '../ladder.ts'
import type { Breaker } from './circuit-breaker.ts'
import type { Guard } from './dial-guard.ts'
import type { Dial, Peer, Peers, Target } from './peer.ts'
import { hostPort, placeOf, type RoundTrips } from './round-trips.ts'
import type { Routes } from './told-contacts.ts'

const frontsMost = 10_000

export interface ReachPorts {
  readonly resolver: Resolver
  readonly keys: DnsKeys
  readonly guard: Guard
  readonly dial: Dial
  readonly peers: Peers
  readonly breaker: Breaker
  /** Breaks ties between contacts. */
  readonly roundTrips: RoundTrips
  /** What domains have told of themselves. */
  readonly routes: Routes
  readonly clock: Clock
  random(): number
  /** An island reaches nobody. */
  readonly isIsland: boolean
}

export interface Reach {
  /** The open connection to a domain, or to who answers in its place. */
  find(domain: Domain, as: Domain): Peer | undefined
  /** Who answered in the place of a domain a while ago. */
  findFront(domain: Domain, as: Domain): Name | undefined
  /** True for who ever answered in the place of another. */
  isFront(name: Name): boolean
  /**
   * `isScheduled`: an attempt that is made now and then in any case; others fail at once while the domain is held back.
   * @throws {FmtpError} FMTP_ISLAND, FMTP_NO_KEY, FMTP_NO_HOST, FMTP_DNS_FAILED, FMTP_UNREACHABLE, FMTP_RESTING, …
   */
  domain(domain: Domain, as: Domain, note: Note, isScheduled?: boolean): Promise<Peer>
  /** The same, where a parent of the domain may answer too, which stands for it (protocol §10.8). */
  front(domain: Domain, as: Domain, note: Note, isScheduled?: boolean): Promise<Peer>
  /** Contacts of one priority, the quickest first. `owner` or its domain must answer there. */
  contacts(contacts: readonly Contact[], owner: Name, as: Domain, note: Note): Promise<Peer>
}

/**
 * What makes a host rest, and for which rung: a stranger's contact that names another domain's host must not keep us from
 * that domain.
 */
interface Resting {
  readonly rung: 'domain' | 'contact'
  isToRest(error: FmtpError): boolean
}

export function createReach(ports: ReachPorts): Reach {
  const { breaker } = ports
  const flights = new Map<string, Promise<Peer>>()
  /** Who answered for a domain that does not answer itself. */
  const fronts = new BoundedMap<string, { readonly name: Name; readonly untilMs: number }>(frontsMost)
  const frontNames = new BoundedMap<Name, true>(frontsMost)
  /** Domains that are called though somebody answers in their place. */
  const trying = new Set<string>()

  async function dialDomain(domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const { resolver } = ports
    const standing = findStanding(domain, as)
    if (standing !== undefined) {
      return besideStanding(standing, domain, as, note)
    }
    // Both are needed before anything is dialled, and neither needs the other.
    const [hosts, key] = await Promise.allSettled([
      note.step(
        'hosts',
        found => ({
          ...{ via: found.via, hosts: found.hosts.map(host => host.host), skipped: found.skipped },
          secure: found.isSecure,
          addresses: found.hosts.flatMap(host => host.addresses.map(ip => hostPort(ip, host.port))),
        }),
        () => findHosts(resolver, domain, { random: ports.random, onStep: step => noteHosts(step, note) }),
        { domain },
      ),
      noteKey(domain, note),
    ])
    if (key.status === 'rejected') throw key.reason
    const told = ports.routes.find(domain)
    if (told.length > 0) note.add('told', 'ok', { domain, contacts: told.map(placeOf) })
    if (hosts.status === 'rejected' && told.length === 0) throw hosts.reason
    const named = hosts.status === 'rejected' ? [] : hosts.value.hosts
    const targets = named.flatMap(({ host, port, addresses }) =>
      addresses.map((address): Target => ({ protocol: 'tcp', host, address, port, to: domain, as })),
    )
    // A domain that is down has its own schedule; only a host that is not the domain's rests.
    const resting: Resting = { rung: 'domain', isToRest: error => !error.isTemporary }
    const calls = [
      ...callsTo(told, domain, as, note),
      ...targets.map(target => (signal: AbortSignal) => attempt(target, note, resting, signal)),
    ]
    return firstOf(calls, limits.nextHostMs, ports.clock)
  }

  /** The domain itself where it answers in a moment, else who is there in its place; the call goes on for who comes next. */
  async function besideStanding(standing: Peer, domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const key = `${as} ${domain}`
    trying.add(key)
    const over = new AbortController()
    const told = findTold(domain)
    note.add('told', 'ok', { domain, contacts: told.map(placeOf) })
    const calling = noteKey(domain, note)
      .then(() => firstOf(callsTo(told, domain, as, note), limits.nextHostMs, ports.clock))
      .catch(() => standing)
      .finally(() => trying.delete(key))
    const waitMs = limits.nextHostMs * (told.length + 1)
    const late = ports.clock.sleep(waitMs, over.signal).then(() => standing)
    const peer = await Promise.race([calling, late])
    over.abort('over')
    return peer
  }

  function noteKey(domain: Domain, note: Note): Promise<unknown> {
    const { keys } = ports
    return note.step(
      'key',
      found => ({ selectors: found.map(({ selector }) => selector), secure: keys.isSecure(domain) }),
      () => keys.find(domain),
      { domain, record: `fmtpkey.${domain}` },
    )
  }

  /** Who answers there must be the domain itself. */
  function callsTo(told: readonly Contact[], domain: Domain, as: Domain, note: Note) {
    return told.map(
      contact => async (signal: AbortSignal) =>
        requireItself(await dialContact(contact, { owner: domain, as }, note, signal), domain),
    )
  }

  /** `outer`: aborted when nobody wants any of them any more. */
  function dialFirst(
    targets: readonly Target[],
    note: Note,
    resting: Resting,
    outer?: AbortSignal,
  ): Promise<Peer> {
    const attempts = targets.map(
      target => (signal: AbortSignal) =>
        attempt(target, note, resting, outer === undefined ? signal : AbortSignal.any([signal, outer])),
    )
    return firstOf(attempts, limits.nextHostMs, ports.clock)
  }

  /** Every attempt ends in one step `dial`, also where another one answered first. */
  async function attempt(
    target: Target,
    note: Note,
    { rung, isToRest }: Resting,
    signal: AbortSignal,
  ): Promise<Peer> {
    const { host, address, port, to } = target
    const { guard } = ports
    // A host that is not one domain's may be another's: that of a parent is named by all of its children.
    const resting = rung === 'domain' ? `domain ${to} ${host}` : `contact ${host}`
    try {
      return await racing({ host, address, port }, note, signal, wanted =>
        wanted.step('dial', { host, address, port }, () => {
          guard.check(address, port)
          if (guard.isResting(resting, port)) throw new FmtpError('FMTP_RESTING', host)
          return ports.dial(target, wanted, signal)
        }),
      )
    } catch (thrown) {
      // A host that lost the race did nothing wrong.
      if (!signal.aborted && isToRest(toFmtpError(thrown))) guard.rest(resting, port)
      throw thrown
    }
  }

  /** Notes in time that another one has answered; what ends because of that is not noted. */
  async function racing<T>(
    place: Step['detail'],
    note: Note,
    signal: AbortSignal,
    work: (wanted: Note) => Promise<T>,
  ): Promise<T> {
    if (signal.aborted) throw new FmtpError('FMTP_DISCONNECTED', 'another one answered first')
    const startMs = ports.clock.now()
    const lose = (): void => note.add('dial', 'unneeded', place, ports.clock.now() - startMs)
    signal.addEventListener('abort', lose, { once: true })
    try {
      return await work(note.until(signal))
    } finally {
      signal.removeEventListener('abort', lose)
    }
  }

  /** What was told of a domain and has not failed since. */
  function findTold(domain: Domain): readonly Contact[] {
    const told = ports.routes.find(domain)
    return told.length === 0
      ? told
      : told.filter(({ host, port }) => !ports.guard.isResting(`contact ${host}`, port))
  }

  /** The open connection to who answers in its place. */
  function findStanding(domain: Domain, as: Domain): Peer | undefined {
    const front = reach.findFront(domain, as)
    return front === undefined ? undefined : ports.peers.find(front, as)
  }

  const reach: Reach = {
    find(domain, as) {
      const open = ports.peers.find(domain, as)
      // Where the domain itself may be reached, it is tried once more.
      const mayTry = open === undefined && !trying.has(`${as} ${domain}`) && findTold(domain).length > 0
      return open !== undefined || mayTry ? open : findStanding(domain, as)
    },

    findFront(domain, as) {
      const front = fronts.get(`${as} ${domain}`)
      return front === undefined || front.untilMs < ports.clock.now() ? undefined : front.name
    },

    async domain(domain, as, note, isScheduled) {
      return requireItself(await reach.front(domain, as, note, isScheduled), domain)
    },

    isFront: name => frontNames.get(name) === true,

    front(domain, as, note, isScheduled = false) {
      const open = reach.find(domain, as)
      if (open !== undefined) {
        note.add('reuse', 'ok', { domain, host: open.host })
        return Promise.resolve(open)
      }
      if (ports.isIsland) {
        note.add('island', 'FMTP_ISLAND', { domain })
        return Promise.reject(new FmtpError('FMTP_ISLAND', domain))
      }
      const key = `${as} ${domain}`
      const flight = flights.get(key)
      if (flight !== undefined) return flight
      const held = isScheduled ? undefined : breaker.findHeld(domain)
      if (held !== undefined) {
        note.add('held', held.code, { domain, retryAfterMs: held.retryAfterMs })
        return Promise.reject(held)
      }
      const begun = dialDomain(domain, as, note).finally(() => flights.delete(key))
      flights.set(key, begun)
      begun.then(
        ({ name }) => {
          breaker.heard(domain)
          const untilMs = ports.clock.now() + limits.frontMs
          if (name === domain) return
          fronts.set(key, { name, untilMs })
          frontNames.set(name, true)
        },
        thrown => breaker.fail(domain, toFmtpError(thrown)),
      )
      return begun
    },

    contacts(contacts, owner, as, note) {
      const places = contacts.map(contact => `${contact.protocol} ${placeOf(contact)}`)
      const key = [as, owner, ...places].join(' ')
      const flight =
        flights.get(key) ?? dialContacts(contacts, owner, as, note).finally(() => flights.delete(key))
      flights.set(key, flight)
      return flight
    },
  }
  return reach

  function dialContacts(contacts: readonly Contact[], owner: Name, as: Domain, note: Note): Promise<Peer> {
    const quickest = ports.roundTrips.sort(contacts)
    const attempts = quickest.map(
      contact => (signal: AbortSignal) => dialContact(contact, { owner, as }, note, signal),
    )
    return firstOf(attempts, limits.nextHostMs, ports.clock)
  }

  async function dialContact(
    { host, port, protocol }: Contact,
    { owner, as }: { readonly owner: Name; readonly as: Domain },
    note: Note,
    signal: AbortSignal,
  ): Promise<Peer> {
    const [callable, addresses] = await racing({ host, port }, note, signal, wanted =>
      wanted.step(
        'addresses',
        found => ({ addresses: found[1] }),
        async () => {
          if (ports.isIsland) throw new FmtpError('FMTP_ISLAND', host)
          if (protocol === 'udp') throw new FmtpError('FMTP_NOT_OFFERED', 'udp takes no describes')
          if (ports.guard.isResting(`contact ${host}`, port))
            throw new FmtpError('FMTP_RESTING', hostPort(host, port))
          return [protocol, await findAddresses(host)] as const
        },
        { host, port },
      ),
    )
    const targets = addresses.map(
      (address): Target => ({ protocol: callable, host, address, port, to: owner, as }),
    )
    return dialFirst(targets, note, { rung: 'contact', isToRest: () => true }, signal)
  }

  async function findAddresses(host: string): Promise<readonly string[]> {
    const { records } = isIpAddress(host) ? { records: [host] } : await ports.resolver.addresses(host)
    if (records.length === 0) throw new FmtpError('FMTP_NO_HOST', host)
    return records.slice(0, 8)
  }
}

/** @throws {FmtpError} FMTP_UNREACHABLE where another one answered, which only stands for the domain */
export function requireItself(peer: Peer, domain: Domain): Peer {
  if (peer.name === domain) return peer
  throw new FmtpError('FMTP_UNREACHABLE', `for ${domain} only ${peer.name} answers`)
}

/** One question of the search for hosts, as a step. */
function noteHosts({ rung, name, outcome, tookMs, answers, server }: HostStep, note: Note): void {
  const how = outcome === 'found' ? 'ok' : outcome === 'absent' ? 'miss' : failed[outcome]
  note.add(rung, how, { name, answers, ...(server === undefined ? {} : { server }) }, tookMs)
}

const failed = { refused: 'FMTP_NO_HOST', failed: 'FMTP_DNS_FAILED' } as const

const ipPattern = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*)$/

function isIpAddress(host: string): boolean {
  return ipPattern.test(host)
}
