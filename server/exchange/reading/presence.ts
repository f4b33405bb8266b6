/**
 * Who is online: users of ours with a device that is connected. In memory alone, so that coming and going writes nothing.
 */
import type { Clock } from '../../../objects/clock.ts'
import type { Name } from '../../../schemas/text/names.ts'
import { BoundedMap } from '../../../wire/bounded-map.ts'

export interface Presence {
  readonly isOnline: boolean
  /** Unix ms since when; of somebody who was not here since the start, that of the start. */
  readonly sinceMs: number
}

const leftMost = 100_000

/** `Session` is whatever stands for one connection. */
export class Presences<Session extends object> {
  readonly #clock: Clock
  readonly #startMs: number
  readonly #names = new Map<Session, Name>()
  readonly #online = new Map<Name, { readonly sinceMs: number; count: number }>()
  readonly #left = new BoundedMap<Name, number>(leftMost)

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startMs = clock.now()
  }

  /** A connection of this user has begun, or has become this user's. */
  arrive(session: Session, name: Name): void {
    if (this.#names.get(session) === name) return
    this.leave(session)
    this.#names.set(session, name)
    const known = this.#online.get(name)
    if (known === undefined) this.#online.set(name, { sinceMs: this.#clock.now(), count: 1 })
    else known.count++
  }

  leave(session: Session): void {
    const name = this.#names.get(session)
    if (name === undefined) return
    this.#names.delete(session)
    const known = this.#online.get(name)
    if (known === undefined || --known.count > 0) return
    this.#online.delete(name)
    this.#left.set(name, this.#clock.now())
  }

  find(name: Name): Presence {
    const online = this.#online.get(name)
    if (online !== undefined) return { isOnline: true, sinceMs: online.sinceMs }
    return { isOnline: false, sinceMs: this.#left.get(name) ?? this.#startMs }
  }
}
