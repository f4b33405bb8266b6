/**
 * A batch that fails: whether it is on the disk all the same or not, the store goes on with what is there. The disk that
 * fails is played by the batch, since no disk says after a write that its sync failed.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { GroupBatch } from '../../../../objects/store/engine/group-commit.ts'
import { keyOf, listOf, rangeOf } from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { FmtpError } from '../../../../schemas/failures.ts'
import { assertCode, waitUntil } from '../../../support/conditions.ts'

const list = listOf.box('edgar@poe.net')
const append = (value: string) => ({ appends: [{ list, value, bytes: 5 }] })
const { write } = GroupBatch.prototype

describe('a write that fails', () => {
  let folder: string
  let database: Database
  let told: string[]
  let grown: string[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-failed-'))
    told = []
    grown = []
    database = await openDatabase(
      folder,
      lists => grown.push(...lists),
      () => 'epoch',
      { onFailed: () => told.push('failed'), onReopened: () => told.push('reopened') },
    )
    await database.commit([append('first')])
    grown = []
  })

  afterEach(async () => {
    GroupBatch.prototype.write = write
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** The next batch fails, before it is written or after. */
  function failNext(isWritten: boolean): void {
    GroupBatch.prototype.write = async function (this: GroupBatch) {
      GroupBatch.prototype.write = write
      if (isWritten) await write.call(this)
      else await this.close()
      await turn()
      throw new Error('EIO: fdatasync')
    }
  }

  const reopened = (): Promise<true> => waitUntil('it is open again', () => told.includes('reopened'))

  for (const isWritten of [true, false]) {
    it(`and ${isWritten ? 'is on the disk all the same' : 'is not on the disk'}`, async () => {
      failNext(isWritten)
      await assertCode('FMTP_STORE', () => database.commit([append('second')]))
      await reopened()
      const values = isWritten ? ['first', 'second'] : ['first']
      assert.deepEqual(database.head(list), { number: values.length, bytes: 5 * values.length })
      assert.deepEqual(await database.commit([append('third')]), [true])
      const entries = await database.entries(list, 0, 10)
      assert.deepEqual(
        entries.map(({ number, value }) => [number, value]),
        [...values, 'third'].map((value, index) => [index + 1, value]),
      )
      assert.deepEqual(told, ['failed', 'reopened'])
      // Whoever follows looks again.
      assert.deepEqual(grown, [list, list])
    })
  }

  it('fails all that waits, and all that comes until the store is open again', async () => {
    failNext(false)
    const first = database.commit([append('a')])
    // The first batch is under way now, and what comes waits for the next.
    await Promise.resolve()
    const results = await Promise.allSettled([
      first,
      database.commit([{ puts: [['b', 'b']] }]),
      database.commit([{ puts: [['c', 'c']], isRelaxed: true }]),
    ])
    const late = await database.commit([append('late')]).catch((thrown: unknown) => thrown)
    for (const thrown of [...results.map(each => each.status === 'rejected' && each.reason), late]) {
      assert.ok(thrown instanceof FmtpError, String(thrown))
      assert.equal(thrown.code, 'FMTP_STORE')
      assert.ok((thrown.retryAfterMs ?? 0) >= 1000)
    }
    await reopened()
    assert.deepEqual(await database.commit([append('again')]), [true])
  })

  it('fails what was looked at meanwhile, as if it had been written', async () => {
    let fail = (): void => undefined
    GroupBatch.prototype.write = async function (this: GroupBatch) {
      GroupBatch.prototype.write = write
      await this.close()
      await new Promise<void>(resolve => {
        fail = resolve
      })
      throw new Error('EIO: fdatasync')
    }
    const first = database.commit([{ ...append('a'), puts: [['k', 'first']] }])
    await turn()
    const onIt = [
      database.commit([{ equals: [['k', 'first']], puts: [['k', 'second']] }]),
      database.commit([{ absent: ['k'], puts: [['k', 'other']] }]),
      database.commit([append('b')]),
    ]
    fail()
    const results = await Promise.allSettled([first, ...onIt])
    for (const each of results) {
      assert.ok(each.status === 'rejected' && each.reason instanceof FmtpError, each.status)
      assert.equal(each.reason.code, 'FMTP_STORE')
    }
    await reopened()
    assert.equal(database.get('k'), undefined)
    assert.deepEqual(await database.commit([{ absent: ['k'], ...append('again') }]), [true])
    assert.deepEqual(database.head(list), { number: 2, bytes: 10 })
  })

  it('does not disturb who reads meanwhile, but for a moment', async () => {
    await database.commit(
      Array.from({ length: 3000 }, (_, at) => ({ puts: [[keyOf.token(`${at}`), 'x']] as const })),
    )
    failNext(false)
    const failing = assertCode('FMTP_STORE', () => database.commit([append('second')]))
    const scans: Promise<number>[] = []
    while (!told.includes('reopened')) {
      scans.push(database.scan(rangeOf('token'), { limit: 10_000 }).then(rows => rows.length))
      try {
        assert.equal(database.get(keyOf.token('1')), 'x')
      } catch (thrown) {
        assert.ok(thrown instanceof FmtpError && thrown.code === 'FMTP_BUSY', String(thrown))
      }
      await turn()
    }
    await failing
    assert.deepEqual(new Set(await Promise.all(scans)), new Set([3000]))
  })

  it('is no reason to wait when the store is closed', async () => {
    failNext(false)
    await assertCode('FMTP_STORE', () => database.commit([append('second')]))
    await database[Symbol.asyncDispose]()
    await assertCode('FMTP_SHUTTING_DOWN', () => database.commit([append('third')]))
    await assertCode('FMTP_SHUTTING_DOWN', () => database.get('any'))
  })

  it('because of who asks for it leaves the store as it is', async () => {
    const record = {
      key: 'k',
      valueAt: () => {
        throw new FmtpError('FMTP_BAD_OBJECT')
      },
    }
    const wrong = { appends: [{ list, value: 'wrong', bytes: 1, record }] }
    await assertCode('FMTP_BAD_OBJECT', () => database.commit([wrong]))
    assert.deepEqual(await database.commit([append('second')]), [true])
    assert.deepEqual(told, [])
  })
})
