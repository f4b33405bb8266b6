/** Following a list (docs/architecture.md): by hints, which may come at any moment, and without them now and then. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { systemClock } from '../../../../objects/clock.ts'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { createHints, type Hints } from '../../../../objects/store/hints.ts'
import { listOf } from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { Store } from '../../../../objects/store/store.ts'
import { FmtpError } from '../../../../schemas/failures.ts'
import { follow } from '../../../../server/exchange/reading/follow.ts'
import { MovableClock } from '../../../support/clock.ts'
import { waitUntil } from '../../../support/conditions.ts'

const list = listOf.box('edgar@poe.net')
const followMs = 60_000

describe('follow', () => {
  let folder: string
  let database: Database
  let hints: Hints
  let isHinting: boolean

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-follow-'))
    hints = createHints()
    isHinting = true
    database = await openDatabase(
      folder,
      lists => isHinting && hints.notify(lists),
      () => 'epoch',
    )
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const append = (): Promise<boolean[]> => database.commit([{ appends: [{ list, value: '{}', bytes: 1 }] }])

  /** Follows until `stop`, and notes up to where it has read. Of the entries those behind `ended` have gone. */
  function start(onRead: () => Promise<void> = async () => undefined, ended = Number.POSITIVE_INFINITY) {
    const clock = new MovableClock()
    const stopping = new AbortController()
    const read: number[] = []
    const ports = { store: new Store(database), hints, clock, followMs }
    const done = follow(list, 0, ports, stopping.signal, async () => {
      const { number } = database.head(list)
      read.push(number)
      await onRead()
      if (read.length > 100) throw new Error('it reads without end')
      return { last: Math.min(number, ended), isComplete: true }
    })
    const stop = async (): Promise<void> => {
      stopping.abort()
      await done
      await waitUntil('nobody sleeps', () => clock.sleepers === 0)
    }
    return { clock, read, stop, done }
  }

  it('reads on with each hint, and ends with its signal', async () => {
    const { read, stop } = start()
    for (const number of [1, 2, 3]) {
      await append()
      await waitUntil(`it has read ${number}`, () => read.at(-1) === number)
    }
    await stop()
    await append()
    assert.deepEqual(read, [1, 2, 3])
  })

  it('does not miss what comes while it reads', async () => {
    let isFirst = true
    const { read, stop } = start(async () => {
      if (isFirst) {
        isFirst = false
        await append()
      }
    })
    await append()
    await waitUntil('it has read both', () => read.at(-1) === 2)
    await stop()
  })

  it('finds without a hint what has come, again and again', async () => {
    const { clock, read, stop } = start()
    isHinting = false
    for (const number of [1, 2]) {
      await append()
      assert.equal(read.length, number - 1)
      await waitUntil('it sleeps', () => clock.sleepers === 1)
      clock.advance(followMs)
      await waitUntil(`it has read ${number}`, () => read.at(-1) === number)
    }
    await stop()
  })

  it('reads once where the last entry has gone, and what comes behind it', async () => {
    const { clock, read, stop } = start(undefined, 0)
    await append()
    await append()
    await waitUntil('it sleeps', () => read.length > 0 && clock.sleepers === 1)
    await turn()
    const before = read.length
    assert.ok(before <= 2, `${before} reads`)
    await append()
    await waitUntil('it has read the third', () => read.at(-1) === 3)
    await stop()
  })

  it('leaves turns to others while it reads pages that are full', async () => {
    const stopping = new AbortController()
    let pages = 0
    let turns = 0
    const count = (): void => {
      turns++
      if (!stopping.signal.aborted) setImmediate(count)
    }
    await database.commit(Array.from({ length: 200 }, () => ({ appends: [{ list, value: '{}', bytes: 1 }] })))
    const ports = { store: new Store(database), hints, clock: new MovableClock(), followMs }
    setImmediate(count)
    const done = follow(list, 0, ports, stopping.signal, async after => {
      pages++
      if (after + 1 === 200) stopping.abort()
      return { last: after + 1, isComplete: false }
    })
    await done
    assert.ok(pages === 200 && turns >= pages - 1, `${pages} pages, ${turns} turns`)
  })

  it('reads on where it was when the store is busy in the middle', async () => {
    const stopping = new AbortController()
    const clock = new MovableClock()
    const ports = { store: new Store(database), hints, clock, followMs }
    for (let at = 0; at < 3; at++) await append()
    const read: number[] = []
    const done = follow(list, 0, ports, stopping.signal, async after => {
      read.push(after)
      if (read.length === 2) throw new FmtpError('FMTP_BUSY')
      return { last: after + 1, isComplete: after + 1 === 3 }
    })
    await waitUntil('it waits', () => clock.sleepers === 2)
    clock.advance(500)
    await waitUntil('it has read all', () => read.length === 4)
    assert.deepEqual(read, [0, 1, 1, 2])
    stopping.abort()
    await done
  })

  it('ends with an error of its reader, and then sleeps no longer than once', async () => {
    const { clock, done } = start(() => Promise.reject(new Error('no')))
    await append()
    await assert.rejects(done, /no/)
    clock.advance(followMs)
    await turn()
    assert.equal(clock.sleepers, 0)
  })
})

describe('the clock of the machine', () => {
  it('wakes a sleeper in time, or when its signal says so', async () => {
    const startMs = performance.now()
    await systemClock.sleep(30)
    assert.ok(performance.now() - startMs >= 28)
    const waking = new AbortController()
    const sleeping = systemClock.sleep(60_000, waking.signal)
    waking.abort()
    await sleeping
    await systemClock.sleep(60_000, waking.signal)
    assert.ok(performance.now() - startMs < 10_000)
  })
})
