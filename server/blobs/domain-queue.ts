/**
 * Brings the blobs that are to come from one domain (protocol §9.9), one after the other, each in its own time. A domain that
 * can not be reached has one schedule for all of them.
 */
import type { Clock } from '../../objects/clock.ts'
import { type Pull, pullKeyOf } from '../../objects/store/blobs/fetch-queue.ts'
import { keyOf, rangeOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import type { Note } from '../../routing/ladder.ts'
import type { AskPiece } from '../../routing/lookup/blob-pieces.ts'
import type { Piece, PieceQuery } from '../../routing/lookup/piece.ts'
import { type Concern, type FailureCode, type FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain, ObjectId } from '../../schemas/text/names.ts'
import { Due } from '../delivery/backoff.ts'
import { waitMs } from '../delivery/schedule.ts'
import type { Pulling } from './fetch.ts'
import type { Lanes } from './slots.ts'

export interface LinePorts {
  readonly store: Store
  readonly clock: Clock
  readonly lanes: Lanes
  readonly pull: Pulling
  random(): number
  /** The open connection to a domain in the name of one of ours. */
  findOpen(domain: Domain, as: Domain): Peer | undefined
  reach(domain: Domain, as: Domain, note: Note): Promise<Peer>
  readonly ask: AskPiece
  onEvent(event: string, record: Readonly<Record<string, unknown>>): void
}

type Row = readonly [key: string, value: string]

const restMs = 60_000
const againMs = 5_000
const droppedMost = 1000
const promptMost = 16

/** What is done after a failure. `at once`: the connection ended, and what came is kept. */
const nextSteps: { readonly [C in Concern]: 'later' | 'at once' | 'never' } = {
  request: 'later',
  way: 'later',
  'dead-end': 'later',
  never: 'never',
  lie: 'later',
  lost: 'at once',
  shutdown: 'at once',
  rest: 'later',
}

export class PullLine {
  readonly #domain: Domain
  readonly #ports: LinePorts
  readonly #onRested: () => void
  readonly #due: Due
  readonly #closing: AbortSignal
  #woken = new AbortController()
  #isBack = false
  readonly #loop: Promise<void>

  /** `onRested` is called once, when nothing is to come from the domain; the line has ended then. */
  constructor(domain: Domain, ports: LinePorts, closing: AbortSignal, onRested: () => void) {
    this.#domain = domain
    this.#ports = ports
    this.#closing = closing
    this.#onRested = onRested
    this.#due = new Due(keyOf.away(domain), ports)
    this.#loop = this.#run()
  }

  /** There may be something to do. `isBack`: the domain was heard from, so waiting for it ends. */
  wake(isBack: boolean): void {
    if (isBack) this.#isBack = true
    this.#woken.abort()
  }

  /** Resolves when the line has ended, after its signal was aborted. */
  async close(): Promise<void> {
    this.wake(false)
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, onEvent } = this.#ports
    while (!this.#closing.aborted) {
      let waitsMs: number | 'rested' = againMs
      try {
        waitsMs = await this.#pass()
      } catch (thrown) {
        if (!this.#closing.aborted)
          onEvent('pull.error', { domain: this.#domain, reason: toFmtpError(thrown).message })
      }
      if (waitsMs === 'rested' && !this.#woken.signal.aborted) return this.#onRested()
      if (typeof waitsMs === 'number' && waitsMs > 0 && !this.#woken.signal.aborted)
        await clock.sleep(waitsMs, this.#woken.signal)
      if (this.#woken.signal.aborted) this.#woken = new AbortController()
    }
  }

  /** Brings what is due first, and says for how many ms there is nothing to do. */
  async #pass(): Promise<number | 'rested'> {
    if (this.#isBack) this.#due.hasten()
    this.#isBack = false
    const [row] = await this.#ports.store.database.scan(rangeOf('pull', this.#domain), { limit: 1 })
    if (row === undefined) {
      await this.#due.clear()
      return 'rested'
    }
    const inMs = Math.max(this.#due.waitMs, pullKeyOf(row[0]).dueAtMs - this.#ports.clock.now())
    if (inMs > 0) return Math.min(inMs, restMs)
    await this.#attempt(row)
    return 0
  }

  async #attempt(row: Row): Promise<void> {
    const { lanes, pull, onEvent } = this.#ports
    const { sha256, id } = pullKeyOf(row[0])
    const lane = await lanes.enter()
    let hasProgress = false
    let isAway = false
    const reach = async (as: Domain, note: Note): Promise<Peer> => {
      isAway = true
      const peer = await this.#reach(as, note)
      isAway = false
      return peer
    }
    const ask = (query: PieceQuery, as: Domain): Promise<Piece> =>
      this.#ports.ask(query, { as, reach: note => reach(as, note) })
    const onPiece = (): void => {
      hasProgress = true
    }
    try {
      const outcome = await pull(sha256, id as ObjectId, { lane, ask, onPiece })
      // What came another way makes the domain no less here.
      if (hasProgress) await this.#due.clear()
      await this.#ports.store.database.commit([{ dels: [row[0]] }])
      if (outcome === 'pulled') onEvent('pull.done', { id, sha256, domain: this.#domain })
    } catch (thrown) {
      if (this.#closing.aborted) return
      const error = toFmtpError(thrown)
      if (isAway) await this.#noteAway(error)
      else await this.#putOff(row, error, hasProgress)
    } finally {
      lane.leave()
    }
  }

  /** Counting the attempt on disk before it is made. */
  async #reach(as: Domain, note: Note): Promise<Peer> {
    const open = this.#ports.findOpen(this.#domain, as)
    if (open === undefined) await this.#due.count()
    const peer = open ?? (await this.#ports.reach(this.#domain, as, note))
    await this.#due.clear()
    return peer
  }

  /** Nothing comes from there now. What has waited for five days since it was tried first does not come any more. */
  async #noteAway({ code, message: reason }: FmtpError): Promise<void> {
    const { store, clock, onEvent } = this.#ports
    const { attempts = 0, firstAtMs = clock.now(), dueAtMs } = this.#due.attempts ?? {}
    onEvent('pull.unreachable', { domain: this.#domain, code, reason, attempts, nextAtMs: dueAtMs })
    const nowMs = clock.now()
    if (nowMs - firstAtMs < limits.outboxMs) return
    const rows = await store.database.scan(rangeOf('pull', this.#domain), { limit: droppedMost })
    for (const row of rows) {
      const { atMs } = parseRow<Pull>(row[1])
      if (nowMs - Math.max(atMs, firstAtMs) >= limits.outboxMs) await this.#giveUp(row, { code, reason })
    }
  }

  /** It waits by itself; or has failed, by its kind, or too often. */
  async #putOff(row: Row, error: FmtpError, hasProgress: boolean): Promise<void> {
    const { store, clock, random, onEvent } = this.#ports
    const { code, message: reason, retryAfterMs = 0 } = error
    const before = parseRow<Pull>(row[1])
    const nowMs = clock.now()
    const attempts = before.attempts + 1
    const faults = before.faults + (isFault(error, hasProgress) ? 1 : 0)
    const firstAtMs = before.firstAtMs ?? nowMs
    const isOver = faults >= limits.pullFaults || nowMs - firstAtMs >= limits.outboxMs
    const next = nextSteps[error.concern]
    if (isOver || next === 'never') return this.#giveUp(row, { code, reason })
    const { sha256, id } = pullKeyOf(row[0])
    // At once again from where it ended: whether the domain is still there shows then.
    const isPrompt = hasProgress && next === 'at once' && attempts <= promptMost
    const dueAtMs = nowMs + (isPrompt ? 0 : Math.max(waitMs(attempts, random()), retryAfterMs))
    const pull: Pull = { ...before, attempts, faults, firstAtMs }
    const key = keyOf.pull(this.#domain, dueAtMs, sha256, id)
    await store.database.commit([{ dels: [row[0]], puts: [[key, JSON.stringify(pull)]] }])
    onEvent('pull.later', {
      id,
      sha256,
      domain: this.#domain,
      code,
      reason,
      attempts,
      faults,
      nextAtMs: dueAtMs,
    })
  }

  async #giveUp([key]: Row, why: { readonly code: FailureCode; readonly reason: string }): Promise<void> {
    const { sha256, id } = pullKeyOf(key)
    await this.#ports.store.database.commit([{ dels: [key] }])
    this.#ports.onEvent('pull.failed', { id, sha256, domain: this.#domain, ...why })
  }
}

/** What speaks against the domain: a refusal or a lie, and also a connection that ends or lags where nothing came over it. */
function isFault({ code, isTemporary }: FmtpError, hasProgress: boolean): boolean {
  return !isTemporary || (!hasProgress && (code === 'FMTP_DISCONNECTED' || code === 'FMTP_TIMEOUT'))
}
