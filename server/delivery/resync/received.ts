/**
 * How far peers have delivered to us, so that a store that was restored can ask for the rest (protocol §10.6). A place is
 * noted once a day and kept for a week: what was put off at the time of a backup, and came after it, stands before the
 * newest place, but never before one that is older than a delivery can last.
 */
import type { Clock } from '../../../objects/clock.ts'
import type { Database } from '../../../objects/store/engine/database.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import { findRow } from '../../../objects/store/row.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Domain } from '../../../schemas/text/names.ts'
import { BoundedMap } from '../../../wire/bounded-map.ts'

/** That the store was restored: of the row `meta restored`. */
export interface Restored {
  /** Unix ms of the restore. */
  readonly atMs: number
  /** Unix ms at which the backup was made. */
  readonly backupAtMs: number
}

/** What is kept of a peer. */
interface Places {
  /** Cursors of its outbox that came, the oldest first. */
  readonly places: readonly { readonly cursor: string; readonly atMs: number }[]
  /** `atMs` of the restore after which it was asked. */
  readonly askedFor?: number
}

export interface ReceivedPorts {
  readonly database: Database
  readonly clock: Clock
  onFailed(thrown: unknown): void
}

const notedMost = 10_000
/** A peer whose epoch changes is noted no more often. */
const againMs = 60_000
const none: Places = { places: [] }

/** `undefined` for a text that is no such row. */
export function readPlaces(text: string): Places | undefined {
  const row = findRow<Places>(text)
  if (row === undefined || !Array.isArray(row.places)) return undefined
  const isRight = (row as Places).places.every(
    place => typeof place?.cursor === 'string' && Number.isSafeInteger(place.atMs),
  )
  return isRight ? row : undefined
}

export class Received {
  readonly #ports: ReceivedPorts
  readonly #restored: Restored | undefined
  /** When, and in which epoch, a place was noted last; by the key of its row. */
  readonly #noted = new BoundedMap<string, { readonly epoch: string; readonly atMs: number }>(notedMost)

  constructor(ports: ReceivedPorts) {
    this.#ports = ports
    const text = ports.database.get(keyOf.meta('restored'))
    const restored = text === undefined ? undefined : findRow<Restored>(text)
    const isRecent = restored !== undefined && ports.clock.now() - restored.atMs < limits.restoredMs
    this.#restored = isRecent ? restored : undefined
  }

  /** That this store was restored a short while ago. */
  get restored(): Restored | undefined {
    return this.#restored
  }

  /** A peer handed over what stands at this place of its list. Most of the time this costs a look into a map. */
  note(own: Domain, peer: Domain, cursor: string): void {
    const key = keyOf.from(own, peer)
    const nowMs = this.#ports.clock.now()
    const epoch = epochOf(cursor)
    const noted = this.#noted.get(key) ?? this.#lastOf(key)
    const pauseMs = noted?.epoch === epoch ? limits.placeMs : againMs
    const sinceMs = noted === undefined ? pauseMs : nowMs - noted.atMs
    // Below zero the clock was set back. What it was asked for goes by what was noted before.
    if ((sinceMs >= 0 && sinceMs < pauseMs) || this.isOwed(own, peer)) return
    this.#noted.set(key, { epoch, atMs: nowMs })
    const { places, askedFor } = this.#read(key)
    const kept = [...recent(places, epoch, nowMs), { cursor, atMs: nowMs }]
    this.#put(key, { places: kept, ...(askedFor === undefined ? {} : { askedFor }) }).catch(
      this.#ports.onFailed,
    )
  }

  #lastOf(key: string): { readonly epoch: string; readonly atMs: number } | undefined {
    const last = this.#read(key).places.at(-1)
    if (last === undefined) return undefined
    const noted = { epoch: epochOf(last.cursor), atMs: last.atMs }
    this.#noted.set(key, noted)
    return noted
  }

  #read(key: string): Places {
    const text = this.#ports.database.get(key)
    return (text === undefined ? undefined : readPlaces(text)) ?? none
  }

  /** May be lost in a crash: then more than needed is asked for. */
  #put(key: string, places: Places): Promise<unknown> {
    return this.#ports.database.commit([{ puts: [[key, JSON.stringify(places)]], isRelaxed: true }])
  }

  /** True while a peer was not asked for what it delivered after the backup. */
  isOwed(own: Domain, peer: Domain): boolean {
    if (this.#restored === undefined) return false
    return this.#read(keyOf.from(own, peer)).askedFor !== this.#restored.atMs
  }

  /** The cursor behind which something may be missing; `undefined`: from the start of the list. */
  placeBefore(own: Domain, peer: Domain): string | undefined {
    if (this.#restored === undefined) return undefined
    const untilMs = this.#restored.backupAtMs - limits.placesBackMs
    return this.#read(keyOf.from(own, peer)).places.findLast(({ atMs }) => atMs <= untilMs)?.cursor
  }

  /** The peer sends what is missing. */
  async noteAsked(own: Domain, peer: Domain): Promise<void> {
    if (this.#restored === undefined) return
    const key = keyOf.from(own, peer)
    await this.#put(key, { places: this.#read(key).places, askedFor: this.#restored.atMs })
  }
}

function epochOf(cursor: string): string {
  return cursor.slice(0, cursor.indexOf('.'))
}

/** Those of this epoch that are of use: from the newest that is old enough on. */
function recent(places: Places['places'], epoch: string, nowMs: number): Places['places'] {
  const same = places.filter(({ cursor }) => epochOf(cursor) === epoch)
  const first = same.findLastIndex(({ atMs }) => atMs <= nowMs - limits.placesBackMs)
  return same.slice(Math.max(0, first))
}
