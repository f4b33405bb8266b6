/**
 * What was put off for a domain (protocol §10.4), each entry by a schedule of its own, in the order of time: only what is
 * due is read, and nothing where nothing waits. After five days an entry has failed.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, type ListName, lastPart, rangeOf, retriesUntil } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address } from '../../schemas/text/names.ts'
import type { OutboxEntry, Trying } from './outbox.ts'
import { waitMs } from './schedule.ts'

/** An entry that was put off, as it is kept. */
interface Kept {
  readonly entry: OutboxEntry
  readonly attempts: number
  readonly firstAtMs: number
  /** Unix ms of the last attempt. */
  readonly atMs: number
  readonly dueAtMs: number
  /** Unix ms before which it is not tried, also when the domain is heard from. */
  readonly notBeforeMs: number
}

export interface Retry extends Kept {
  readonly key: string
  readonly number: number
}

export interface PutOff {
  readonly number: number
  readonly entry: OutboxEntry
  /** Those of its recipients who are left. */
  readonly for: readonly Address[]
  readonly code: string
  readonly reason: string
  /** At least this long. */
  readonly retryAfterMs: number
  /** The connection ended under it: it is not hastened, for it may be the reason. */
  readonly isLost?: boolean
  /** What is kept of it, where it was put off before. */
  readonly before: Retry | undefined
  /** What is known of those of its recipients who are not left. */
  news(trying: Trying | undefined): readonly Write[]
}

export interface RetriesPorts {
  readonly store: Store
  readonly clock: Clock
  random(): number
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
  /** An entry was tried for five days; what it says is on the disk when it resolves. */
  onFailed(failed: Failed): Promise<void>
}

/** What was given up. */
export interface Failed {
  readonly number: number
  readonly entry: OutboxEntry
  readonly attempts: number
  readonly code: string
  readonly reason: string
}

const pageRetries = 256

export class Retries {
  readonly #list: ListName
  readonly #ports: RetriesPorts
  /** Numbers that were taken and not given back. */
  readonly #underWay = new Set<number>()
  #page: readonly Retry[] = []
  #at = 0
  /** The key up to which this sweep through what is due has come. */
  #sweptKey: string | undefined
  /** The domain was heard from then: what was put off before is tried once more, due or not. */
  #heardAtMs = Number.NEGATIVE_INFINITY
  #isHastened = false
  #isGivenBack = false
  /** No later than the next is due; infinite when none is kept. Unknown at first. */
  #nextAtMs = 0

  constructor(list: ListName, ports: RetriesPorts) {
    this.#list = list
    this.#ports = ports
  }

  get isEmpty(): boolean {
    return this.#nextAtMs === Number.POSITIVE_INFINITY && this.#underWay.size === 0
  }

  /** Ms until there may be something to take. */
  get waitMs(): number {
    return Math.max(0, this.#nextAtMs - this.#ports.clock.now())
  }

  /** The domain was heard from: waiting ends, but for what said itself how long. */
  hasten(): void {
    if (this.#nextAtMs === Number.POSITIVE_INFINITY) return
    this.#heardAtMs = this.#ports.clock.now()
    this.#isHastened = true
    this.#sweptKey = undefined
    this.#page = []
    this.#at = 0
  }

  /** The next that is due, of those that are in memory. */
  take(): Retry | undefined {
    for (let retry = this.#page[this.#at]; retry !== undefined; retry = this.#page[this.#at]) {
      this.#at++
      if (this.#underWay.has(retry.number) || !this.#isDue(retry)) continue
      this.#underWay.add(retry.number)
      return retry
    }
    return undefined
  }

  #isDue({ dueAtMs, notBeforeMs, atMs }: Retry): boolean {
    const nowMs = this.#ports.clock.now()
    return dueAtMs <= nowMs || (atMs <= this.#heardAtMs && notBeforeMs <= nowMs)
  }

  /** Reads on. False when nothing more is due. */
  async fill(): Promise<boolean> {
    const nowMs = this.#ports.clock.now()
    if (this.#sweptKey === undefined && this.#nextAtMs > nowMs && !this.#isHastened) return false
    if (this.#sweptKey === undefined) this.#isGivenBack = false
    const range = this.#isHastened ? rangeOf('retry', this.#list) : retriesUntil(this.#list, nowMs)
    const page = await this.#scan({ ...range, gt: this.#sweptKey ?? range.gt }, pageRetries)
    this.#page = page
    this.#at = 0
    this.#sweptKey = page.at(-1)?.key
    if (page.length > 0) return true
    this.#isHastened = false
    await this.#findNext(nowMs)
    return false
  }

  async #findNext(nowMs: number): Promise<void> {
    // What is put off meanwhile lowers it again.
    this.#nextAtMs = Number.POSITIVE_INFINITY
    try {
      const { lt } = rangeOf('retry', this.#list)
      const [first] = await this.#scan({ gt: retriesUntil(this.#list, nowMs).lt, lt }, 1)
      if (first !== undefined) this.#expect(first.dueAtMs)
      if (this.#isGivenBack) this.#nextAtMs = 0
    } catch (thrown) {
      this.#nextAtMs = 0
      throw thrown
    }
  }

  #expect(dueAtMs: number): void {
    this.#nextAtMs = Math.min(this.#nextAtMs, dueAtMs)
  }

  async #scan(range: { readonly gt: string; readonly lt: string }, limit: number): Promise<readonly Retry[]> {
    const rows = await this.#ports.store.database.scan(range, { limit })
    return rows.map(([key, value]) => ({
      ...(JSON.parse(value) as Kept),
      key,
      number: Number(lastPart(key)),
    }))
  }

  /** Was not tried after all: it is due as before. */
  giveBack({ number, dueAtMs }: Retry): void {
    this.#underWay.delete(number)
    // This sweep may be past it.
    this.#isGivenBack = true
    this.#expect(dueAtMs)
  }

  async settle({ key, number }: Retry, news: readonly Write[] = []): Promise<void> {
    await this.#ports.store.database.commit([{ dels: [key], isRelaxed: true }, ...news])
    this.#underWay.delete(number)
  }

  /** Keeps an entry for later, or lets it fail. */
  async putOff(putOff: PutOff): Promise<void> {
    const { number, entry, code, reason, retryAfterMs, before, for: left } = putOff
    const { store, clock, random } = this.#ports
    const atMs = clock.now()
    const attempts = (before?.attempts ?? 0) + 1
    const firstAtMs = before?.firstAtMs ?? atMs
    const rest = { ...entry, for: left }
    const dels = before === undefined ? [] : [before.key]
    if (atMs - firstAtMs >= limits.outboxMs) {
      await this.#ports.onFailed({ number, entry: rest, attempts, code, reason })
      await store.database.commit([{ dels }, ...putOff.news(undefined)])
    } else {
      const dueAtMs = atMs + Math.max(waitMs(attempts, random()), retryAfterMs)
      const notBeforeMs = putOff.isLost === true ? dueAtMs : atMs + retryAfterMs
      const kept: Kept = { entry: rest, attempts, firstAtMs, atMs, dueAtMs, notBeforeMs }
      const key = keyOf.retry(this.#list, dueAtMs, number)
      await store.database.commit([
        { puts: [[key, JSON.stringify(kept)]], dels: dels.filter(other => other !== key) },
        ...putOff.news({ attempts, nextAtMs: dueAtMs, code }),
      ])
      this.#expect(dueAtMs)
      const record = { id: entry.id, for: left, attempts, reason, nextAtMs: dueAtMs }
      this.#ports.onEvent('deliver.put-off', record)
    }
    this.#underWay.delete(number)
  }

  /** What is due and has waited for five days fails: the domain can not be reached. Nothing may be under way. */
  async drop(code: string, reason: string): Promise<void> {
    const nowMs = this.#ports.clock.now()
    let range = retriesUntil(this.#list, nowMs)
    let isLeft = false
    this.#page = []
    this.#sweptKey = undefined
    for (;;) {
      const page = await this.#scan(range, pageRetries)
      const last = page.at(-1)
      if (last === undefined) break
      range = { ...range, gt: last.key }
      for (const retry of page) {
        if (nowMs - retry.firstAtMs < limits.outboxMs) isLeft = true
        else {
          await this.#ports.onFailed({ ...retry, code, reason })
          await this.settle(retry)
        }
      }
    }
    if (!isLeft) await this.#findNext(nowMs)
  }
}
