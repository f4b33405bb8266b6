/**
 * The outbox (docs/architecture.md): one list per destination domain, written in the commit of the object itself, so
 * that nothing is promised that is not queued. Entries stay after delivery: they name the holders of an object.
 */
import { keyOf, listOf } from '../../objects/layout.ts'
import type { Store } from '../../objects/store.ts'
import type { Append } from '../../objects/write.ts'
import {
  type Address,
  type Domain,
  domainOf,
  type Name,
  type ObjectId,
  ownerOf,
} from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { User } from '../../schemas/user.ts'

export interface OutboxEntry {
  readonly id: string
  readonly version: number
  readonly for: readonly Address[]
  /** The room in whose name it is passed on; missing: its owner's home sends it. */
  readonly by?: Address
  /** Unix ms at which it was queued. */
  readonly atMs: number
}

/** In which domain's name an entry is brought. */
export function callerOf({ id, by }: Pick<OutboxEntry, 'id' | 'by'>): Domain {
  return domainOf(by ?? ownerOf(id as ObjectId))
}

/** Stands for an entry that the disk does not give back: it is settled at once, and the others are not kept waiting. */
export const noEntry: OutboxEntry = { id: '', version: 0, for: [], atMs: 0 }

/** Recipients by their domain, in the order in which they were named. */
function byDomain(recipients: readonly Address[]): ReadonlyMap<Domain, readonly Address[]> {
  const domains = new Map<Domain, Address[]>()
  for (const recipient of recipients) {
    const domain = domainOf(recipient as Name)
    domains.set(domain, [...(domains.get(domain) ?? []), recipient])
  }
  return domains
}

/**
 * Appends that queue an object for its foreign recipients. A domain that does not have the author's object in its
 * present version gets that first, so that the recipient knows who writes.
 */
export function outboxWrites(
  object: FmtpObject,
  recipients: readonly Address[],
  ports: {
    readonly store: Store
    readonly author: User | undefined
    readonly nowMs: number
    readonly by?: Address
  },
): { readonly appends: Append[]; readonly puts: [string, string][] } {
  const appends: Append[] = []
  const puts: [string, string][] = []
  const { store, author, nowMs, by } = ports
  const queue = (list: Domain, { id, version }: FmtpObject, to: readonly Address[]): void => {
    const entry: OutboxEntry = { id, version, for: to, ...(by && { by }), atMs: nowMs }
    appends.push({ list: listOf.outbox(list), value: JSON.stringify(entry), bytes: 0 })
  }
  for (const [domain, to] of byDomain(recipients)) {
    if (author !== undefined) {
      const known = keyOf.introduced(domain, author.owner)
      if (store.database.get(known) !== String(author.version)) {
        queue(domain, author, to)
        puts.push([known, String(author.version)])
      }
    }
    queue(domain, object, to)
  }
  return { appends, puts }
}
