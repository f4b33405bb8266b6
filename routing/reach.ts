/**
 * A proven connection to a domain or to a contact (protocol §10.3): the open one, else key and hosts from DNS, then the
 * hosts in order, overlapping. Callers that want the same domain share one attempt.
 */
import type { Clock } from '../objects/clock.ts'
import type { DomainKeys } from '../objects/seal.ts'
import type { Contact } from '../schemas/contact.ts'
import { FmtpError, toFmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import type { Domain, Name } from '../schemas/names.ts'
import { BoundedMap } from '../wire/bounded-map.ts'
import type { Breaker } from './breaker.ts'
import type { Guard } from './guard.ts'
import { firstOf, type Note } from './ladder.ts'
import { findHosts } from './mx.ts'
import type { Dial, Peer, Peers, Target } from './peer.ts'
import type { Resolver } from './resolver.ts'

const frontsMost = 10_000

export interface ReachPorts {
  readonly resolver: Resolver
  readonly keys: DomainKeys
  readonly guard: Guard
  readonly dial: Dial
  readonly peers: Peers
  readonly breaker: Breaker
  readonly clock: Clock
  random(): number
  /** An island reaches nobody. */
  readonly isIsland: boolean
}

export interface Reach {
  /**
   * `isScheduled`: an attempt that is made now and then in any case; others fail at once while the domain is held back.
   * @throws {FmtpError} FMTP_ISLAND, FMTP_NO_KEY, FMTP_NO_HOST, FMTP_DNS_FAILED, FMTP_UNREACHABLE, FMTP_RESTING, …
   */
  domain(domain: Domain, as: Domain, note: Note, isScheduled?: boolean): Promise<Peer>
  /** The same, where a parent of the domain may answer too, which stands for it (protocol §10.8). */
  front(domain: Domain, as: Domain, note: Note, isScheduled?: boolean): Promise<Peer>
  /** `owner` or its domain must answer there. */
  contact(contact: Contact, owner: Name, as: Domain, note: Note): Promise<Peer>
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

  async function dialDomain(domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const { resolver, keys } = ports
    // Both are needed before anything is dialled, and neither needs the other.
    const [hosts, key] = await Promise.allSettled([
      note.step(
        'hosts',
        found => ({ domain, via: found.via, hosts: found.hosts.map(host => host.host) }),
        () => findHosts(resolver, domain, { random: ports.random }),
      ),
      note.step(
        'key',
        found => ({ domain, record: `fmtpkey.${domain}`, selectors: found.map(({ selector }) => selector) }),
        () => keys.find(domain),
      ),
    ])
    if (key.status === 'rejected') throw key.reason
    if (hosts.status === 'rejected') throw hosts.reason
    const targets = hosts.value.hosts.flatMap(({ host, port, addresses }) =>
      addresses.map((address): Target => ({ protocol: 'tcp', host, address, port, to: domain, as })),
    )
    // A domain that is down has its own schedule; only a host that is not the domain's rests.
    return dialFirst(targets, note, { rung: 'domain', isToRest: error => !error.isTemporary })
  }

  function dialFirst(targets: readonly Target[], note: Note, { rung, isToRest }: Resting): Promise<Peer> {
    // A host that is not one domain's may be another's: that of a parent is named by all of its children.
    const placeOf = ({ to, host }: Target): string =>
      rung === 'domain' ? `domain ${to} ${host}` : `contact ${host}`
    const attempts = targets.map(target => async (signal: AbortSignal) => {
      ports.guard.check(target.address, target.port)
      if (ports.guard.isResting(placeOf(target), target.port))
        throw new FmtpError('FMTP_RESTING', target.host)
      try {
        return await ports.dial(target, note, signal)
      } catch (thrown) {
        // A host that lost the race did nothing wrong.
        if (!signal.aborted && isToRest(toFmtpError(thrown))) ports.guard.rest(placeOf(target), target.port)
        throw thrown
      }
    })
    return firstOf(attempts, limits.nextHostMs, ports.clock)
  }

  function findOpen(domain: Domain, as: Domain): Peer | undefined {
    const open = ports.peers.find(domain, as)
    const front = open === undefined ? fronts.get(`${as} ${domain}`) : undefined
    return front === undefined || front.untilMs < ports.clock.now() ? open : ports.peers.find(front.name, as)
  }

  const reach: Reach = {
    async domain(domain, as, note, isScheduled) {
      const peer = await reach.front(domain, as, note, isScheduled)
      if (peer.name === domain) return peer
      throw new FmtpError('FMTP_UNREACHABLE', `for ${domain} only ${peer.name} answers`)
    },

    front(domain, as, note, isScheduled = false) {
      const open = findOpen(domain, as)
      if (open !== undefined) {
        note.add('reuse', 'ok', { domain, host: open.host })
        return Promise.resolve(open)
      }
      if (ports.isIsland) return Promise.reject(new FmtpError('FMTP_ISLAND', domain))
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
          if (name !== domain) fronts.set(key, { name, untilMs })
        },
        thrown => breaker.fail(domain, toFmtpError(thrown)),
      )
      return begun
    },

    contact(contact, owner, as, note) {
      const key = `${as} ${owner} ${contact.protocol} ${contact.host}:${contact.port}`
      const flight =
        flights.get(key) ?? dialContact(contact, owner, as, note).finally(() => flights.delete(key))
      flights.set(key, flight)
      return flight
    },
  }
  return reach

  async function dialContact(contact: Contact, owner: Name, as: Domain, note: Note): Promise<Peer> {
    const { host, port, protocol } = contact
    if (ports.isIsland) throw new FmtpError('FMTP_ISLAND', host)
    if (protocol === 'udp') throw new FmtpError('FMTP_NOT_OFFERED', 'udp takes no describes')
    if (ports.guard.isResting(`contact ${host}`, port)) throw new FmtpError('FMTP_RESTING', `${host}:${port}`)
    const addresses = await note.step(
      'addresses',
      found => ({ host, addresses: found }),
      () => findAddresses(host),
    )
    const targets = addresses.map((address): Target => ({ protocol, host, address, port, to: owner, as }))
    return dialFirst(targets, note, { rung: 'contact', isToRest: () => true })
  }

  async function findAddresses(host: string): Promise<readonly string[]> {
    const { records } = isIpAddress(host) ? { records: [host] } : await ports.resolver.addresses(host)
    if (records.length === 0) throw new FmtpError('FMTP_NO_HOST', host)
    return records.slice(0, 8)
  }
}

const ipPattern = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*)$/

function isIpAddress(host: string): boolean {
  return ipPattern.test(host)
}
