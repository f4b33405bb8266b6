/**
 * Domains that whitelists of our users name: they count as known, like those that somebody here wrote to (protocol §12.2).
 * Written with the user object, so that a stranger's first word costs no look at all whitelists.
 */
import type { Database } from '../../objects/store/engine/database.ts'
import { keyOf, rangeOf } from '../../objects/store/layout.ts'
import type { User } from '../../schemas/kinds/user.ts'

const listed = /^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*$/

/** `poe.net` or `*.edu`, as a pattern ends in it. One that stands for more than the domains below one names none. */
export function listedDomains(user: Pick<User, 'whitelist'> | undefined): ReadonlySet<string> {
  const ends = (user?.whitelist ?? []).map(pattern =>
    pattern.slice(pattern.lastIndexOf('@') + 1).toLowerCase(),
  )
  return new Set(ends.filter(end => listed.test(end)))
}

/** Keys that a user's new whitelist adds to those of the one before, and takes away. */
export function listedWrite(
  user: User,
  before: Pick<User, 'whitelist'> | undefined,
): { readonly puts: [string, string][]; readonly dels: string[] } {
  const [now, then] = [listedDomains(user), listedDomains(before)]
  const keyFor = (domain: string): string => keyOf.listed(domain, user.owner)
  return {
    puts: [...now].filter(domain => !then.has(domain)).map(domain => [keyFor(domain), '']),
    dels: [...then].filter(domain => !now.has(domain)).map(keyFor),
  }
}

/** True where somebody's whitelist names the domain, or all below one that it is below. */
export async function isListed(domain: string, database: Database): Promise<boolean> {
  const labels = domain.split('.')
  const above = labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join('.')}`)
  for (const name of [domain, ...above]) {
    if ((await database.scan(rangeOf('listed', name), { limit: 1 })).length > 0) return true
  }
  return false
}
