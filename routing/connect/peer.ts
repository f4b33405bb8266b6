/** The ports to the wire: somebody at the other end of a connection, and how to get there. */
import type { Domain, Name } from '../../schemas/text/names.ts'
import type { Answer, DescribeQuery, Reply, RequestQuery } from '../../wire/pairing.ts'
import type { Note } from '../ladder.ts'

export interface Peer {
  /** Who it proved to be: a domain, or a user. */
  readonly name: Name
  /** In whose name we stand at this end: every domain of ours has connections of its own. */
  readonly as: Domain
  /** `host:port` as it was dialled or came from, for people. */
  readonly host: string
  readonly isOpen: boolean
  describe(query: DescribeQuery): Promise<Answer>
  request(query: RequestQuery): Promise<Reply>
}

/** One address to dial, and who must be there. */
export interface Target {
  readonly protocol: 'tcp' | 'wss'
  readonly host: string
  /** IP address that the guard has judged; this very one is dialled. */
  readonly address: string
  readonly port: number
  /** The name that the hello is addressed to. */
  readonly to: Name
  /** Domain of ours in whose name the call is made. */
  readonly as: Name
}

/**
 * Connects and proves both sides.
 * @throws {FmtpError} FMTP_CONNECT_FAILED, or the code of the hello that failed
 */
export type Dial = (target: Target, note: Note, signal: AbortSignal) => Promise<Peer>

/** Open connections by who is at the other end, and who we are there. */
export interface Peers {
  find(name: Name, as: Domain): Peer | undefined
}
