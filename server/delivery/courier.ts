/**
 * Carries what the outbox holds to its domains (protocol §10.4, docs/architecture.md): one worker for each domain that
 * something waits for, and none for those that only say hello.
 */
import type { Hints } from '../../objects/store/hints.ts'
import { lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { settledNumber } from './cursor.ts'
import { type Sort, sorts } from './outbox.ts'
import { Worker, type WorkerPorts } from './worker.ts'

export interface CourierPorts extends WorkerPorts {
  readonly hints: Hints
}

const pageHeads = 1000

export class Courier implements AsyncDisposable {
  readonly #ports: CourierPorts
  readonly #workers = new Map<Domain, Worker>()
  readonly #unwatch: () => void
  #isClosed = false

  private constructor(ports: CourierPorts) {
    this.#ports = ports
    const unwatch = sorts.map(sort =>
      ports.hints.watchSort(sort, list => this.wake(lastPart(list) as Domain)),
    )
    this.#unwatch = () => {
      for (const end of unwatch) end()
    }
  }

  /** Starts, and takes up what an earlier run left. */
  static async start(ports: CourierPorts): Promise<Courier> {
    const courier = new Courier(ports)
    for (const sort of sorts) {
      await courier.#takeUpEntries(sort)
      await courier.#takeUpRetries(sort)
    }
    return courier
  }

  /** How many domains something waits for, or did a moment ago. */
  get workers(): number {
    return this.#workers.size
  }

  /** There may be something for this domain. `isBack`: it was heard from, so waiting for it ends. */
  wake(domain: Domain, isBack = false): void {
    const worker = this.#workers.get(domain)
    if (worker !== undefined) worker.wake(isBack)
    // What was put off has a worker as long as it waits, so the list alone decides.
    else if (this.#hasEntries(domain)) this.#work(domain)
  }

  /** Somebody was heard from who leads to these domains. */
  wakeWhere(isMeant: (domain: Domain) => boolean): void {
    for (const [domain, worker] of this.#workers) if (isMeant(domain)) worker.wake(true)
  }

  /** Up to where the list of a domain is settled. */
  settled(domain: Domain): number {
    return this.#workers.get(domain)?.settled ?? settledNumber(listOf.outbox(domain), this.#ports.store)
  }

  /**
   * Delivers once more what stands behind this number in the list of a domain (protocol §10.6). Resolves when a crash does
   * not undo that. @throws {FmtpError} FMTP_STORE, FMTP_SHUTTING_DOWN
   */
  async resend(domain: Domain, number: number): Promise<void> {
    // Always by its worker, which remembers where it is.
    this.#work(domain)
    const worker = this.#workers.get(domain)
    if (worker === undefined) throw new FmtpError('FMTP_SHUTTING_DOWN', 'the courier has ended')
    await worker.resend(number)
  }

  #hasEntries(domain: Domain): boolean {
    const { store } = this.#ports
    return sorts.some(sort => {
      const list = listOf[sort](domain)
      const { number } = store.database.head(list)
      return number > 0 && number > settledNumber(list, store)
    })
  }

  #work(domain: Domain): void {
    if (this.#isClosed || this.#workers.has(domain)) return
    this.#workers.set(domain, new Worker(domain, this.#ports, () => this.#workers.delete(domain)))
  }

  async #takeUpEntries(sort: Sort): Promise<void> {
    const { database } = this.#ports.store
    let range = rangeOf('head', sort)
    for (;;) {
      const heads = await database.scan(range, { limit: pageHeads })
      for (const [key] of heads) this.wake(lastPart(key) as Domain)
      const last = heads.at(-1)
      if (last === undefined) return
      range = { ...range, gt: last[0] }
    }
  }

  /** From domain to domain: what each has is its worker's affair. */
  async #takeUpRetries(sort: Sort): Promise<void> {
    const { database } = this.#ports.store
    let range = rangeOf('retry', sort)
    for (;;) {
      const [first] = await database.scan(range, { limit: 1 })
      if (first === undefined) return
      const [, , domain = ''] = first[0].split(' ')
      this.#work(domain as Domain)
      range = { ...range, gt: rangeOf('retry', listOf[sort](domain)).lt }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#unwatch()
    await Promise.all([...this.#workers.values()].map(worker => worker.close()))
  }
}
