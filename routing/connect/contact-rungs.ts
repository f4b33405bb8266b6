/**
 * The rungs of the contacts that an object recommends (protocol §10.4): one for each priority, the smallest first; those
 * of the same priority are tried overlapping, and the first that proves itself wins.
 */
import type { Contact } from '../../schemas/kinds/contact.ts'
import type { Domain, Name } from '../../schemas/text/names.ts'
import type { Rung } from '../ladder.ts'
import type { Reach } from './connect.ts'
import type { Peer } from './peer.ts'

export interface Called {
  /** Who or whose domain must answer. */
  readonly owner: Name
  readonly as: Domain
}

export function recommendedRungs(
  contacts: readonly Contact[],
  { owner, as }: Called,
  reach: Pick<Reach, 'contacts'>,
): readonly Rung<Peer>[] {
  const groups = new Map<number, Contact[]>()
  for (const contact of contacts) {
    const group = groups.get(contact.priority)
    if (group === undefined) groups.set(contact.priority, [contact])
    else group.push(contact)
  }
  return [...groups]
    .toSorted(([left], [right]) => left - right)
    .map(([, group]) => ({
      name: 'recommended',
      climb: note => reach.contacts(group, owner, as, note),
    }))
}
