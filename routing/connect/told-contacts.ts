/**
 * Contacts that a domain told us beside its answers, because of where we ask from (protocol §10.3): tried before the hosts
 * that DNS names, for ten minutes. They prove nothing: whoever is there must be the domain.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'

export interface Routes {
  /** `domain` has proven itself where it said so. */
  keep(domain: Domain, contacts: readonly Contact[]): void
  /** The smallest priority first. */
  find(domain: Domain): readonly Contact[]
}

const domainsMost = 10_000

export function createRoutes(clock: Clock): Routes {
  const kept = new BoundedMap<Domain, { readonly contacts: readonly Contact[]; readonly toldAtMs: number }>(
    domainsMost,
  )
  return {
    keep(domain, contacts) {
      const callable = contacts
        .filter(({ protocol }) => protocol !== 'udp')
        .toSorted((left, right) => left.priority - right.priority)
      if (callable.length > 0) kept.set(domain, { contacts: callable, toldAtMs: clock.now() })
    },
    find(domain) {
      const known = kept.get(domain)
      const ageMs = clock.now() - (known?.toldAtMs ?? 0)
      // Below zero the clock was set back.
      return known !== undefined && ageMs >= 0 && ageMs < limits.routeMs ? known.contacts : []
    },
  }
}
