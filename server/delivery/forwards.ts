/**
 * What is handed on to somebody who was added to a conversation (protocol §8.6, §10.4): an object that went out long ago, or
 * came in, is queued for some more recipients, and nobody who has it gets it again. It leaves when they have taken the
 * message by which they were added.
 */

import type { Append, Write } from '../../objects/store/engine/write.ts'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Address, Domain } from '../../schemas/text/names.ts'
import type { Delivery, Said } from './deliver.ts'
import { takersIn } from './delivery-rows.ts'
import { byDomain, type DeliveryRow, type OutboxEntry, type Settled, sortOf } from './outbox.ts'

export interface HandingOn {
  /** In whose name. */
  readonly by: Address
  /** Id of the message by which they were added. */
  readonly after: string
  readonly nowMs: number
}

/** Appends that queue the current version of an object for these foreign recipients. */
export function handOnWrites(
  object: FmtpObject,
  recipients: readonly Address[],
  handingOn: HandingOn,
  store: Store,
): Write {
  const appends: Append[] = []
  const equals: [string, string][] = []
  const absent: string[] = []
  const puts: [string, string][] = []
  const { id, version } = object
  const sort = sortOf(object)
  for (const [domain, named] of byDomain(recipients)) {
    const key = keyOf.delivery(id, domain)
    const text = store.database.get(key)
    const before = text === undefined ? undefined : parseRow<DeliveryRow>(text)
    // A row of an older version gives way, and whoever has that version is given this one.
    const isSame = before?.version === version
    // It may be on its way to some of them since it was looked.
    const known = isSame ? takersIn(before) : []
    const to = named.filter(each => !known.includes(each))
    if (to.length === 0) continue
    const all = before === undefined ? to : [...new Set([...before.for, ...to])]
    const { by, after, nowMs: atMs } = handingOn
    const entry: OutboxEntry = { id, version, for: isSame ? to : all, by, after, atMs }
    const value = JSON.stringify(entry)
    const anew = (number: number): string =>
      JSON.stringify({ version, list: sort, number, for: all, by, after, atMs } satisfies DeliveryRow)
    const list = listOf[sort](domain)
    // What the courier writes of it meanwhile must not be lost.
    if (text === undefined) absent.push(key)
    else equals.push([key, text])
    if (isSame) {
      puts.push([key, JSON.stringify({ ...withMore(before, to, all), by, after })])
      appends.push({ list, value, bytes: 0 })
    } else appends.push({ list, value, bytes: 0, record: { key, valueAt: anew } })
  }
  return { appends, equals, absent, puts }
}

/** The row with recipients of whom nothing is known yet; what is known of the others stays. */
export function withMore(row: DeliveryRow, to: readonly Address[], all: readonly Address[]): DeliveryRow {
  const isNew = new Set(to)
  const settled = (row.settled ?? [])
    .map((each): Settled => ({ ...each, for: (each.for ?? row.for).filter(one => !isNew.has(one)) }))
    .filter(each => each.for?.length !== 0)
  const { settled: _, ...rest } = row
  return { ...rest, for: all, ...(settled.length === 0 ? {} : { settled }) }
}

/** Whether these have the message is not known yet. */
const undecided: ReadonlySet<string> = new Set(['open', 'relayed', 'unknown'])

/** What may be done with an entry that belongs to a message. */
export interface Readiness {
  /** They have the message. */
  readonly ready: readonly Address[]
  /** They may get it yet. */
  readonly waiting: readonly Address[]
  /** They did not take it: this is not for them either. */
  readonly refused: readonly Address[]
}

/** Which recipients of an entry have the message that it belongs to. */
export function readinessOf(entry: OutboxEntry, after: string, domain: Domain, store: Store): Readiness {
  const text = store.database.get(keyOf.delivery(after, domain))
  const row = text === undefined ? undefined : parseRow<DeliveryRow>(text)
  const outcomes = new Map<Address, string>()
  for (const to of row?.for ?? []) outcomes.set(to, 'open')
  for (const each of row?.settled ?? [])
    for (const to of each.for ?? row?.for ?? []) outcomes.set(to, each.outcome)
  const ready: Address[] = []
  const waiting: Address[] = []
  const refused: Address[] = []
  for (const to of entry.for) {
    // Of others nothing was promised: it is only a newer version for them.
    const outcome = outcomes.get(to) ?? 'stored'
    if (outcome === 'stored') ready.push(to)
    else if (undecided.has(outcome)) waiting.push(to)
    else refused.push(to)
  }
  return { ready, waiting, refused }
}

/** What became of an entry of which only those were tried who are ready. */
export function withOthers(delivery: Delivery, { waiting, refused }: Readiness, after: string): Delivery {
  if (delivery.outcome === 'unreached' || delivery.outcome === 'lost') return delivery
  const said: Said[] = [
    ...delivery.said,
    ...refused.map((to): Said => ({ for: to, outcome: 'refused', code: 'FMTP_REFUSED' })),
  ]
  if (waiting.length === 0) return { ...delivery, said }
  if (delivery.outcome === 'left') return { ...delivery, said, for: [...delivery.for, ...waiting] }
  const reason = `${after} comes before it`
  return { outcome: 'left', said, for: waiting, code: 'FMTP_BUSY', reason, retryAfterMs: 0 }
}
