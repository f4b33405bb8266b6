/**
 * Places for those who wait here for what others have (protocol §9.9): so many for each who asks, and so many for all who are
 * neither users nor children of ours, so that they take none from those.
 */
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'

export interface Asking {
  /** A user of ours, or a domain; of a guest the address that it comes from. */
  readonly who: string
  /** True for what is a child's, or a user's of ours. */
  readonly isChild: boolean
}

const againMs = 1000

export class Places {
  readonly #taken = new Map<string, number>()
  #peers = 0

  /** Does something in a place. @throws {FmtpError} FMTP_RATE where there is none */
  async use<T>({ who, isChild }: Asking, work: () => Promise<T>): Promise<T> {
    const taken = this.#taken.get(who) ?? 0
    const most = isChild ? limits.piecesPerChild : limits.piecesPerPeer
    if (taken >= most || (!isChild && this.#peers >= limits.piecesOfPeers))
      throw new FmtpError('FMTP_RATE', `${taken} pieces for ${who}`, { retryAfterMs: againMs })
    this.#taken.set(who, taken + 1)
    if (!isChild) this.#peers++
    try {
      return await work()
    } finally {
      const left = (this.#taken.get(who) ?? 1) - 1
      if (left > 0) this.#taken.set(who, left)
      else this.#taken.delete(who)
      if (!isChild) this.#peers--
    }
  }
}
