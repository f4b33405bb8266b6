/**
 * Something asked of a domain, and once more over another connection where the first ended under it (protocol §10.3): what a
 * host that went without a word left unanswered need not fail for those who asked. For questions alone, which are harmless
 * to repeat.
 */
import { toFmtpError } from '../../schemas/failures.ts'
import type { Peer } from './peer.ts'

/** @throws {FmtpError} what `reach` throws, or `ask` the second time, or the first where the connection stands */
export async function askOver<T>(reach: () => Promise<Peer>, ask: (peer: Peer) => Promise<T>): Promise<T> {
  const peer = await reach()
  try {
    return await ask(peer)
  } catch (thrown) {
    if (peer.isOpen || !toFmtpError(thrown).isTemporary) throw thrown
    return ask(await reach())
  }
}
