/**
 * Carries what the outbox holds to its domains (protocol §10.4, docs/architecture.md): one worker a domain, from a cursor,
 * many objects under way at once. An object that is put off waits in the domain's retry list and blocks nothing; a domain
 * that can not be reached has one schedule for all that waits. Both are on the disk before they count.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Hints } from '../../objects/hints.ts'
import { entriesAfter, keyOf, type ListName, lastPart, listOf, rangeOf } from '../../objects/layout.ts'
import type { Store } from '../../objects/store.ts'
import type { Note, Step } from '../../routing/ladder.ts'
import { createNote } from '../../routing/ladder.ts'
import type { Peer } from '../../routing/peer.ts'
import { type FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { Result } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { type Address, type Domain, domainOf, type Name } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { ReachDirect } from './direct.ts'
import type { OutboxEntry } from './outbox.ts'
import { waitMs } from './schedule.ts'

export interface CourierPorts {
  readonly store: Store
  readonly hints: Hints
  readonly clock: Clock
  random(): number
  /** The object in this version as it goes out, its credential renewed. */
  findOutgoing(id: string, version: number): FmtpObject | undefined
  /** True when a connection in this name is open already: using it is no attempt. */
  isOpen(domain: Domain, as: Domain): boolean
  /** Looks up recipients that are not known here. @throws {FmtpError} when their domain can not be reached */
  lookUp(recipients: readonly Address[]): Promise<void>
  /** A proven connection to the domain in the name of the author's domain. */
  reach(domain: Domain, as: Domain, note: Note): Promise<Peer>
  /** Gives connections to the recipients' own devices, where their objects recommend any; waits a moment at most. */
  readonly reachDirect: ReachDirect
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

interface Retry {
  readonly entry: OutboxEntry
  readonly attempts: number
  readonly firstAtMs: number
  readonly dueAtMs: number
}

interface Due {
  readonly attempts: number
  readonly firstAtMs: number
  readonly dueAtMs: number
}

const lookMs = 5_000
const underway = 256
/** How long entries are handed over before retries have their turn again. */
const turnMs = 5_000

export class Courier implements AsyncDisposable {
  readonly #ports: CourierPorts
  readonly #workers = new Map<Domain, Worker>()
  readonly #unwatch: () => void
  #isClosed = false

  private constructor(ports: CourierPorts) {
    this.#ports = ports
    this.#unwatch = ports.hints.watchSort('outbox', list => this.wake(lastPart(list) as Domain))
  }

  /** Starts, and takes up what an earlier run left. */
  static async start(ports: CourierPorts): Promise<Courier> {
    const courier = new Courier(ports)
    const heads = await ports.store.database.scan(rangeOf('head', 'outbox'), { limit: 1_000_000 })
    for (const [key] of heads) courier.wake(lastPart(key) as Domain)
    return courier
  }

  /** There may be something for this domain. `isBack`: it was heard from, so waiting for it ends. */
  wake(domain: Domain, isBack = false): void {
    if (this.#isClosed) return
    let worker = this.#workers.get(domain)
    if (worker === undefined) {
      worker = new Worker(domain, this.#ports)
      this.#workers.set(domain, worker)
    }
    worker.wake(isBack)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#unwatch()
    await Promise.all([...this.#workers.values()].map(worker => worker.close()))
  }
}

class Worker {
  readonly #domain: Domain
  readonly #list: ListName
  readonly #ports: CourierPorts
  readonly #closing = new AbortController()
  #woken = new AbortController()
  /** Numbers up to this one are delivered or put off, on disk. */
  #cursor: number
  /** The same in memory, ahead of the disk. */
  #done: number
  #next: number
  readonly #finished = new Set<number>()
  #isSaving = false
  readonly #loop: Promise<void>

  constructor(domain: Domain, ports: CourierPorts) {
    this.#domain = domain
    this.#list = listOf.outbox(domain)
    this.#ports = ports
    this.#cursor = Number(ports.store.database.get(keyOf.courier(this.#list)) ?? 0)
    this.#done = this.#cursor
    this.#next = this.#cursor
    this.#loop = this.#run()
  }

  wake(isBack: boolean): void {
    if (isBack) this.#isBack = true
    this.#woken.abort()
    this.#onChange()
  }

  #isBack = false

  /** Called with each hint and each entry that is settled or failed. */
  #onChange = (): void => undefined

  #changed(): Promise<void> {
    return new Promise(resolve => {
      this.#onChange = resolve
    })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#woken.abort()
    this.#onChange()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      let waitsMs = lookMs
      try {
        waitsMs = await this.#pass()
      } catch (thrown) {
        this.#ports.onEvent('courier.error', { domain: this.#domain, error: String(thrown) })
      }
      if (this.#closing.signal.aborted) return
      if (!this.#woken.signal.aborted) await this.#ports.clock.sleep(waitsMs, this.#woken.signal)
      this.#woken = new AbortController()
    }
  }

  /** Delivers what can be delivered now, and says how long there is nothing to do. */
  async #pass(): Promise<number> {
    const { store, clock } = this.#ports
    const due = this.#findDue()
    const isBack = this.#isBack
    this.#isBack = false
    if (due !== undefined && due.dueAtMs > clock.now() && !isBack)
      return Math.min(due.dueAtMs - clock.now(), 60_000)
    const nextRetryMs = await this.#runRetries(isBack)
    if (!(await this.#runEntries())) return this.#waitForDomain()
    return store.database.head(this.#list).number > this.#next ? 0 : Math.min(nextRetryMs, 60_000)
  }

  #waitForDomain(): number {
    const due = this.#findDue()
    return due === undefined ? lookMs : Math.max(1, due.dueAtMs - this.#ports.clock.now())
  }

  #findDue(): Due | undefined {
    const text = this.#ports.store.database.get(keyOf.due(this.#domain))
    return text === undefined ? undefined : (JSON.parse(text) as Due)
  }

  /**
   * Hands over what waits and what comes meanwhile, each entry as soon as another is settled. Ends when nothing is left
   * or its turn is over; false when the domain could not be reached, and then all that is unsettled stays in the list.
   */
  async #runEntries(): Promise<boolean> {
    const { store, clock } = this.#ports
    const endMs = clock.now() + turnMs
    let page: (readonly [key: string, value: string])[] = []
    let count = 0
    let isReached = true
    for (;;) {
      const mayStart = isReached && !this.#closing.signal.aborted && clock.now() < endMs
      const [row] = page
      if (mayStart && row === undefined && store.database.head(this.#list).number > this.#next) {
        page = [...(await store.database.scan(entriesAfter(this.#list, this.#next), { limit: underway }))]
      } else if (mayStart && row !== undefined && count < underway) {
        page.shift()
        const number = Number(lastPart(row[0]))
        const entry = JSON.parse(row[1]) as OutboxEntry
        // In the name of each author's domain once: nothing is started in vain.
        if (!(await this.#isReachable(entry))) isReached = false
        if (!isReached) continue
        this.#next = number
        // Settled already, before an earlier one failed.
        if (this.#finished.has(number)) continue
        count++
        void this.#runEntry(number, entry).then(isSettled => {
          count--
          if (!isSettled) isReached = false
          this.#onChange()
        })
      } else if (count > 0) await this.#changed()
      else break
    }
    if (!isReached) this.#next = this.#done
    return isReached
  }

  /** Connects where no connection is open, counting the attempt on disk before it is made. */
  async #isReachable(entry: OutboxEntry): Promise<boolean> {
    const { clock, store } = this.#ports
    const as = domainOf(this.#authorOf(entry))
    if (this.#ports.isOpen(this.#domain, as)) return true
    const before = this.#findDue()
    const nowMs = clock.now()
    const attempts = (before?.attempts ?? 0) + 1
    const firstAtMs = before?.firstAtMs ?? nowMs
    const dueAtMs = nowMs + waitMs(attempts, this.#ports.random())
    const due: Due = { attempts, firstAtMs, dueAtMs }
    const key = keyOf.due(this.#domain)
    await store.database.commit([{ puts: [[key, JSON.stringify(due)]] }])
    try {
      await this.#ports.lookUp(entry.for)
      await this.#ports.reach(this.#domain, as, this.#note(entry))
    } catch (thrown) {
      const { code, message } = toFmtpError(thrown)
      this.#ports.onEvent('deliver.unreachable', {
        domain: this.#domain,
        code,
        reason: message,
        attempts,
        nextAtMs: dueAtMs,
      })
      return false
    }
    await store.database.commit([{ dels: [key], isRelaxed: true }])
    return true
  }

  #authorOf(entry: OutboxEntry): Name {
    return entry.id.slice(entry.id.indexOf('.') + 1) as Name
  }

  #note(entry: OutboxEntry): Note {
    const onStep = (step: Step): void =>
      this.#ports.onEvent('route', { climb: 'contact', about: entry.for[0], ...step })
    return createNote('domain', { clock: this.#ports.clock, onStep })
  }

  /** True when the entry is settled: taken, refused for good, or put off. Never throws. */
  async #runEntry(number: number, entry: OutboxEntry): Promise<boolean> {
    try {
      const left = await this.#tryEntry(entry)
      if (left.length > 0) await this.#putOff(number, { ...entry, for: left }, undefined)
      this.#settle(number)
      return true
    } catch (thrown) {
      if (!this.#closing.signal.aborted && !isAboutDomain(toFmtpError(thrown)))
        this.#ports.onEvent('courier.error', { domain: this.#domain, error: String(thrown) })
      return false
    }
  }

  /** Recipients that are left for later. @throws {FmtpError} what is about the domain or our own end */
  async #tryEntry(entry: OutboxEntry): Promise<readonly Address[]> {
    try {
      return await this.#deliver(entry)
    } catch (thrown) {
      // The connection went away: the domain's schedule decides, and the entry stays where it is.
      if (this.#closing.signal.aborted || isAboutDomain(toFmtpError(thrown))) throw thrown
      return entry.for
    }
  }

  /** Recipients that are to be tried again later. */
  async #deliver(entry: OutboxEntry): Promise<readonly Address[]> {
    const object = this.#ports.findOutgoing(entry.id, entry.version)
    // A newer version follows in the list, or took this one's place.
    if (object === undefined) return []
    const as = domainOf(object.owner as Name)
    await this.#ports.reachDirect(entry.for, as, peer => void this.#describeDirect(peer, object, entry))
    const peer = await this.#ports.reach(this.#domain, as, this.#note(entry))
    const startMs = this.#ports.clock.now()
    const record = {
      id: entry.id,
      kind: object.kind,
      owner: object.owner,
      domain: this.#domain,
      host: peer.host,
    }
    this.#ports.onEvent('deliver.sent', record)
    const answer = await peer.describe({ object, for: [...entry.for] })
    const results: readonly Result[] = answer.results ?? entry.for.map(to => ({ ...answer, for: to }))
    this.#ports.onEvent('deliver.answer', { ...record, results, ms: this.#ports.clock.now() - startMs })
    return entry.for.filter(to => isTemporary(results.find(result => result.for === to)))
  }

  /** Sooner, and nothing more: the home gets the object whatever comes of this. */
  async #describeDirect(peer: Peer, object: FmtpObject, entry: OutboxEntry): Promise<void> {
    const startMs = this.#ports.clock.now()
    const base = { id: object.id, kind: object.kind, owner: object.owner, host: peer.host, to: peer.name }
    try {
      const answer = await peer.describe({ object, for: entry.for.filter(to => to === peer.name) })
      this.#ports.onEvent('deliver.direct', {
        ...base,
        outcome: answer.outcome,
        ms: this.#ports.clock.now() - startMs,
      })
    } catch (thrown) {
      this.#ports.onEvent('deliver.direct', {
        ...base,
        outcome: toFmtpError(thrown).code,
        ms: this.#ports.clock.now() - startMs,
      })
    }
  }

  /** False while the retry list is known to be empty, so that a message at rest costs no scan of it. */
  #mayHaveRetries = true

  /** Keeps an entry for later; after five days it has failed. */
  async #putOff(number: number, entry: OutboxEntry, before: Retry | undefined): Promise<void> {
    const { store, clock } = this.#ports
    const nowMs = clock.now()
    const key = keyOf.retry(this.#list, number)
    const firstAtMs = before?.firstAtMs ?? nowMs
    const attempts = (before?.attempts ?? 0) + 1
    if (nowMs - firstAtMs >= limits.outboxMs) {
      await store.database.commit([{ dels: [key] }])
      this.#ports.onEvent('deliver.failed', { id: entry.id, for: entry.for, attempts })
      return
    }
    const retry: Retry = {
      entry,
      attempts,
      firstAtMs,
      dueAtMs: nowMs + waitMs(attempts, this.#ports.random()),
    }
    this.#mayHaveRetries = true
    await store.database.commit([{ puts: [[key, JSON.stringify(retry)]] }])
    this.#ports.onEvent('deliver.put-off', {
      id: entry.id,
      for: entry.for,
      attempts,
      nextAtMs: retry.dueAtMs,
    })
  }

  /** Tries again what is due, and says when the next is, in ms from now. */
  async #runRetries(isBack: boolean): Promise<number> {
    const { store, clock } = this.#ports
    let nextAtMs = Number.POSITIVE_INFINITY
    if (!this.#mayHaveRetries) return nextAtMs
    const rows = await store.database.scan(rangeOf('retry', this.#list), { limit: underway })
    this.#mayHaveRetries = rows.length > 0
    for (const [key, value] of rows) {
      const retry = JSON.parse(value) as Retry
      if (retry.dueAtMs > clock.now() && !isBack) {
        nextAtMs = Math.min(nextAtMs, retry.dueAtMs)
        continue
      }
      const number = Number(lastPart(key))
      if (!(await this.#isReachable(retry.entry))) break
      let left: readonly Address[] = retry.entry.for
      try {
        left = await this.#deliver(retry.entry)
      } catch (thrown) {
        this.#ports.onEvent('deliver.again', { id: retry.entry.id, code: toFmtpError(thrown).code })
      }
      if (left.length === 0) await store.database.commit([{ dels: [key], isRelaxed: true }])
      else await this.#putOff(number, { ...retry.entry, for: left }, retry)
    }
    return Math.max(1, nextAtMs - clock.now())
  }

  /** Moves the cursor over all that is settled without a gap; it reaches the disk a little later. */
  #settle(number: number): void {
    this.#finished.add(number)
    while (this.#finished.delete(this.#done + 1)) this.#done++
    if (this.#isSaving) return
    this.#isSaving = true
    setImmediate(() => void this.#save())
  }

  /** What a crash forgets of this is delivered once more, and recognised there. */
  async #save(): Promise<void> {
    const done = this.#done
    try {
      if (done > this.#cursor) {
        await this.#ports.store.database.commit([
          { puts: [[keyOf.courier(this.#list), String(done)]], isRelaxed: true },
        ])
        this.#cursor = done
      }
    } catch (thrown) {
      if (!this.#closing.signal.aborted)
        this.#ports.onEvent('courier.error', { domain: this.#domain, error: String(thrown) })
    } finally {
      this.#isSaving = false
    }
    if (this.#done > this.#cursor && !this.#closing.signal.aborted) this.#settle(0)
  }
}

/** Codes that say nothing of the object: the whole domain waits. */
function isAboutDomain(error: FmtpError): boolean {
  return [
    'FMTP_DISCONNECTED',
    'FMTP_TIMEOUT',
    'FMTP_UNREACHABLE',
    'FMTP_CONNECT_FAILED',
    'FMTP_SHUTTING_DOWN',
  ].includes(error.code)
}

function isTemporary(result: Result | undefined): boolean {
  return result === undefined || result.outcome === 'busy'
}
