/**
 * Carries what the outbox holds to its domains (protocol §10.4, docs/architecture.md): one worker for each domain that
 * something waits for, and none for those that only say hello.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
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
/** When what waits is looked for again after it could not be read. */
const againMs = 5_000

export class Courier implements AsyncDisposable {
  readonly #ports: CourierPorts
  readonly #workers = new Map<Domain, Worker>()
  #unwatch: readonly (() => void)[] = []
  #takingUp: Promise<void> = Promise.resolve()
  /** Which domains somebody leads to who was heard from, while not all that wait are taken up; then nobody asks. */
  #heard: ((domain: Domain) => boolean)[] | undefined = []
  readonly #closing = new AbortController()

  constructor(ports: CourierPorts) {
    this.#ports = ports
  }

  /**
   * Begins to deliver, and takes up what an earlier run left, a domain a turn of the event loop: thousands that wait hold
   * nobody up. Resolves when all is taken up. A store that cannot be read now is read again a little later.
   */
  start(): Promise<void> {
    const { hints } = this.#ports
    this.#unwatch = sorts.map(sort => hints.watchSort(sort, list => this.wake(lastPart(list) as Domain)))
    this.#takingUp = this.#takeUp()
    return this.#takingUp
  }

  /** How many domains something waits for, or did a moment ago. */
  get workers(): number {
    return this.#workers.size
  }

  /** There may be something for this domain. `isBack`: it was heard from, so waiting for it ends. */
  wake(domain: Domain, isBack = false): void {
    const worker = this.#workers.get(domain)
    if (worker !== undefined) worker.wake(isBack)
    // What was put off has a worker as long as it waits, once all is taken up, so the list alone decides.
    else if (this.#heard !== undefined || this.#hasEntries(domain)) this.#begin(domain, isBack)
  }

  /** Somebody was heard from who leads to these domains. */
  wakeWhere(isMeant: (domain: Domain) => boolean): void {
    for (const [domain, worker] of this.#workers) if (isMeant(domain)) worker.wake(true)
    this.#heard?.push(isMeant)
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
    const worker = this.#work(domain)
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

  /** The worker of a domain, made where there is none; `undefined` when the courier has ended. */
  #work(domain: Domain): Worker | undefined {
    if (this.#closing.signal.aborted) return undefined
    let worker = this.#workers.get(domain)
    if (worker !== undefined) return worker
    worker = new Worker(domain, this.#ports, () => this.#workers.delete(domain))
    this.#workers.set(domain, worker)
    return worker
  }

  #begin(domain: Domain, isBack: boolean): void {
    const worker = this.#work(domain)
    if (isBack) worker?.wake(true)
  }

  /** Never throws. */
  async #takeUp(): Promise<void> {
    const { clock, onEvent } = this.#ports
    const { signal } = this.#closing
    while (!signal.aborted && this.#heard !== undefined) {
      try {
        for (const sort of sorts) {
          await this.#takeUpEntries(sort)
          await this.#takeUpRetries(sort)
        }
        this.#heard = undefined
      } catch (thrown) {
        onEvent('courier.error', { error: String(thrown) })
        await clock.sleep(againMs, signal)
      }
    }
  }

  /** Leaves the turn to others before the next. */
  async #takeUpDomain(domain: Domain): Promise<void> {
    const isBack = this.#heard?.some(isMeant => isMeant(domain)) === true
    this.#begin(domain, isBack)
    await nextTurn()
  }

  async #takeUpEntries(sort: Sort): Promise<void> {
    const { database } = this.#ports.store
    let range = rangeOf('head', sort)
    while (!this.#closing.signal.aborted) {
      const heads = await database.scan(range, { limit: pageHeads })
      for (const [key] of heads) {
        const domain = lastPart(key) as Domain
        if (!this.#workers.has(domain) && this.#hasEntries(domain)) await this.#takeUpDomain(domain)
        if (this.#closing.signal.aborted) return
      }
      const last = heads.at(-1)
      if (last === undefined) return
      range = { ...range, gt: last[0] }
    }
  }

  /** From domain to domain: what each has is its worker's affair. */
  async #takeUpRetries(sort: Sort): Promise<void> {
    const { database } = this.#ports.store
    let range = rangeOf('retry', sort)
    while (!this.#closing.signal.aborted) {
      const [first] = await database.scan(range, { limit: 1 })
      if (first === undefined) return
      const [, , domain = ''] = first[0].split(' ')
      await this.#takeUpDomain(domain as Domain)
      range = { ...range, gt: rangeOf('retry', listOf[sort](domain)).lt }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    for (const end of this.#unwatch) end()
    const closing = [...this.#workers.values()].map(worker => worker.close())
    await Promise.all([this.#takingUp, ...closing])
  }
}
