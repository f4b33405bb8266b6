/**
 * A courier with a real store and hints, a clock that can be moved, and one domain at the other end, played by the test:
 * what is described there stands until the test answers it.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Database } from '../../objects/store/engine/database.ts'
import { createHints } from '../../objects/store/hints.ts'
import { keyOf, listOf, rangeOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { Store } from '../../objects/store/store.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame } from '../../schemas/frame.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Domain, parseDomain } from '../../schemas/text/names.ts'
import { Courier } from '../../server/delivery/courier.ts'
import type { Sort } from '../../server/delivery/outbox.ts'
import { createReports } from '../../server/delivery/status/reports.ts'
import type { Answer } from '../../wire/pairing.ts'
import { MovableClock } from './clock.ts'
import { waitUntil } from './conditions.ts'

export const lenore: Domain = parseDomain('lenore.org')
const list = listOf.outbox(lenore)

/** A message that stands at the peer without an answer. */
export interface Standing {
  readonly id: string
  answer(outcome: string, members?: Partial<Answer>): void
  fail(error: FmtpError): void
}

export interface RigEvent {
  readonly event: string
  readonly record: Readonly<Record<string, unknown>>
}

export class CourierRig implements AsyncDisposable {
  readonly clock = new MovableClock()
  readonly events: RigEvent[] = []
  readonly database: Database
  #courier: Courier | undefined
  standing: Standing[] = []
  /** Whether a connection is open. */
  isOpen = true
  /** What dialling fails with; `undefined` opens a connection. */
  dialError: FmtpError | undefined
  /** What looking up the recipients fails with. */
  lookUpError: FmtpError | undefined
  dials = 0
  /** How often what was put off was read. */
  retryScans = 0
  readonly #folder: string
  readonly #hints: ReturnType<typeof createHints>

  private constructor(folder: string, database: Database, hints: ReturnType<typeof createHints>) {
    this.#folder = folder
    this.database = database
    this.#hints = hints
  }

  static async start(): Promise<CourierRig> {
    const folder = mkdtempSync(join(tmpdir(), 'fmtp-courier-'))
    const hints = createHints()
    const database = await openDatabase(
      folder,
      lists => hints.notify(lists),
      () => 'epoch',
    )
    const rig = new CourierRig(folder, database, hints)
    const scan = database.scan.bind(database)
    database.scan = (range, options) => {
      if (range.gt.startsWith('retry outbox lenore.org')) rig.retryScans++
      return scan(range, options)
    }
    await rig.restart()
    return rig
  }

  /** A courier that begins on what is on the disk. */
  async restart(): Promise<void> {
    await this.stop()
    await this.begin()
  }

  /** The same where none is, without waiting: resolves when it has taken up what is there. */
  begin(): Promise<void> {
    const peer = this.#peer()
    const store = new Store(this.database)
    this.#courier = new Courier({
      store,
      reports: createReports({
        store,
        clock: this.clock,
        hasUser: () => false,
        homeKey: () => assert.fail('nobody is told'),
      }),
      hints: this.#hints,
      clock: this.clock,
      random: () => 0,
      isWatched: false,
      findOutgoing: (id, version) =>
        ({ id, version, kind: 'message', owner: 'edgar@poe.net' }) as unknown as FmtpObject,
      findOpen: () => (this.isOpen ? peer : undefined),
      lookUp: async () => {
        if (this.lookUpError !== undefined) throw this.lookUpError
      },
      reach: async () => {
        this.dials++
        if (this.dialError !== undefined) throw this.dialError
        this.isOpen = true
        return peer
      },
      reachDirect: async () => undefined,
      onEvent: (event, record) => this.events.push({ event, record }),
    })
    return this.#courier.start()
  }

  get courier(): Courier {
    assert.ok(this.#courier)
    return this.#courier
  }

  async stop(): Promise<void> {
    for (const each of [...this.standing]) each.fail(new FmtpError('FMTP_DISCONNECTED'))
    await this.#courier?.[Symbol.asyncDispose]()
    this.#courier = undefined
  }

  #peer(): Peer {
    const rig = this
    return {
      name: lenore,
      as: parseDomain('poe.net'),
      host: 'mx.lenore.org:3687',
      get isOpen() {
        return rig.isOpen
      },
      describe: ({ object }: Pick<DescribeFrame, 'object'>) =>
        new Promise<Answer>((resolve, reject) => {
          const { id } = object as { id: string }
          const leave = (): void => {
            rig.standing = rig.standing.filter(each => each.id !== id)
          }
          rig.standing.push({
            id,
            answer: (outcome, members = {}) => {
              leave()
              resolve({ outcome, ...members })
            },
            fail: error => {
              leave()
              reject(error)
            },
          })
        }),
      request: () => Promise.reject(new FmtpError('FMTP_NOT_OFFERED')),
    }
  }

  /** Queues objects of these numbers, now, as messages or as bulk. */
  async queue(from: number, to = from, sort: Sort = 'outbox'): Promise<void> {
    const appends = Array.from({ length: to - from + 1 }, (_, index) => ({
      list: listOf[sort](lenore),
      value: JSON.stringify({
        id: idOf(from + index),
        version: 1,
        for: ['lost@lenore.org'],
        atMs: this.clock.now(),
      }),
      bytes: 0,
    }))
    await this.database.commit([{ appends }])
  }

  find(number: number): Standing {
    const found = this.standing.find(({ id }) => id === idOf(number))
    assert.ok(found, `${number} does not stand at the peer`)
    return found
  }

  async stands(...numbers: readonly number[]): Promise<void> {
    const ids = numbers.map(idOf).sort()
    await waitUntil(
      `${numbers} stand at the peer`,
      () => JSON.stringify(this.standing.map(({ id }) => id).sort()) === JSON.stringify(ids),
    )
  }

  /** The connection ends, and what stood there is without an answer. */
  cut(): void {
    this.isOpen = false
    for (const each of [...this.standing]) each.fail(new FmtpError('FMTP_DISCONNECTED'))
  }

  get cursor(): number {
    return Number(this.database.get(keyOf.courier(list)) ?? 0)
  }

  get bulkCursor(): number {
    return Number(this.database.get(keyOf.courier(listOf.bulk(lenore))) ?? 0)
  }

  get isDue(): boolean {
    return this.database.get(keyOf.due(lenore)) !== undefined
  }

  async countRetries(sort: Sort = 'outbox'): Promise<number> {
    const scans = this.retryScans
    const rows = await this.database.scan(rangeOf('retry', listOf[sort](lenore)))
    this.retryScans = scans
    return rows.length
  }

  recordsOf(event: string): RigEvent['record'][] {
    return this.events.filter(each => each.event === event).map(({ record }) => record)
  }

  /** The worker has done what there was to do now, and sleeps or has ended. */
  async asleep(): Promise<void> {
    await waitUntil('it sleeps', () => this.clock.sleepers > 0 || this.courier.workers === 0)
  }

  /** Lets everything go on that waits for nothing but its turn. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < 50; turns++) await turn()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.database[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export function idOf(number: number): string {
  return `${number}.edgar@poe.net`
}
