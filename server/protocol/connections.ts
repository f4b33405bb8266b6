/** The open sessions by who is at the other end: one connection serves all work with a peer (protocol §4.3). */
import type { Peer, Peers } from '../../routing/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type Domain, domainOf, type Name } from '../../schemas/names.ts'
import type { Session } from './session.ts'

export interface ConnectionsOptions {
  /** Sessions that a domain nobody here writes to may hold at once. */
  readonly sessionsPerPeer: number
  /** True for a domain that somebody here has written to, or has on the whitelist. */
  isKnown(domain: string): Promise<boolean>
}

export class Connections implements Peers {
  readonly #options: ConnectionsOptions
  readonly #sessions = new Set<Session>()
  readonly #named = new Map<Name, Set<Session>>()
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
    const isFull = (): boolean => (this.#named.get(name)?.size ?? 0) >= this.#options.sessionsPerPeer
    // Looked at again afterwards: others may have come meanwhile.
    if (isFull() && !(await this.#options.isKnown(domainOf(name))) && isFull())
      throw new FmtpError('FMTP_RATE', `${name} has ${this.#named.get(name)?.size} sessions`)
    if (!session.isOpen) return
    this.#named.set(name, (this.#named.get(name) ?? new Set()).add(session))
  }

  remove(session: Session): void {
    this.#sessions.delete(session)
    const standing = session.standing
    if (standing === undefined || standing.role === 'guest') return
    const named = this.#named.get(standing.name)
    named?.delete(session)
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
