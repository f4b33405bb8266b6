/** Rows about what goes out and to whom: outboxes with their cursors and retries, and what other domains were given. */
import { findList, keyOf, type ListName, listOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import { readPinned } from '../../routing/dns/key-history.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { type DeliveryRow, listOfRow, noEntry, type OutboxEntry, sorts } from '../delivery/outbox.ts'
import type { Relayed } from '../delivery/relay.ts'
import { readPlaces } from '../delivery/resync/received.ts'
import { areWhole, isWhole, partsOf, type Sight } from './sight.ts'

const mendedMost = 10_000

function isOutboxEntry(entry: OutboxEntry | undefined): entry is OutboxEntry {
  if (entry === undefined) return false
  return typeof entry.id === 'string' && areWhole(entry.version, entry.atMs) && Array.isArray(entry.for)
}

/** The list of deliveries of which a row tells; `undefined`: the row is of none. */
function findOutbox(sort: string, domain: string): ListName | undefined {
  const parts = findList(`${sort} ${domain}`)
  return parts?.entries === 'deliveries' ? parts.list : undefined
}

/** One entry of an outbox: nothing is ever taken out of one, so that its numbers have no gaps. */
export function checkOutboxEntry(
  sight: Sight,
  key: string,
  value: string,
  { list, number, before }: { readonly list: ListName; readonly number: number; readonly before: number },
): void {
  checkGap(sight, list, before, number)
  if (!isOutboxEntry(findRow<OutboxEntry>(value)))
    sight.find('entry-wrong', key, 'says not what was to be delivered to whom', {
      puts: [[key, JSON.stringify(noEntry)]],
    })
}

/** What is missing between two numbers; its place is filled, so that deliveries go on behind it. */
export function checkGap(sight: Sight, list: ListName, before: number, after: number): void {
  if (after <= before + 1 || sight.unread.has('entry')) return
  const count = after - before - 1
  const numbers = Array.from({ length: Math.min(count, mendedMost) }, (_, at) => before + 1 + at)
  sight.find('entry-missing', keyOf.entry(list, before + 1), `${count} entries of the outbox are lost`, {
    puts: numbers.map(number => [keyOf.entry(list, number), JSON.stringify(noEntry)] as const),
  })
}

/** 0 where the head can not be read. */
function lastOf(sight: Sight, list: ListName): number {
  const [last = ''] = sight.get(keyOf.head(list))?.split(' ') ?? []
  return isWhole(last) ? Number(last) : 0
}

export function checkCourier(sight: Sight, key: string, value: string): void {
  const [sort, domain] = partsOf(key)
  const list = findOutbox(sort, domain)
  if (list === undefined) {
    sight.stray(key, 'is of no outbox')
    return
  }
  const last = lastOf(sight, list)
  if (isWhole(value) && Number(value) <= last) return
  // From the start: what was delivered is recognised there.
  const told = `says that ${value.slice(0, 20)} of ${last} entries are delivered`
  sight.find('count-wrong', key, told, { puts: [[key, isWhole(value) ? String(last) : '0']] })
}

export function checkRetry(sight: Sight, key: string, value: string): void {
  const [sort, domain, due, number] = partsOf(key)
  const retry = findRow<{ entry?: OutboxEntry; dueAtMs?: number; attempts?: number; firstAtMs?: number }>(
    value,
  )
  const list = findOutbox(sort, domain)
  if (list === undefined || keyOf.retry(list, Number(due), Number(number)) !== key) {
    sight.stray(key, 'is no time and number')
    return
  }
  const at = keyOf.entry(list, Number(number))
  const queued = sight.findRow<OutboxEntry>(at)
  const dueAtMs = Number(due)
  const isRight =
    retry !== undefined && isOutboxEntry(retry.entry) && areWhole(retry.attempts, retry.firstAtMs)
  const isQueued = isOutboxEntry(queued)
  // The entry itself may be lost.
  const isKnown = isQueued
    ? [retry?.entry?.id, ''].includes(queued.id)
    : Number(number) <= lastOf(sight, list)
  if (isRight && retry.dueAtMs === dueAtMs && isKnown) return
  if (!isOutboxEntry(queued)) {
    sight.stray(key, 'no such entry of the outbox is there')
    return
  }
  const anew = { entry: queued, attempts: 1, firstAtMs: queued.atMs, atMs: dueAtMs }
  sight.find('entry-wrong', key, `says ${value.slice(0, 100)}`, {
    puts: [[key, JSON.stringify({ ...anew, dueAtMs, notBeforeMs: dueAtMs })]],
  })
}

/** What became of an object: it can not be made anew, and an entry that is not settled says it again. */
export function checkDelivery(sight: Sight, key: string, value: string): void {
  const [, domain] = partsOf(key)
  const row = findRow<Partial<DeliveryRow>>(value)
  const isRight =
    row !== undefined &&
    row.list !== undefined &&
    sorts.includes(row.list) &&
    areWhole(row.version, row.number, row.atMs) &&
    Array.isArray(row.for) &&
    (row.number ?? 0) <= lastOf(sight, listOfRow({ list: row.list }, domain))
  if (!isRight) sight.stray(key, 'says not what became of an object')
}

export function checkDue(sight: Sight, key: string, value: string): void {
  const due = findRow<{ attempts?: number; firstAtMs?: number; dueAtMs?: number }>(value)
  if (due === undefined || !areWhole(due.attempts, due.firstAtMs, due.dueAtMs))
    sight.stray(key, 'says no time of the next attempt')
}

/** What waits to be passed on takes the room of a child; where it does not wait, it takes none. */
export function checkRelayed(sight: Sight, key: string, value: string): void {
  const [id, domain] = partsOf(key)
  const relayed = findRow<Partial<Relayed>>(value)
  const row = sight.findRow<DeliveryRow>(keyOf.delivery(id, domain))
  const isRight = typeof relayed?.child === 'string' && areWhole(relayed.bytes)
  if (isRight && row?.relay !== undefined)
    sight.addBytes(listOf.relay(relayed.child ?? ''), relayed.bytes ?? 0)
  else sight.stray(key, 'nothing is passed on there')
}

export function checkOwed(sight: Sight, key: string, value: string): void {
  const [due, id, domain] = partsOf(key)
  const isRight = value === '' && keyOf.owed(Number(due), id, domain) === key
  if (!isRight) sight.stray(key, 'is no time and delivery')
}

export function checkFrom(sight: Sight, key: string, value: string): void {
  // Without a row all that is kept for us is asked for.
  if (readPlaces(value) === undefined) sight.stray(key, 'says not what was received up to when')
}

export function checkPinned(sight: Sight, key: string, value: string): void {
  // Without a row the keys that the domain shows next are taken for the first.
  if (readPinned(value) === undefined) sight.stray(key, 'says not which keys a domain had')
}

export function checkTime(sight: Sight, key: string, value: string): void {
  if (!isWhole(value)) sight.stray(key, 'says no time')
}

export function checkIntroduced(sight: Sight, key: string, value: string): void {
  const [, address] = partsOf(key)
  const view = sight.findRow<User>(keyOf.view('everyone', address))
  // Without a row it is given once more.
  if (!sight.isOurs(address) || !isWhole(value) || (view !== undefined && Number(value) > view.version))
    sight.stray(key, `${value.slice(0, 20)} is no version of ${address}`)
}
