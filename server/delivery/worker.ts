/**
 * Carries what waits for one domain (docs/architecture.md), many objects under way at once: what was put off and is due,
 * and the outbox list from its cursor. What is about one object waits by itself and blocks nothing; a domain that can not
 * be reached has one schedule for all.
 */
import { keyOf, type ListName, listOf } from '../../objects/layout.ts'
import type { Store } from '../../objects/store.ts'
import { createNote, type Note, type Step } from '../../routing/ladder.ts'
import type { Peer } from '../../routing/peer.ts'
import { toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address, Domain } from '../../schemas/names.ts'
import { Cursor, type NumberedEntry } from './cursor.ts'
import { type DeliverPorts, type Delivery, deliver } from './deliver.ts'
import { Due } from './due.ts'
import { callerOf, type OutboxEntry } from './outbox.ts'
import { Retries, type Retry } from './retries.ts'

export interface WorkerPorts extends DeliverPorts {
  readonly store: Store
  random(): number
  /** Looks up recipients that are not known here. @throws {FmtpError} when `domain` can not be reached in this name */
  lookUp(recipients: readonly Address[], as: Domain): Promise<void>
  /** A proven connection to the domain in the name of the author's domain. @throws {FmtpError} */
  reach(domain: Domain, as: Domain, note: Note): Promise<Peer>
}

/** An entry, and what is kept of it where it was put off before. */
interface Work extends NumberedEntry {
  readonly retry: Retry | undefined
}

/** How long a domain waits whose connection ended, and a worker that has nothing to do. */
const lookMs = 5_000
const restMs = 60_000
const underWayMost = 256
/** What was put off leaves room for what is new. */
const retriesMost = 64
/** An entry under which the connection ended this often waits by itself: it may be the reason. */
const lossesMost = 3

export class Worker {
  readonly #domain: Domain
  readonly #ports: WorkerPorts
  readonly #onRested: () => void
  readonly #cursor: Cursor
  readonly #retries: Retries
  readonly #due: Due
  readonly #losses = new Map<number, number>()
  readonly #closing = new AbortController()
  #woken = new AbortController()
  #isBack = false
  #lastReason = ''
  /** Counts what happens, and who waits for the next such thing. */
  #changes = 0
  #onChange: () => void = () => undefined
  readonly #loop: Promise<void>

  /** `onRested` is called once, when nothing is left for the domain; the worker has ended then. */
  constructor(domain: Domain, ports: WorkerPorts, onRested: () => void) {
    const list: ListName = listOf.outbox(domain)
    this.#domain = domain
    this.#ports = ports
    this.#onRested = onRested
    this.#cursor = new Cursor(list, ports.store, thrown => this.#noteError(thrown))
    this.#retries = new Retries(list, ports)
    this.#due = new Due(keyOf.due(domain), ports)
    this.#loop = this.#run()
  }

  /** There may be something to do. `isBack`: the domain was heard from, so waiting for it ends. */
  wake(isBack: boolean): void {
    if (isBack) this.#isBack = true
    this.#woken.abort()
    this.#change()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.wake(false)
    await this.#loop
    await this.#cursor.flush()
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted
  }

  #change(): void {
    this.#changes++
    this.#onChange()
  }

  /** Resolves when something happened after `changes` were counted. */
  #changedSince(changes: number): Promise<void> {
    if (this.#changes !== changes) return Promise.resolve()
    return new Promise(resolve => {
      this.#onChange = resolve
    })
  }

  #noteError(thrown: unknown): void {
    if (!this.#isClosing)
      this.#ports.onEvent('courier.error', { domain: this.#domain, error: String(thrown) })
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      let waitsMs = lookMs
      try {
        waitsMs = await this.#pass()
      } catch (thrown) {
        this.#noteError(thrown)
      }
      if (!this.#woken.signal.aborted) await this.#ports.clock.sleep(waitsMs, this.#woken.signal)
      if (!this.#woken.signal.aborted && this.#isAtRest()) return this.#onRested()
      this.#woken = new AbortController()
    }
  }

  /** Never throws: a store that can not be read now leaves that open. */
  #isAtRest(): boolean {
    try {
      return this.#isRested
    } catch (thrown) {
      this.#noteError(thrown)
      return false
    }
  }

  get #isRested(): boolean {
    return this.#cursor.isSettled && this.#retries.isEmpty
  }

  /** Delivers what can be delivered now, and says for how many ms there is nothing to do. */
  async #pass(): Promise<number> {
    if (this.#isBack) {
      this.#due.hasten()
      this.#retries.hasten()
    }
    this.#isBack = false
    if (this.#due.waitMs > 0) return Math.min(this.#due.waitMs, restMs)
    const isReached = await this.#deliverAll()
    if (this.#isClosing) return 0
    if (!isReached) await this.#giveUpOld()
    await this.#cursor.flush()
    if (this.#isRested) await this.#due.clear()
    if (isReached) return Math.min(this.#retries.waitMs, restMs)
    return Math.min(this.#due.waitMs === 0 ? lookMs : this.#due.waitMs, restMs)
  }

  /**
   * Hands over what waits and what comes meanwhile, each as soon as another is settled, until nothing is left. False
   * when the domain could not be reached; then all that is unsettled stays where it is.
   */
  async #deliverAll(): Promise<boolean> {
    let isReached = true
    let underWay = 0
    let retrying = 0
    for (;;) {
      const changes = this.#changes
      const mayStart = isReached && !this.#isClosing && underWay < underWayMost
      const mayRetry = retrying < retriesMost
      const work = mayStart ? (this.#take(mayRetry) ?? (await this.#takeMore(mayRetry))) : undefined
      if (work === undefined) {
        if (underWay === 0) break
        await this.#changedSince(changes)
      } else if (!isReached || !(await this.#isReachable(work.entry))) {
        isReached = false
        if (work.retry !== undefined) this.#retries.giveBack(work.retry)
      } else {
        underWay++
        if (work.retry !== undefined) retrying++
        void this.#carry(work).then(isSettled => {
          underWay--
          if (work.retry !== undefined) retrying--
          if (!isSettled) isReached = false
          this.#change()
        })
      }
    }
    if (!isReached) this.#cursor.rewind()
    return isReached
  }

  #take(mayRetry: boolean): Work | undefined {
    const retry = mayRetry ? this.#retries.take() : undefined
    if (retry !== undefined) return { number: retry.number, entry: retry.entry, retry }
    const next = this.#cursor.take()
    return next === undefined ? undefined : { number: next.number, entry: next.entry, retry: undefined }
  }

  async #takeMore(mayRetry: boolean): Promise<Work | undefined> {
    for (;;) {
      const hasRetries = mayRetry && (await this.#retries.fill())
      const hasEntries = await this.#cursor.fill()
      const work = this.#take(mayRetry)
      if (work !== undefined || (!hasRetries && !hasEntries)) return work
    }
  }

  /** Connects where no connection is open in the author's name, counting the attempt on disk before it is made. */
  async #isReachable(entry: OutboxEntry): Promise<boolean> {
    const as = callerOf(entry)
    if (this.#ports.findOpen(this.#domain, as) === undefined) {
      const { attempts, dueAtMs } = await this.#due.count()
      try {
        await this.#ports.lookUp(entry.for, as)
        await this.#ports.reach(this.#domain, as, this.#note(entry))
      } catch (thrown) {
        const { code, message } = toFmtpError(thrown)
        this.#lastReason = message
        const record = { domain: this.#domain, code, reason: message, attempts, nextAtMs: dueAtMs }
        this.#ports.onEvent('deliver.unreachable', record)
        return false
      }
    }
    // Over its own connection too: it is back, whoever called whom.
    if (this.#due.attempts !== undefined) await this.#due.clear()
    return true
  }

  #note(entry: OutboxEntry): Note {
    const onStep = (step: Step): void =>
      this.#ports.onEvent('route', { climb: 'contact', about: entry.for[0], ...step })
    return createNote('domain', { clock: this.#ports.clock, onStep })
  }

  /** True when the work is settled, or waits by itself. Never throws. */
  async #carry(work: Work): Promise<boolean> {
    try {
      return await this.#conclude(work, await deliver(this.#domain, work.entry, this.#ports))
    } catch (thrown) {
      this.#noteError(thrown)
      if (work.retry !== undefined) this.#retries.giveBack(work.retry)
      return false
    }
  }

  async #conclude(work: Work, delivery: Delivery): Promise<boolean> {
    const { number, entry, retry } = work
    if (delivery.outcome === 'unreached' || (this.#isClosing && delivery.outcome !== 'settled')) {
      if (retry !== undefined) this.#retries.giveBack(retry)
      return false
    }
    if (delivery.outcome === 'lost') {
      this.#lastReason = delivery.reason
      if (retry === undefined && this.#countLoss(number) < lossesMost) return false
      const lost = { number, entry, for: entry.for, reason: delivery.reason, before: retry }
      await this.#retries.putOff({ ...lost, retryAfterMs: 0, isLost: true })
    } else if (delivery.outcome === 'left') {
      const { reason, retryAfterMs } = delivery
      await this.#retries.putOff({ number, entry, for: delivery.for, reason, retryAfterMs, before: retry })
    } else if (retry !== undefined) await this.#retries.settle(retry)
    if (retry === undefined) this.#settle(number)
    return delivery.outcome !== 'lost'
  }

  #settle(number: number): void {
    if (this.#losses.size > 0) this.#losses.delete(number)
    this.#cursor.settle(number)
  }

  #countLoss(number: number): number {
    const losses = (this.#losses.get(number) ?? 0) + 1
    this.#losses.set(number, losses)
    return losses
  }

  /** What waits for five days since it was tried first has failed, where the domain is not there. */
  async #giveUpOld(): Promise<void> {
    const { attempts } = this.#due
    if (attempts === undefined) return
    const nowMs = this.#ports.clock.now()
    const isOver = ({ atMs }: OutboxEntry): boolean =>
      nowMs - Math.max(atMs, attempts.firstAtMs) >= limits.outboxMs
    await this.#cursor.drop(isOver, ({ id, for: to }) =>
      this.#ports.onEvent('deliver.failed', {
        id,
        for: to,
        attempts: attempts.attempts,
        reason: this.#lastReason,
      }),
    )
    await this.#retries.drop(this.#lastReason)
  }
}
