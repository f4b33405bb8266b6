/** The open sessions by who is at the other end: one connection serves all work with a peer (protocol §4.3). */
import type { Peer, Peers } from '../../routing/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Domain, Name } from '../../schemas/names.ts'
import type { Session } from './session.ts'

export interface ConnectionsOptions {
  /** Sessions that a domain nobody here writes to may hold at once. */
  readonly sessionsPerPeer: number
  isKnown(domain: string): boolean
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
  identify(session: Session): void {
    const standing = session.standing
    if (!session.isOpen || standing === undefined) return
    if (standing.role === 'guest' || standing.role === 'client') return
    const named = this.#named.get(standing.name) ?? new Set()
    if (named.size >= this.#options.sessionsPerPeer && !this.#options.isKnown(standing.name)) {
      throw new FmtpError('FMTP_RATE', `${standing.name} has ${named.size} sessions`)
    }
    this.#named.set(standing.name, named.add(session))
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
    this.#isClosed = true
    for (const session of [...this.#sessions]) session.close()
  }
}
