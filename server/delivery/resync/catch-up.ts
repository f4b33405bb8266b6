/**
 * A store that was restored from a backup lacks what came after it: each peer is asked once to deliver that again (protocol
 * §10.6), over the first connection with it, whoever opened that. What is here already is recognised.
 */
import type { Clock } from '../../../objects/clock.ts'
import type { Peer } from '../../../routing/connect/peer.ts'
import { toFmtpError } from '../../../schemas/failures.ts'
import type { Domain } from '../../../schemas/text/names.ts'
import { type Answer, answerError } from '../../../wire/pairing.ts'
import type { Received } from './received.ts'

export interface CatchUpPorts {
  readonly received: Received
  readonly clock: Clock
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

/** A connection to a domain, with the end of it. */
export interface DomainPeer extends Peer {
  readonly name: Domain
  readonly signal: AbortSignal
}

const leastRetryMs = 1000
const triesMost = 10

/** Asks a peer where it was not asked before. Never throws: the next connection is another occasion. */
export function createCatchUp({
  received,
  clock,
  onEvent,
}: CatchUpPorts): (peer: DomainPeer) => Promise<void> {
  const asking = new Set<string>()

  async function pull(peer: Peer, after?: string): Promise<Answer> {
    const list = { of: 'outbox' as const, ...(after === undefined ? {} : { after }) }
    const { answer } = await peer.request({ list })
    return answer
  }

  /** From the place that is known; from the start where there is none, or where the peer began a new epoch itself. */
  async function pullMissing(peer: DomainPeer): Promise<Answer> {
    const after = received.placeBefore(peer.as, peer.name)
    const answer = after === undefined ? undefined : await pull(peer, after)
    if (answer !== undefined && answer.code !== 'FMTP_CURSOR_LOST' && answer.code !== 'FMTP_CURSOR_AHEAD')
      return answer
    const stand = await pull(peer)
    const [epoch, head] = stand.cursor?.split('.') ?? []
    return epoch === undefined || Number(head) === 0 ? stand : pull(peer, `${epoch}.0`)
  }

  async function ask(peer: DomainPeer): Promise<void> {
    for (let tries = 1; ; tries++) {
      const answer = await pullMissing(peer)
      const { domain, host } = { domain: peer.name, host: peer.host }
      if (answer.outcome !== 'found' && answerError(answer).isTemporary) {
        if (tries === triesMost || !peer.isOpen) throw answerError(answer)
        await clock.sleep(Math.max(leastRetryMs, answer.retryAfterMs ?? 0), peer.signal)
        continue
      }
      // Who does not know this question is not asked again either.
      await received.noteAsked(peer.as, peer.name)
      const { outcome, code, cursor } = answer
      onEvent('catch-up', { domain, as: peer.as, host, outcome, code, cursor })
      return
    }
  }

  return async peer => {
    const key = `${peer.as} ${peer.name}`
    if (asking.has(key)) return
    asking.add(key)
    try {
      if (!received.isOwed(peer.as, peer.name)) return
      await ask(peer)
    } catch (thrown) {
      onEvent('catch-up', { domain: peer.name, as: peer.as, code: toFmtpError(thrown).code })
    } finally {
      asking.delete(key)
    }
  }
}
