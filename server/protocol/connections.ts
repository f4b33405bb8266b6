/** The open sessions by who is at the other end: one connection serves all work with a peer (protocol §4.3). */
import type { Peer, Peers } from '../../routing/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { domainOf, type Name } from '../../schemas/names.ts'
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

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /** A peer that proved this name, the newest connection first. Clients of ours are not peers. */
  find(name: Name): Peer | undefined {
    return [...(this.#named.get(name) ?? [])].reverse().find(session => session.isOpen)
  }

  add(session: Session): void {
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

  closeAll(): void {
    for (const session of [...this.#sessions]) session.close()
  }
}
