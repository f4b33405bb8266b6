/** Whether the parents of a server take it for their child (protocol §10.7), by an answer that only children get. */
import type { Clock } from '../../objects/clock.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { within } from '../../routing/with-timeout.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { type Domain, parseDomain } from '../../schemas/text/names.ts'
import type { ParentHealth } from './health.ts'

/** There is no such domain anywhere (RFC 6761), so that a parent that looks it up has soon done so. */
const nowhere = parseDomain('fmtp-check.invalid')

/** Each parent for each domain of ours, over the connections that are open. Never rejects. */
export function askParents(
  parents: readonly Domain[],
  names: readonly Domain[],
  clock: Clock,
  findOpen: (parent: Domain, as: Domain) => Peer | undefined,
): Promise<readonly ParentHealth[]> {
  const links = parents.flatMap(parent => names.map(as => ({ parent, as })))
  return Promise.all(
    links.map(async link => ({ ...link, ...(await stateOf(findOpen(link.parent, link.as), clock)) })),
  )
}

async function stateOf(peer: Peer | undefined, clock: Clock): Promise<Pick<ParentHealth, 'state' | 'code'>> {
  if (peer === undefined) return { state: 'away' }
  try {
    const asking = peer.request({ address: nowhere, effort: 'lookup' })
    const { outcome, code } = (await within(asking, limits.pongMs, clock)).answer
    // It says to strangers that it does not look up for them.
    if (code === 'FMTP_NOT_HERE') return { state: 'stranger' }
    if (outcome === 'refused' || outcome === 'busy')
      return { state: 'failed', ...(code === undefined ? {} : { code }) }
    return { state: 'child' }
  } catch (thrown) {
    return { state: 'failed', code: toFmtpError(thrown).code }
  }
}
