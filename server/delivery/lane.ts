/** One of the two lists that a domain has: what comes next in it, what of it was put off, and how it is settled. */

import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, type ListName, listOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { Cursor, type NumberedEntry } from './cursor.ts'
import type { Said } from './deliver.ts'
import { type Placed, rowWrite, settledBy, withSettled } from './delivery-rows.ts'
import { type DeliveryRow, isBulk, type Sort, type Trying } from './outbox.ts'
import { Retries, type RetriesPorts, type Retry } from './retries.ts'

/** An entry, and what is kept of it where it was put off before. */
export interface Work extends NumberedEntry {
  readonly lane: Lane
  readonly retry: Retry | undefined
}

export class Lane {
  readonly sort: Sort
  /** It leaves room for others. */
  readonly isBulk: boolean
  readonly list: ListName
  readonly cursor: Cursor
  readonly retries: Retries
  readonly #domain: Domain
  readonly #store: Store

  constructor(sort: Sort, domain: Domain, ports: RetriesPorts & { onError(thrown: unknown): void }) {
    this.sort = sort
    this.isBulk = isBulk[sort]
    this.list = listOf[sort](domain)
    this.#domain = domain
    this.#store = ports.store
    this.cursor = new Cursor(this.list, ports.store, ports.onError)
    this.retries = new Retries(this.list, ports)
  }

  /** True when nothing waits in it. */
  get isRested(): boolean {
    return this.cursor.isSettled && this.retries.isEmpty
  }

  /** The next of those that are in memory. */
  take(mayRetry: boolean): Work | undefined {
    const retry = mayRetry ? this.retries.take() : undefined
    if (retry !== undefined) return { lane: this, number: retry.number, entry: retry.entry, retry }
    const next = this.cursor.take()
    return next === undefined ? undefined : { lane: this, ...next, retry: undefined }
  }

  /** Reads on. False when there is nothing more. */
  async fill(mayRetry: boolean): Promise<boolean> {
    const hasRetries = mayRetry && (await this.retries.fill())
    return (await this.cursor.fill()) || hasRetries
  }

  placed({ number, entry }: NumberedEntry): Placed {
    return { domain: this.#domain, sort: this.sort, number, entry }
  }

  /** What is to be written where a peer has said this of some recipients; `trying` where others are left. */
  news(work: NumberedEntry, said: readonly Said[], atMs: number, trying?: Trying): readonly Write[] {
    const settled = settledBy(said, atMs)
    const change = (row: DeliveryRow): DeliveryRow => ({
      ...withSettled(row, settled, trying === undefined),
      ...(trying && { trying }),
    })
    if (settled.length === 0 && trying === undefined) return []
    return rowWrite(this.placed(work), change, this.#store)
  }

  /** Number up to which authors were told of what is late. */
  get told(): number {
    return Number(this.#store.database.get(keyOf.told(this.list)) ?? 0)
  }
}
