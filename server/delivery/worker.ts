/**
 * Carries what waits for one domain (docs/architecture.md), many objects under way at once: what was put off and is due,
 * and its two lists from their cursors, of which that of messages goes first. What is about one object waits by itself and
 * blocks nothing; a domain that can not be reached has one schedule for all.
 */

import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { createNote, type Note, type Step } from '../../routing/ladder.ts'
import { type FailureCode, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Address, Domain } from '../../schemas/text/names.ts'
import { Due } from './backoff.ts'
import type { MakeWrites, NumberedEntry } from './cursor.ts'
import { tellLate } from './delayed.ts'
import { type DeliverPorts, type Delivery, deliver, type Said } from './deliver.ts'
import { readinessOf, withOthers } from './forwards.ts'
import { Lane, type Work } from './lane.ts'
import { callerOf, findEntry, numberBefore, type OutboxEntry, sorts, type Trying } from './outbox.ts'
import type { Failed } from './retries.ts'
import type { Reports } from './status/reports.ts'

export interface WorkerPorts extends DeliverPorts {
  readonly store: Store
  random(): number
  /** Looks up recipients that are not known here. @throws {FmtpError} when `domain` can not be reached in this name */
  lookUp(recipients: readonly Address[], as: Domain): Promise<void>
  /** A proven connection to the domain in the name of the author's domain. @throws {FmtpError} */
  reach(domain: Domain, as: Domain, note: Note): Promise<Peer>
  /** Tells authors what became of what they sent. */
  readonly reports: Reports
}

/** How long a domain waits whose connection ended, and a worker that has nothing to do. */
const lookMs = 5_000
const restMs = 60_000
const underWayMost = 256
/** What was put off leaves room for what is new. */
const retriesMost = 64
/** Bulk leaves room, so that a message finds some at once; while both wait, one of five is bulk. */
const bulkMost = 192
const turns = 5
const trailMost = 20
/** An entry under which the connection ended this often waits by itself: it may be the reason. */
const lossesMost = 3

export class Worker {
  readonly #domain: Domain
  readonly #ports: WorkerPorts
  readonly #onRested: () => void
  readonly #lanes: readonly Lane[]
  readonly #due: Due
  readonly #losses = new Map<string, number>()
  /** Messages under way that others belong to, by id: whether each was settled or waits by itself. */
  readonly #followed = new Map<string, Promise<boolean>>()
  readonly #closing = new AbortController()
  #woken = new AbortController()
  #isBack = false
  /** Why the domain could not be reached, and what was tried. */
  #last = { code: 'FMTP_UNREACHABLE', reason: '' }
  #trail: Step[] = []
  #turn = 0
  /** Counts what happens, and who waits for the next such thing. */
  #changes = 0
  #onChange: () => void = () => undefined
  readonly #loop: Promise<void>

  /** `onRested` is called once, when nothing is left for the domain; the worker has ended then. */
  constructor(domain: Domain, ports: WorkerPorts, onRested: () => void) {
    this.#domain = domain
    this.#ports = ports
    this.#onRested = onRested
    const onError = (thrown: unknown): void => this.#noteError(thrown)
    this.#lanes = sorts.map(sort => {
      const onFailed = (failed: Failed): Promise<void> => this.#fail(lane, failed, failed)
      const lane: Lane = new Lane(sort, domain, { ...ports, onError, onFailed })
      return lane
    })
    this.#due = new Due(keyOf.due(domain), ports)
    this.#loop = this.#run()
  }

  /** There may be something to do. `isBack`: the domain was heard from, so waiting for it ends. */
  wake(isBack: boolean): void {
    if (isBack) this.#isBack = true
    // With a reason, because an error is made where none is given, and that with every message.
    this.#woken.abort('woken')
    this.#change()
  }

  /** Number of the last message up to which all are settled. */
  get settled(): number {
    return this.#messages.cursor.done
  }

  get #messages(): Lane {
    return this.#lanes[0] as Lane
  }

  /**
   * Delivers once more what stands behind this number of the messages (protocol §10.6), and of the other list what was queued
   * since. Resolves when that is on the disk.
   */
  async resend(number: number): Promise<void> {
    const { store } = this.#ports
    const { atMs } = findEntry(this.#messages.list, number + 1, store)
    const written = this.#lanes.map(({ list, cursor }) =>
      cursor.moveBack(list === this.#messages.list ? number : numberBefore(list, atMs, store)),
    )
    this.wake(true)
    await Promise.all(written)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.wake(false)
    await this.#loop
    await this.#flush()
  }

  async #flush(): Promise<void> {
    for (const { cursor } of this.#lanes) await cursor.flush()
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
    return this.#lanes.every(lane => lane.isRested)
  }

  /** Delivers what can be delivered now, and says for how many ms there is nothing to do. */
  async #pass(): Promise<number> {
    if (this.#isBack) {
      this.#due.hasten()
      for (const { retries } of this.#lanes) retries.hasten()
    }
    this.#isBack = false
    if (this.#due.waitMs > 0) {
      await this.#tellLate()
      return Math.min(this.#due.waitMs, restMs)
    }
    const isReached = await this.#deliverAll()
    if (this.#isClosing) return 0
    if (!isReached) await this.#giveUpOld()
    await this.#flush()
    if (this.#isRested) await this.#due.clear()
    else await this.#tellLate()
    if (isReached) return Math.min(...this.#lanes.map(({ retries }) => retries.waitMs), restMs)
    return Math.min(this.#due.waitMs === 0 ? lookMs : this.#due.waitMs, restMs)
  }

  /**
   * Hands over what waits and what comes meanwhile, each as soon as another is settled, until nothing is left. False
   * when the domain could not be reached; then all that is unsettled stays where it is.
   */
  async #deliverAll(): Promise<boolean> {
    let isReached = true
    const underWay = { all: 0, retries: 0, bulk: 0 }
    for (;;) {
      const changes = this.#changes
      const mayStart = isReached && !this.#isClosing && underWay.all < underWayMost
      const may = { retry: underWay.retries < retriesMost, bulk: underWay.bulk < bulkMost }
      const work = mayStart ? (this.#take(may) ?? (await this.#takeMore(may))) : undefined
      if (work === undefined) {
        if (underWay.all === 0) break
        await this.#changedSince(changes)
      } else if (!isReached || !(await this.#isReachable(work.entry))) {
        isReached = false
        if (work.retry !== undefined) work.lane.retries.giveBack(work.retry)
      } else {
        count(underWay, work, 1)
        const carried = this.#carry(work)
        if (work.entry.isFollowed === true) this.#followed.set(work.entry.id, carried)
        void carried.then(isSettled => {
          count(underWay, work, -1)
          if (!isSettled) isReached = false
          this.#change()
        })
      }
    }
    if (!isReached) for (const { cursor } of this.#lanes) cursor.rewind()
    return isReached
  }

  /** What comes next of what is in memory: of each lane what was put off and is due, then what is new. */
  #take(may: May): Work | undefined {
    const [first, second] = this.#inTurn()
    const work = this.#takeOf(first, may) ?? this.#takeOf(second, may)
    if (work !== undefined) this.#turn = (this.#turn + 1) % turns
    return work
  }

  #takeOf(lane: Lane | undefined, may: May): Work | undefined {
    if (lane === undefined || (lane.isBulk && !may.bulk)) return undefined
    return lane.take(may.retry)
  }

  #inTurn(): readonly Lane[] {
    return this.#turn === turns - 1 ? this.#lanes.toReversed() : this.#lanes
  }

  async #takeMore(may: May): Promise<Work | undefined> {
    for (;;) {
      let hasMore = false
      for (const lane of this.#lanes)
        if (!lane.isBulk || may.bulk) hasMore = (await lane.fill(may.retry)) || hasMore
      const work = this.#take(may)
      if (work !== undefined || !hasMore) return work
    }
  }

  /** Connects where no connection is open in the author's name, counting the attempt on disk before it is made. */
  async #isReachable(entry: OutboxEntry): Promise<boolean> {
    const as = callerOf(entry)
    if (this.#ports.findOpen(this.#domain, as) === undefined) {
      const { attempts, dueAtMs } = await this.#due.count()
      const note = this.#note(entry)
      try {
        await this.#lookUp(entry.for, as)
        await this.#ports.reach(this.#domain, as, note)
      } catch (thrown) {
        const { code, message: reason } = toFmtpError(thrown)
        this.#last = { code, reason }
        if (this.#trail.length === 0) this.#trail.push(stepOf(code as FailureCode))
        await this.#due.explain(code, reason)
        const record = { domain: this.#domain, code, reason, attempts, nextAtMs: dueAtMs }
        this.#ports.onEvent('deliver.unreachable', record)
        return false
      }
    }
    // Over its own connection too: it is back, whoever called whom.
    if (this.#due.attempts !== undefined) await this.#due.clear()
    return true
  }

  /** Who is looked up for long is delivered to meanwhile: a peer may take messages that answers no question. */
  async #lookUp(recipients: readonly Address[], as: Domain): Promise<void> {
    const over = new AbortController()
    try {
      const looking = this.#ports.lookUp(recipients, as)
      await Promise.race([looking, this.#ports.clock.sleep(limits.lookUpFirstMs, over.signal)])
      // What it throws later, the connection throws too.
      looking.catch(() => undefined)
    } finally {
      over.abort('over')
    }
  }

  #note(entry: OutboxEntry): Note {
    this.#trail = []
    const onStep = (step: Step): void => {
      if (this.#trail.length < trailMost) this.#trail.push(step)
      this.#ports.onEvent('route', { climb: 'contact', about: entry.for[0], ...step })
    }
    return createNote('domain', { clock: this.#ports.clock, onStep })
  }

  /** True when the work is settled, or waits by itself. Never throws. */
  async #carry(work: Work): Promise<boolean> {
    try {
      return await this.#conclude(work, await this.#deliver(work))
    } catch (thrown) {
      this.#noteError(thrown)
      if (work.retry !== undefined) work.lane.retries.giveBack(work.retry)
      return false
    } finally {
      if (work.entry.isFollowed === true) this.#followed.delete(work.entry.id)
    }
  }

  /** What belongs to a message comes after it, and only to those who took it. */
  async #deliver({ lane, number, entry }: Work): Promise<Delivery> {
    const { after } = entry
    // Peers know one list, that of messages.
    const cursor = lane === this.#messages ? lane.cursor.textOf(number) : undefined
    if (after === undefined) return deliver(this.#domain, entry, this.#ports, cursor)
    if ((await this.#followed.get(after)) === false) return { outcome: 'unreached' }
    // What was said of that a moment ago may not be on the disk yet.
    await lane.cursor.flush()
    const readiness = readinessOf(entry, after, this.#domain, this.#ports.store)
    const { ready } = readiness
    const delivery: Delivery =
      ready.length === 0
        ? { outcome: 'settled', said: [] }
        : await deliver(this.#domain, { ...entry, for: ready }, this.#ports, cursor)
    return withOthers(delivery, readiness, after)
  }

  async #conclude(work: Work, delivery: Delivery): Promise<boolean> {
    const { lane, number, entry, retry } = work
    if (delivery.outcome === 'unreached' || (this.#isClosing && delivery.outcome !== 'settled')) {
      if (retry !== undefined) lane.retries.giveBack(retry)
      return false
    }
    const atMs = this.#ports.clock.now()
    if (delivery.outcome === 'lost') {
      const { code, reason } = delivery
      this.#last = { code, reason }
      if (retry === undefined && this.#countLoss(work) < lossesMost) return false
      const news = (trying?: Trying): readonly Write[] => lane.news(work, [], atMs, trying)
      const lost = { number, entry, for: entry.for, code, reason, before: retry, news }
      await lane.retries.putOff({ ...lost, retryAfterMs: 0, isLost: true })
    } else {
      const { said } = delivery
      await this.#tell(work, said)
      const news = (trying?: Trying): readonly Write[] => lane.news(work, said, atMs, trying)
      if (delivery.outcome === 'left') {
        const { code, reason, retryAfterMs } = delivery
        const left = { number, entry, for: delivery.for, code, reason, retryAfterMs }
        await lane.retries.putOff({ ...left, before: retry, news })
      } else if (retry !== undefined) await lane.retries.settle(retry, news())
      if (retry === undefined) this.#settle(work, delivery.outcome === 'settled' ? news : undefined)
      return true
    }
    if (retry === undefined) this.#settle(work, undefined)
    return false
  }

  /** Tells the author of whom it was refused, and where it is no longer late; of what is passed on, who brought it. */
  async #tell(work: Work, said: readonly Said[]): Promise<void> {
    if (said.length === 0) return
    const { reports, clock } = this.#ports
    const placed = work.lane.placed(work)
    // Who brought it waits for word of each.
    if (work.entry.relay !== undefined) return reports.passed(placed, said)
    const relayed = said.filter(({ outcome }) => outcome === 'relayed')
    if (relayed.length > 0) await reports.relayed(placed, relayed)
    const refused = said.filter(({ outcome }) => outcome !== 'stored' && outcome !== 'relayed')
    if (refused.length > 0) {
      const trail = [{ rung: 'domain', what: 'describe', outcome: refused[0]?.outcome ?? '', ms: 0 }]
      await reports.refused(placed, refused, trail)
    } else if (relayed.length === 0 && clock.now() - work.entry.atMs >= limits.lateMs)
      await reports.arrived(placed)
  }

  #settle({ lane, number }: Work, news: MakeWrites | undefined): void {
    if (this.#losses.size > 0) this.#losses.delete(keyOfLoss({ lane, number }))
    lane.cursor.settle(number, news)
  }

  #countLoss(work: Work): number {
    const key = keyOfLoss(work)
    const losses = (this.#losses.get(key) ?? 0) + 1
    this.#losses.set(key, losses)
    return losses
  }

  /** What waits for five days since it was tried first has failed, where the domain is not there. */
  async #giveUpOld(): Promise<void> {
    const { attempts } = this.#due
    if (attempts === undefined) return
    const nowMs = this.#ports.clock.now()
    const isOver = ({ atMs }: OutboxEntry): boolean =>
      nowMs - Math.max(atMs, attempts.firstAtMs) >= limits.outboxMs
    const { code, reason } = this.#last
    for (const lane of this.#lanes) {
      await lane.cursor.drop(isOver, dropped =>
        this.#fail(lane, dropped, { ...dropped, attempts: attempts.attempts, code, reason }),
      )
      await lane.retries.drop(code, reason)
    }
  }

  async #fail(
    lane: Lane,
    { number, entry }: NumberedEntry,
    failed: Omit<Failed, 'number' | 'entry'>,
  ): Promise<void> {
    const { attempts, code, reason } = failed
    await this.#ports.reports.failed(lane.placed({ number, entry }), { code, trail: this.#trail })
    this.#ports.onEvent('deliver.failed', { id: entry.id, for: entry.for, attempts, reason })
  }

  /** Authors learn after a few hours that something is late. */
  async #tellLate(): Promise<void> {
    for (const lane of this.#lanes)
      if (!lane.isRested) await tellLate(lane, { ...this.#ports, trail: this.#trail, code: this.#last.code })
  }
}

interface May {
  readonly retry: boolean
  readonly bulk: boolean
}

function count(underWay: { all: number; retries: number; bulk: number }, work: Work, by: number): void {
  underWay.all += by
  if (work.retry !== undefined) underWay.retries += by
  if (work.lane.isBulk) underWay.bulk += by
}

/** Looking up a recipient was in vain already. */
function stepOf(outcome: FailureCode): Step {
  return { rung: 'domain', what: 'lookup', outcome, ms: 0, detail: {} }
}

function keyOfLoss({ lane, number }: Pick<Work, 'lane' | 'number'>): string {
  return `${lane.sort} ${number}`
}
