/**
 * A proven connection to a domain or to a contact (protocol §10.3): the open one, else key and hosts from DNS, then the
 * hosts in order, overlapping. Callers that want the same domain share one attempt.
 */
import type { Clock } from '../objects/clock.ts'
import type { Contact } from '../schemas/contact.ts'
import { FmtpError, toFmtpError } from '../schemas/failures.ts'
import { limits } from '../schemas/limits.ts'
import type { Domain, Name } from '../schemas/names.ts'
import type { Breaker } from './breaker.ts'
import type { DnsKeys } from './domain-key.ts'
import type { Guard } from './guard.ts'
import { firstOf, type Note } from './ladder.ts'
import { findHosts } from './mx.ts'
import type { Dial, Peer, Peers, Target } from './peer.ts'
import type { Resolver } from './resolver.ts'

export interface ReachPorts {
  readonly resolver: Resolver
  readonly keys: DnsKeys
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

  async function dialDomain(domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const { resolver, keys } = ports
    // Both are needed before anything is dialled, and neither needs the other.
    const [hosts, key] = await Promise.allSettled([
      note.step(
        'hosts',
        found => ({
          domain,
          via: found.via,
          hosts: found.hosts.map(host => host.host),
          secure: found.isSecure,
        }),
        () => findHosts(resolver, domain, { random: ports.random }),
      ),
      note.step(
        'key',
        found => ({
          domain,
          record: `fmtpkey.${domain}`,
          selectors: found.map(({ selector }) => selector),
          secure: keys.isSecure(domain),
        }),
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
    const attempts = targets.map(target => async (signal: AbortSignal) => {
      ports.guard.check(target.address, target.port)
      if (ports.guard.isResting(`${rung} ${target.host}`, target.port))
        throw new FmtpError('FMTP_RESTING', target.host)
      try {
        return await ports.dial(target, note, signal)
      } catch (thrown) {
        // A host that lost the race did nothing wrong.
        if (!signal.aborted && isToRest(toFmtpError(thrown)))
          ports.guard.rest(`${rung} ${target.host}`, target.port)
        throw thrown
      }
    })
    return firstOf(attempts, limits.nextHostMs, ports.clock)
  }

  return {
    domain(domain, as, note, isScheduled = false) {
      const open = ports.peers.find(domain, as)
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
        () => breaker.heard(domain),
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
