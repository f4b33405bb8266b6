/** How far peers have delivered (protocol §10.6): what is kept of it, what it costs, and with which place is asked. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { keyOf } from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { limits } from '../../../../schemas/limits.ts'
import { parseDomain } from '../../../../schemas/text/names.ts'
import { Received, readPlaces } from '../../../../server/delivery/resync/received.ts'
import { MovableClock } from '../../../support/clock.ts'
import { waitUntil } from '../../../support/conditions.ts'

const dayMs = 86_400_000

describe('Received', () => {
  const lenore = parseDomain('lenore.org')
  const poe = parseDomain('poe.net')
  let folder: string
  let database: Database
  let clock: MovableClock
  let received: Received
  let commits: number

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-received-'))
    database = await openDatabase(
      folder,
      () => undefined,
      () => 'epoch',
    )
    commits = 0
    const commit = database.commit.bind(database)
    database.commit = writes => {
      commits++
      return commit(writes)
    }
    clock = new MovableClock()
    begin()
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  function begin(): void {
    received = new Received({ database, clock, onFailed: thrown => assert.fail(String(thrown)) })
  }

  /** What is kept, and for how many days. */
  function kept(): (readonly [cursor: string, days: number])[] {
    const row = readPlaces(database.get(keyOf.from(lenore, poe)) ?? '')
    return (row?.places ?? []).map(({ cursor, atMs }) => [cursor, Math.round((clock.now() - atMs) / dayMs)])
  }

  async function note(cursor: string): Promise<void> {
    received.note(lenore, poe, cursor)
    await waitUntil('it is written', () => kept().some(([each]) => each === cursor))
  }

  /** As a restore leaves the store, with a backup of now. */
  async function restore(backupAtMs = clock.now()): Promise<void> {
    const restored = { atMs: clock.now(), backupAtMs }
    await database.commit([{ puts: [[keyOf.meta('restored'), JSON.stringify(restored)]] }])
    begin()
  }

  it('writes once a day, however much comes', async () => {
    await note('a.1')
    for (let number = 2; number <= 20_000; number++) received.note(lenore, poe, `a.${number}`)
    clock.advance(dayMs - 1000)
    received.note(lenore, poe, 'a.20001')
    assert.equal(commits, 1)
    clock.advance(1000)
    await note('a.20002')
    assert.equal(commits, 2)
    begin()
    received.note(lenore, poe, 'a.20003')
    assert.equal(commits, 2)
    assert.deepEqual(kept(), [
      ['a.1', 1],
      ['a.20002', 0],
    ])
  })

  it('keeps a week, and a place that is old enough before it', async () => {
    for (let day = 0; day < 20; day++) {
      await note(`a.${day}`)
      clock.advance(dayMs)
    }
    assert.deepEqual(
      kept().map(([cursor]) => cursor),
      [13, 14, 15, 16, 17, 18, 19].map(day => `a.${day}`),
    )
    clock.advance(30 * dayMs)
    await note('a.20')
    assert.deepEqual(
      kept().map(([cursor]) => cursor),
      ['a.19', 'a.20'],
    )
  })

  it('begins anew with the epoch of a peer, at most once a minute', async () => {
    await note('a.1')
    clock.advance(60_000)
    for (let at = 0; at < 1000; at++) received.note(lenore, poe, `${at % 2 === 0 ? 'b' : 'c'}.${at}`)
    assert.equal(commits, 2)
    await waitUntil('it is written', () => kept()[0]?.[0] === 'b.0')
    assert.equal(kept().length, 1)
  })

  it('asks with a place from before all that may have been put off when the backup was made', async () => {
    for (let day = 0; day < 10; day++) {
      await note(`a.${day}`)
      clock.advance(dayMs)
    }
    const backupAtMs = clock.now()
    assert.ok(limits.placesBackMs >= limits.outboxMs + dayMs)
    clock.advance(20 * dayMs)
    await restore(backupAtMs)
    assert.equal(received.isOwed(lenore, poe), true)
    assert.equal(received.placeBefore(lenore, poe), 'a.4')
    // What comes before the question must not take the place away.
    received.note(lenore, poe, 'a.99')
    await database.commit([{ puts: [[keyOf.meta('later'), '']] }])
    assert.equal(received.placeBefore(lenore, poe), 'a.4')
    await received.noteAsked(lenore, poe)
    assert.equal(received.isOwed(lenore, poe), false)
    begin()
    assert.equal(received.isOwed(lenore, poe), false)
    await note('a.100')
    assert.equal(received.isOwed(lenore, poe), false)
  })

  it('asks from the start whom it has no old place of, for thirty days', async () => {
    await note('a.1')
    await restore()
    assert.equal(received.placeBefore(lenore, poe), undefined)
    assert.equal(received.isOwed(lenore, parseDomain('raven.example')), true)
    clock.advance(limits.restoredMs)
    begin()
    assert.equal(received.isOwed(lenore, poe), false)
  })

  it('takes a row that is none for nothing', async () => {
    for (const text of ['', 'x', '[]', '{}', '{"places":[1]}', '{"places":[{"cursor":1,"atMs":1}]}'])
      assert.equal(readPlaces(text), undefined, text)
    await database.commit([{ puts: [[keyOf.from(lenore, poe), 'damaged']] }])
    await note('a.1')
  })
})
