/** The open sessions by who is at the other end: one connection serves all work with a peer (protocol §4.3). */
import type { Peer, Peers } from '../../routing/connect/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, domainOf, isAddressName, type Name } from '../../schemas/text/names.ts'
import type { SteadyClock, Timer } from '../../wire/steady-clock.ts'
import { hostOf } from '../limits/rates.ts'
import type { Session } from './session.ts'

export interface ConnectionsOptions {
  readonly clock: SteadyClock
  /** Sessions that a domain nobody here writes to may hold at once. */
  readonly sessionsPerPeer: number
  /** Connections that others may hold at once from one host. */
  readonly connectionsPerHost: number
  /** Connections with other servers and their users, whoever opened them. */
  readonly connections: number
  /** One over which nothing but pings went for so long is closed. */
  readonly idleMs: number
  /** True for a peer whose connection stays, used or not. */
  keeps?(name: Name): boolean
  /** True for an address that no limit counts for. */
  isExempt(remote: string): boolean
  /** An error that says when to come again; it is counted. */
  refuse(
    limit: 'peerSessions' | 'hostConnections' | 'connections',
    who: string,
    retryAfterMs: number,
  ): FmtpError
  /** True for a domain that somebody here has written to, or has on the whitelist. */
  isKnown(domain: string): Promise<boolean>
}

/** Between looks for connections that are of no use, at most. */
const sweepMs = 30_000

export class Connections implements Peers {
  readonly #options: ConnectionsOptions
  readonly #sessions = new Set<Session>()
  readonly #named = new Map<Name, Set<Session>>()
  /** How many of the named are of a domain. */
  readonly #domains = new Counter()
  /** How many others hold from a host, and from which host each comes. */
  readonly #hosts = new Counter()
  readonly #hostOf = new WeakMap<Session, string>()
  /** All that are named. */
  readonly #peers = new Set<Session>()
  readonly #sweep: Timer
  #isClosed = false

  constructor(options: ConnectionsOptions) {
    this.#options = options
    const { clock, idleMs } = options
    this.#sweep = clock.every(Math.min(idleMs / 4, sweepMs), () => this.#closeIdle())
  }

  /**
   * The newest connection on which the other side proved this name to that domain of ours; one that may be half dead only
   * where there is no other, and none of which worse is to be feared: a new one is made then. Clients of ours are no peers.
   */
  find(name: Name, as: Domain): Peer | undefined {
    return this.#findNewest(name, session => session.isOpen && session.as === as && !session.isSuspected)
  }

  /** The same to whichever domain of ours, where none can be made: any is better than none. */
  findAny(name: Name): Peer | undefined {
    return this.#findNewest(name, session => session.isOpen)
  }

  /** Domains with which a connection is open, whoever opened it. */
  openDomains(): readonly Domain[] {
    const names = [...this.#named.keys()].filter(name => !isAddressName(name)) as Domain[]
    return names.filter(name => this.findAny(name) !== undefined)
  }

  /** True while a connection is open that others opened and that is bound by this (protocol §5.3). */
  hasBinding(binding: string): boolean {
    return [...this.#sessions].some(session => this.#isFromOutside(session) && session.binding === binding)
  }

  #findNewest(name: Name, isMeant: (session: Session) => boolean): Peer | undefined {
    let newest: Peer | undefined
    let doubtful: Peer | undefined
    for (const session of this.#named.get(name) ?? []) {
      if (!isMeant(session)) continue
      if (session.isDoubtful) doubtful = session
      else newest = session
    }
    return newest ?? doubtful
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
    this.#makeRoom(session, domain)
    if (standing.role === 'server' && this.#isFromOutside(session)) this.#doubtOlder(session, name)
    this.#domains.add(domain, 1)
    this.#peers.add(session)
    this.#named.set(name, (this.#named.get(name) ?? new Set()).add(session))
  }

  #isFromOutside(session: Session): boolean {
    return this.#hostOf.has(session)
  }

  /** Who comes again may have lost what it had: its older connections are put to the test. */
  #doubtOlder(session: Session, name: Name): void {
    for (const older of this.#named.get(name) ?? [])
      if (older.as === session.as && this.#isFromOutside(older)) older.doubt()
  }

  /**
   * Closes the one that was of no use for longest. Where all are at work, who comes is refused; our own calls are few.
   * @throws {FmtpError} FMTP_RATE
   */
  #makeRoom(session: Session, domain: string): void {
    const { connections, refuse } = this.#options
    if (this.#peers.size < connections) return
    let least: Session | undefined
    for (const peer of this.#peers)
      if (this.#isSpare(peer) && peer.unusedMs > (least?.unusedMs ?? -1)) least = peer
    if (least !== undefined) least.leave()
    else if (this.#isFromOutside(session)) throw refuse('connections', domain, limits.sessionRetryMs)
  }

  /** Nobody would miss it: no live device of ours, nothing unanswered, no follow. */
  #isSpare(session: Session): boolean {
    const { standing } = session
    if (!session.isOpen || standing === undefined || standing.role === 'client' || session.hasWork)
      return false
    return standing.role === 'guest' || this.#options.keeps?.(standing.name) !== true
  }

  #closeIdle(): void {
    for (const session of [...this.#sessions])
      if (session.unusedMs >= this.#options.idleMs && this.#isSpare(session)) session.leave()
  }

  remove(session: Session): void {
    this.#sessions.delete(session)
    this.#peers.delete(session)
    const host = this.#hostOf.get(session)
    if (host !== undefined && this.#hostOf.delete(session)) this.#hosts.add(host, -1)
    const standing = session.standing
    if (standing === undefined || standing.role === 'guest') return
    const named = this.#named.get(standing.name)
    if (named?.delete(session) === true) this.#domains.add(domainOf(standing.name), -1)
    if (session.isSilent && standing.role === 'server') for (const other of named ?? []) other.suspect()
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
    this.#sweep.stop()
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
