/**
 * What became of an object of ours at each domain it went to (protocol §10.5): kept beside the outbox, so that its author
 * can ask at any time, and an edit or a deletion finds everybody who has it.
 */
import type { Row } from '../../objects/store/engine/leveldb.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, lastPart, rangeOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Address, Domain } from '../../schemas/text/names.ts'
import type { Said } from './deliver.ts'
import type { DeliveryRow, OutboxEntry, Settled, Sort } from './outbox.ts'

const rowsMost = 2000

/** An entry, and in which list it stands. */
export interface Placed {
  readonly domain: Domain
  readonly sort: Sort
  readonly number: number
  readonly entry: OutboxEntry
}

export interface Known {
  readonly key: string
  readonly text: string
  readonly row: DeliveryRow
}

/**
 * The row of an entry, while no newer version took its place. Who is handed an object on, or has it passed on, stands in
 * the row that is there.
 */
export function findRowOf({ domain, sort, number, entry }: Placed, store: Store): Known | undefined {
  const key = keyOf.delivery(entry.id, domain)
  const text = store.database.get(key)
  if (text === undefined) return undefined
  const row = parseRow<DeliveryRow>(text)
  const isOfSame = (entry.after ?? entry.relay) !== undefined && row.version === entry.version
  return isOfSame || (row.number === number && row.list === sort) ? { key, text, row } : undefined
}

/** The row of an object at a domain, whichever version it is of. */
export function findRowAt(id: string, domain: Domain, { database }: Store): Known | undefined {
  const key = keyOf.delivery(id, domain)
  const text = database.get(key)
  return text === undefined ? undefined : { key, text, row: parseRow<DeliveryRow>(text) }
}

/** What a row says with some recipients settled; what is said of one first, stays, unless it was no more than relayed. */
export function withSettled(row: DeliveryRow, news: readonly Settled[], isAll: boolean): DeliveryRow {
  const { trying, ...rest } = row
  const told = new Set(
    news.filter(({ outcome }) => outcome !== 'relayed').flatMap(each => each.for ?? row.for),
  )
  const before = (row.settled ?? []).flatMap(each => (isOpenSaying(each) ? without(each, told, row) : [each]))
  const known = new Set(before.flatMap(each => each.for ?? row.for))
  const fresh = news
    .map(each => ({ ...each, for: (each.for ?? row.for).filter(to => !known.has(to)) }))
    .filter(each => each.for.length > 0)
  const [only] = fresh
  const isWhole = before.length === 0 && fresh.length === 1 && only?.for.length === row.for.length
  const { for: _, ...whole } = only ?? { for: [] as Address[] }
  const settled = isWhole ? [whole as Settled] : [...before, ...fresh]
  return { ...rest, settled, ...(isAll || trying === undefined ? {} : { trying }) }
}

/** That somebody else has it, or did not say in time what became of it: a later word counts. */
function isOpenSaying({ outcome }: Settled): boolean {
  return outcome === 'relayed' || outcome === 'unknown'
}

function without(settled: Settled, told: ReadonlySet<Address>, row: DeliveryRow): Settled[] {
  const left = (settled.for ?? row.for).filter(to => !told.has(to))
  return left.length === 0 ? [] : [{ ...settled, for: left }]
}

/** Recipients whose object this server has taken to pass it on, and who were not spoken of since. */
export function relayedBy(row: DeliveryRow, by: Domain): readonly Address[] {
  return (row.settled ?? [])
    .filter(each => isOpenSaying(each) && each.by === by)
    .flatMap(each => each.for ?? row.for)
}

/** A row with what happened to its entry; nothing where a newer version took its place, or it was said already. */
export function rowWrite(placed: Placed, change: (row: DeliveryRow) => DeliveryRow, store: Store): Write[] {
  const known = findRowOf(placed, store)
  if (known === undefined) return []
  const text = JSON.stringify(change(known.row))
  if (text === known.text) return []
  return [{ equals: [[known.key, known.text]], puts: [[known.key, text]], isRelaxed: true }]
}

/** Recipients of a row of whom nothing is said yet. */
export function openIn(row: DeliveryRow): readonly Address[] {
  const said = new Set((row.settled ?? []).flatMap(each => each.for ?? row.for))
  return said.size === 0 ? row.for : row.for.filter(to => !said.has(to))
}

/** The rows of an object by domain. */
export async function readRows(id: string, store: Store): Promise<ReadonlyMap<Domain, DeliveryRow>> {
  const rows = await store.database.scan(rangeOf('delivery', id), { limit: rowsMost })
  return new Map(rows.map(([key, text]: Row) => [lastPart(key) as Domain, parseRow<DeliveryRow>(text)]))
}

/** All who have an object or may get it yet: not those who did not take it. */
export async function readTakers(id: string, store: Store): Promise<ReadonlySet<Address>> {
  return new Set([...(await readRows(id, store)).values()].flatMap(takersIn))
}

/** The same of one row. */
export function takersIn(row: DeliveryRow): readonly Address[] {
  const lost = (row.settled ?? []).filter(each => each.outcome !== 'stored' && !isOpenSaying(each))
  const without = new Set(lost.flatMap(each => each.for ?? row.for))
  return row.for.filter(to => !without.has(to))
}

/** All who were given an object, or were to be. */
export async function readHolders(id: string, store: Store): Promise<readonly Address[]> {
  return [...(await readRows(id, store)).values()].flatMap(row => row.for)
}

/** Recipients of whom the same was said stand together. */
export function settledBy(said: readonly Said[], atMs: number): Settled[] {
  const groups = new Map<string, Said[]>()
  for (const each of said) {
    const key = `${each.outcome} ${each.code ?? ''} ${each.by ?? ''}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [each])
    else group.push(each)
  }
  return [...groups.values()].flatMap(group => {
    const [first] = group
    if (first === undefined) return []
    const { outcome, code, by } = first
    const why = { ...(code === undefined ? {} : { code }), ...(by === undefined ? {} : { by }) }
    return [{ outcome, atMs, ...why, for: group.map(each => each.for) }]
  })
}
