/** The open sessions by who is at the other end: one connection serves all work with a peer (protocol §4.3). */
import type { Peer, Peers } from '../../routing/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, type Name } from '../../schemas/names.ts'
import { hostOf } from '../delivery/rates.ts'
import type { Session } from './session.ts'

export interface ConnectionsOptions {
  /** Sessions that a domain nobody here writes to may hold at once. */
  readonly sessionsPerPeer: number
  /** Connections that others may hold at once from one host. */
  readonly connectionsPerHost: number
  /** True for an address that no limit counts for. */
  isExempt(remote: string): boolean
  /** An error that says when to come again; it is counted. */
  refuse(limit: 'peerSessions' | 'hostConnections', who: string, retryAfterMs: number): FmtpError
  /** True for a domain that somebody here has written to, or has on the whitelist. */
  isKnown(domain: string): Promise<boolean>
}

export class Connections implements Peers {
  readonly #options: ConnectionsOptions
  readonly #sessions = new Set<Session>()
  readonly #named = new Map<Name, Set<Session>>()
  /** How many of the named are of a domain. */
  readonly #domains = new Counter()
  /** How many others hold from a host, and from which host each comes. */
  readonly #hosts = new Counter()
  readonly #hostOf = new WeakMap<Session, string>()
  #isClosed = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** The newest connection on which the other side proved this name to that domain of ours. Clients of ours are no peers. */
  find(name: Name, as: Domain): Peer | undefined {
    let newest: Peer | undefined
    for (const session of this.#named.get(name) ?? [])
      if (session.isOpen && session.as === as) newest = session
    return newest
  }

  /** The same to whichever domain of ours. */
  findAny(name: Name): Peer | undefined {
    let newest: Peer | undefined
    for (const session of this.#named.get(name) ?? []) if (session.isOpen) newest = session
    return newest
  }

  /** Keeps a session that another side opened, unless there are too many from its host. */
  accept(session: Session): void {
    const host = hostOf(session.remote)
    const { connectionsPerHost, isExempt, refuse } = this.#options
    if (this.#hosts.of(host) >= connectionsPerHost && !isExempt(session.remote))
      return session.close(refuse('hostConnections', host, limits.sessionRetryMs))
    if (session.isOpen) {
      this.#hosts.add(host, 1)
      this.#hostOf.set(session, host)
    }
    this.add(session)
  }

  /** Keeps a session. One that comes after all were closed is closed too. */
  add(session: Session): void {
    if (this.#isClosed) return session.close()
    this.#sessions.add(session)
  }

  /** Files a session under the name it proved. @throws {FmtpError} FMTP_RATE */
  async identify(session: Session): Promise<void> {
    const standing = session.standing
    if (standing === undefined || standing.role === 'guest' || standing.role === 'client') return
    const { name } = standing
    if (this.#named.get(name)?.has(session) === true) return
    const domain = domainOf(name)
    const { sessionsPerPeer, isKnown, isExempt, refuse } = this.#options
    const isFull = (): boolean => this.#domains.of(domain) >= sessionsPerPeer && !isExempt(session.remote)
    // Looked at again afterwards: others may have come meanwhile.
    if (isFull() && !(await isKnown(domain)) && isFull())
      throw refuse('peerSessions', domain, limits.sessionRetryMs)
    if (!session.isOpen) return
    this.#domains.add(domain, 1)
    this.#named.set(name, (this.#named.get(name) ?? new Set()).add(session))
  }

  remove(session: Session): void {
    this.#sessions.delete(session)
    const host = this.#hostOf.get(session)
    if (host !== undefined && this.#hostOf.delete(session)) this.#hosts.add(host, -1)
    const standing = session.standing
    if (standing === undefined || standing.role === 'guest') return
    const named = this.#named.get(standing.name)
    if (named?.delete(session) === true) this.#domains.add(domainOf(standing.name), -1)
    if (named?.size === 0) this.#named.delete(standing.name)
  }

  /** Ends the sessions of devices that their user has no more. */
  closeDevices(address: string, thumbprints: readonly string[]): void {
    for (const session of [...this.#sessions]) {
      const { standing } = session
      const device = standing?.role === 'client' && standing.name === address ? standing.device : undefined
      if (device !== undefined && thumbprints.includes(device)) session.close(new FmtpError('FMTP_REVOKED'))
    }
  }

  /** Ends all sessions of a user of ours. */
  closeUser(address: string, error: FmtpError): void {
    for (const session of [...this.#sessions]) {
      const { standing } = session
      if (standing?.role === 'client' && standing.name === address) session.close(error)
    }
  }

  closeAll(): void {
    this.#isClosed = true
    for (const session of [...this.#sessions]) session.close()
  }
}

/** Numbers by name, without those that are zero. */
class Counter {
  readonly #numbers = new Map<string, number>()

  of(name: string): number {
    return this.#numbers.get(name) ?? 0
  }

  add(name: string, by: number): void {
    const number = this.of(name) + by
    if (number <= 0) this.#numbers.delete(name)
    else this.#numbers.set(name, number)
  }
}
