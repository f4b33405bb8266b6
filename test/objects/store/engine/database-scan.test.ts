/** Reading ranges of the database: pages are full unless the range ends. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { writeStore } from '../../../../objects/store/engine/leveldb.ts'
import { entriesAfter, listOf, rangeOf } from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'

describe('Database.scan', () => {
  let folder: string
  let database: Database

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-scan-'))
    database = await openDatabase(
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

describe('Database.snapshot', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-snapshot-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const open = (name: string): Promise<Database> =>
    openDatabase(
      join(folder, name),
      () => undefined,
      () => 'epoch',
    )

  it('gives all rows of its moment and none that came later, in order, also as another store', async () => {
    await using database = await open('data')
    const name = (at: number): string => `object ${String(at).padStart(5, '0')}`
    await database.commit([{ puts: Array.from({ length: 2500 }, (_, at) => [name(at * 2), 'old'] as const) }])
    await using snapshot = database.snapshot()
    await database.commit([{ puts: Array.from({ length: 5000 }, (_, at) => [name(at), 'new'] as const) }])
    assert.equal(await snapshot.count(new AbortController().signal), 2502)
    async function* later() {
      for await (const rows of snapshot.batches()) {
        await database.commit([{ puts: [['object 99999', 'new']], dels: [name(4998)] }])
        yield rows
      }
    }
    mkdirSync(join(folder, 'copy'))
    await writeStore(join(folder, 'copy', 'store'), later())
    await using copy = await open('copy')
    const rows = await copy.scan(rangeOf('object'), { limit: 10_000 })
    assert.deepEqual(
      rows,
      Array.from({ length: 2500 }, (_, at) => [name(at * 2), 'old']),
    )
    assert.equal(copy.get('meta epoch'), 'epoch')
  })
})
