/**
 * The way to a domain (protocol §10.4, §10.9): its own connection; a child by the link that it opened, or that of who is
 * above it; a parent of the domain that answers in its place; and where none of these leads there, a parent of ours.
 */
import type { Clock } from '../../objects/clock.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { Reach } from '../connect/connect.ts'
import type { Peer } from '../connect/peer.ts'
import type { Note } from '../ladder.ts'
import type { Family } from './hierarchy.ts'

export interface WaysPorts {
  readonly family: Family
  readonly reach: Pick<Reach, 'find' | 'findFront' | 'isFront' | 'front' | 'domain'>
  readonly clock: Clock
}

export interface Ways {
  /** What is open, in the name of one of ours. */
  findOpen(domain: Domain, as: Domain): Peer | undefined
  /** @throws {FmtpError} why the domain can not be reached */
  reach(domain: Domain, as: Domain, note: Note): Promise<Peer>
  /** To which domains a peer leads that was heard from, besides itself; `undefined`: to none. */
  findLed(by: Domain, as: Domain): ((to: Domain) => boolean) | undefined
}

const throughMost = 10_000

export function createWays({ family, reach, clock }: WaysPorts): Ways {
  /** Unix ms until which a domain is given things through our parent, without another try to call it. */
  const through = new BoundedMap<string, number>(throughMost)

  function findParent(domain: Domain, as: Domain): Peer | undefined {
    const parent = family.findParent(domain)
    return parent === undefined ? undefined : reach.find(parent, as)
  }

  /** A parent takes over what could not be handed over in a moment; the call goes on, for what comes next. */
  async function reachOutside(domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const calling = reach.front(domain, as, note, true)
    const parent = family.findParent(domain)
    if (parent === undefined) return calling
    const over = new AbortController()
    const ended = calling.then(
      peer => peer,
      () => undefined,
    )
    const direct = await Promise.race([ended, clock.sleep(limits.viaParentAfterMs, over.signal)])
    over.abort('over')
    if (direct !== undefined) return direct
    const link = reach.find(parent, as)
    if (link === undefined) return calling
    through.set(`${as} ${domain}`, clock.now() + limits.viaParentMs)
    note.add('parent', 'ok', { domain, parent, host: link.host })
    return link
  }

  return {
    findOpen(domain, as) {
      const open = reach.find(domain, as)
      if (open !== undefined) return open
      if (family.isChild(domain)) return family.findBelow(domain)
      const untilMs = through.get(`${as} ${domain}`)
      return untilMs === undefined || untilMs < clock.now() ? undefined : findParent(domain, as)
    },
    async reach(domain, as, note) {
      const below = family.isChild(domain) ? family.findBelow(domain) : undefined
      if (below !== undefined) return below
      return family.isChild(domain) ? reach.domain(domain, as, note, true) : reachOutside(domain, as, note)
    },
    findLed(by, as) {
      if (!family.isParent(by) && !family.isChild(by) && !reach.isFront(by)) return undefined
      return to =>
        family.findBelow(to)?.name === by || family.findParent(to) === by || reach.findFront(to, as) === by
    },
  }
}
