/**
 * The outbox (docs/architecture.md): two lists per destination domain, written in the commit of the object itself, so
 * that nothing is promised that is not queued. Beside each entry stands what became of the object at that domain.
 */

import type { Append } from '../../objects/store/engine/write.ts'
import { keyOf, type ListName, type ListWith, listOf } from '../../objects/store/layout.ts'
import { findRow, parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import {
  type Address,
  type Domain,
  domainOf,
  type Name,
  type ObjectId,
  ownerOf,
} from '../../schemas/text/names.ts'

export interface OutboxEntry {
  readonly id: string
  readonly version: number
  readonly for: readonly Address[]
  /** The room or the user in whose name it is passed on; missing: its owner's home sends it. */
  readonly by?: Address
  /** Id of the message that its recipients have before it, where it belongs to that (protocol §10.4). */
  readonly after?: string
  /** Others belong to it. */
  readonly isFollowed?: true
  /** It is passed on for another server. */
  readonly relay?: Relay
  /** Unix ms at which it was queued. */
  readonly atMs: number
}

/** How something came that is passed on (protocol §10.9). */
export interface Relay {
  /** Who brought it, and is told what becomes of it. */
  readonly from: Domain
  /** The domain of ours that took it, and brings it on. */
  readonly as: Domain
  /** The servers through which it came, who brought it the last of them. */
  readonly hops: readonly Domain[]
}

/** What became of a version for these recipients. Missing recipients: for all of the row. */
export interface Settled {
  /** `relayed`: another server has it on its disk, and says later what becomes of it; `unknown`: it did not say. */
  readonly outcome: 'stored' | 'refused' | 'absent' | 'failed' | 'relayed' | 'unknown'
  readonly atMs: number
  readonly code?: string
  readonly for?: readonly Address[]
  /** Who relays it. */
  readonly by?: Domain
}

/** The newest version of an object at one domain: where it stands in the outbox, and how far it is. */
export interface DeliveryRow {
  readonly version: number
  /** Its entry: number in the list of this sort. */
  readonly list: Sort
  readonly number: number
  /** All who were ever given the object, or were to be: an edit and a deletion go to all of them. */
  readonly for: readonly Address[]
  /** The user who handed it on, and the message after which that went: a newer version goes after it too. */
  readonly by?: Address
  readonly after?: string
  /** It is passed on for another server. */
  readonly relay?: Relay
  /** Unix ms at which this version was queued. */
  readonly atMs: number
  readonly settled?: readonly Settled[]
  /** While it waits by itself. */
  readonly trying?: Trying
  /** The author was told that it is late. */
  readonly isLate?: true
}

export interface Trying {
  readonly attempts: number
  readonly nextAtMs: number
  readonly code: string
}

/** Which of the two lists of a domain. */
export type Sort = ListWith<'deliveries'>

/** Whether a list leaves room for the others. In the order in which a worker drains them. */
export const isBulk: { readonly [S in Sort]: boolean } = { outbox: false, bulk: true }
export const sorts = Object.keys(isBulk) as readonly Sort[]

/** What a person waits for is not kept waiting by much else: some kinds and all tombstones go first. */
export function sortOf({ kind, deleted }: Pick<FmtpObject, 'kind' | 'deleted'>): Sort {
  return deleted === true || traitsOf(kind).goesFirst ? 'outbox' : 'bulk'
}

/** In which domain's name an entry is brought. */
export function callerOf({ id, by, relay }: Pick<OutboxEntry, 'id' | 'by' | 'relay'>): Domain {
  return relay?.as ?? domainOf(by ?? ownerOf(id as ObjectId))
}

/** Stands for an entry that the disk does not give back: it is settled at once, and the others are not kept waiting. */
export const noEntry: OutboxEntry = { id: '', version: 0, for: [], atMs: 0 }

/** Recipients by their domain, in the order in which they were named. */
export function byDomain(recipients: readonly Address[]): ReadonlyMap<Domain, readonly Address[]> {
  const domains = new Map<Domain, Address[]>()
  for (const recipient of recipients) {
    const domain = domainOf(recipient as Name)
    const known = domains.get(domain)
    if (known === undefined) domains.set(domain, [recipient])
    else known.push(recipient)
  }
  return domains
}

interface OutboxPorts {
  readonly store: Store
  readonly author: User | undefined
  readonly nowMs: number
  readonly by?: Address
  /** True for an object that was not here before: nobody was given it. */
  readonly isNew: boolean
  /** True where others are queued that belong to it. */
  readonly isFollowed?: boolean
}

/**
 * Appends that queue an object for its foreign recipients. A domain that does not have the author's object in its
 * present version gets that first, so that the recipient knows who writes.
 */
export function outboxWrites(
  object: FmtpObject,
  recipients: readonly Address[],
  { store, author, nowMs, by, isNew, isFollowed }: OutboxPorts,
): { readonly appends: Append[]; readonly puts: [string, string][] } {
  const { database } = store
  const appends: Append[] = []
  const puts: [string, string][] = []
  const queue = (domain: Domain, { id, version, ...what }: FmtpObject, to: readonly Address[]): void => {
    const sort = sortOf(what)
    const { isIntroduction } = traitsOf(what.kind)
    const key = keyOf.delivery(id, domain)
    const text = isNew && !isIntroduction ? undefined : database.get(key)
    const { for: holders = [], after } = text === undefined ? {} : parseRow<Partial<DeliveryRow>>(text)
    const all = holders.length === 0 ? to : [...new Set([...holders, ...to])]
    const kept = after === undefined ? {} : { after }
    const valueAt = (number: number): string =>
      JSON.stringify({ version, list: sort, number, for: all, ...kept, atMs: nowMs } satisfies DeliveryRow)
    // A user object goes to who writes to its owner anew; an edit of anything else to all who have it.
    const entry: OutboxEntry = {
      ...{ id, version, for: isIntroduction && what.deleted !== true ? to : all },
      ...(by && { by }),
      ...kept,
      ...(isFollowed === true && id === object.id ? { isFollowed } : {}),
      atMs: nowMs,
    }
    const value = JSON.stringify(entry)
    appends.push({ list: listOf[sort](domain), value, bytes: 0, record: { key, valueAt } })
  }
  for (const [domain, to] of byDomain(recipients)) {
    if (author !== undefined) {
      const known = keyOf.introduced(domain, author.owner)
      if (database.get(known) !== String(author.version)) {
        queue(domain, author, to)
        puts.push([known, String(author.version)])
      }
    }
    queue(domain, object, to)
  }
  return { appends, puts }
}

/** Number of the last entry of a list that was queued before this time; 0 where none was. */
export function numberBefore(list: ListName, atMs: number, store: Store): number {
  let [low, high] = [0, store.database.head(list).number]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (findEntry(list, middle, store).atMs < atMs) low = middle
    else high = middle - 1
  }
  return low
}

/** An entry of a list by its number; `noEntry` where it can not be read. */
export function findEntry(list: ListName, number: number, { database }: Store): OutboxEntry {
  const text = database.get(keyOf.entry(list, number))
  return (text === undefined ? undefined : findRow<OutboxEntry>(text)) ?? noEntry
}

/** The list in which an entry of a row stands. */
export function listOfRow({ list }: Pick<DeliveryRow, 'list'>, domain: string): ListName {
  return listOf[list](domain)
}
