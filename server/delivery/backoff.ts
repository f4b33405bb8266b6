/**
 * When a domain that could not be reached is tried again (docs/architecture.md): one schedule for all that waits for it,
 * written before each dial, so that a crash is no excuse to hammer it.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Store } from '../../objects/store/store.ts'
import { waitMs } from './schedule.ts'

export interface Attempts {
  readonly attempts: number
  /** Unix ms of the first attempt since the domain was last reached. */
  readonly firstAtMs: number
  /** Unix ms before which there is no other. */
  readonly dueAtMs: number
  /** Of the failure of the last attempt that has failed, and what it was. */
  readonly code?: string
  readonly reason?: string
}

export interface DuePorts {
  readonly store: Store
  readonly clock: Clock
  random(): number
}

export class Due {
  readonly #key: string
  readonly #ports: DuePorts
  /** Failed attempts; `undefined` when the last one succeeded. */
  #attempts: Attempts | undefined

  /** `key`: under which the schedule of the domain is kept. */
  constructor(key: string, ports: DuePorts) {
    this.#key = key
    this.#ports = ports
    const text = ports.store.database.get(this.#key)
    this.#attempts = text === undefined ? undefined : (JSON.parse(text) as Attempts)
  }

  get attempts(): Attempts | undefined {
    return this.#attempts
  }

  /** Ms until the next attempt, 0 when one may be made now. */
  get waitMs(): number {
    if (this.#attempts === undefined) return 0
    return Math.max(0, this.#attempts.dueAtMs - this.#ports.clock.now())
  }

  /** Counts an attempt that is about to be made. */
  async count(): Promise<Attempts> {
    const nowMs = this.#ports.clock.now()
    const attempts = (this.#attempts?.attempts ?? 0) + 1
    const firstAtMs = this.#attempts?.firstAtMs ?? nowMs
    const dueAtMs = nowMs + waitMs(attempts, this.#ports.random())
    const counted = { ...this.#attempts, attempts, firstAtMs, dueAtMs }
    await this.#ports.store.database.commit([{ puts: [[this.#key, JSON.stringify(counted)]] }])
    this.#attempts = counted
    return counted
  }

  /** Says why the attempt that was counted has failed, for who asks. */
  async explain(code: string, reason: string): Promise<void> {
    if (this.#attempts === undefined || (this.#attempts.code === code && this.#attempts.reason === reason))
      return
    this.#attempts = { ...this.#attempts, code, reason }
    await this.#ports.store.database.commit([
      { puts: [[this.#key, JSON.stringify(this.#attempts)]], isRelaxed: true },
    ])
  }

  /** The domain was heard from: the next attempt is made now. */
  hasten(): void {
    if (this.#attempts !== undefined) this.#attempts = { ...this.#attempts, dueAtMs: 0 }
  }

  /** The domain was reached, or nothing is left to reach it for. */
  async clear(): Promise<void> {
    if (this.#attempts === undefined) return
    this.#attempts = undefined
    await this.#ports.store.database.commit([{ dels: [this.#key], isRelaxed: true }])
  }
}
