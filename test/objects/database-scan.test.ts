/** Reading ranges of the database: pages are full unless the range ends. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../objects/database.ts'
import { entriesAfter, listOf } from '../../objects/layout.ts'

describe('Database.scan', () => {
  let folder: string
  let database: Database

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-scan-'))
    database = await Database.open(
      folder,
      () => undefined,
      () => 'epoch',
    )
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  it('gives as many entries as were asked for, whatever their size', async () => {
    const list = listOf.box('edgar@poe.net')
    const appends = Array.from({ length: 600 }, () => ({ list, value: 'x'.repeat(1000), bytes: 1000 }))
    await database.commit([{ appends }])
    const sizes = [1, 100, 599, 600, 601].map(async limit => {
      const rows = await database.scan(entriesAfter(list, 0), { limit })
      return rows.length
    })
    assert.deepEqual(await Promise.all(sizes), [1, 100, 599, 600, 600])
  })
})
