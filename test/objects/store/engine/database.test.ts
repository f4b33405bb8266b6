import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { GroupBatch } from '../../../../objects/store/engine/group-commit.ts'
import type { Write } from '../../../../objects/store/engine/write.ts'
import {
  entriesAfter,
  keyOf,
  type ListName,
  lastPart,
  listOf,
  rangeOf,
} from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { assertCode } from '../../../support/conditions.ts'

const box = listOf.box('edgar@poe.net')
const append = (value: string, list: ListName = box): Write => ({
  appends: [{ list, value, bytes: value.length }],
})

describe('database', () => {
  let folder: string
  let database: Database
  let grown: ListName[][]

  const open = (): Promise<Database> =>
    openDatabase(
      folder,
      lists => grown.push([...lists]),
      () => 'epoch1',
    )

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-database-'))
    grown = []
    database = await open()
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Numbers and values of a list, as they stand on the disk. */
  async function entriesOf(list: ListName): Promise<[number, string][]> {
    const rows = await database.scan(entriesAfter(list, 0), { limit: 100_000 })
    return rows.map(([key, value]) => [Number(lastPart(key)), value])
  }

  const conditions: readonly (readonly [what: string, write: Write, isWritten: boolean])[] = [
    ['no condition', {}, true],
    ['absent, of a key that is not there', { absent: ['k2'] }, true],
    ['absent, of a key that is there', { absent: ['k1'] }, false],
    ['equals, with the value that is there', { equals: [['k1', 'v1']] }, true],
    ['equals, with another value', { equals: [['k1', 'v2']] }, false],
    ['equals, of a key that is not there', { equals: [['k2', 'v1']] }, false],
    ['two conditions, of which one fails', { equals: [['k1', 'v1']], absent: ['k1'] }, false],
  ]
  for (const [what, write, isWritten] of conditions) {
    it(`writes all or nothing of a write with ${what}`, async () => {
      await database.commit([{ puts: [['k1', 'v1']] }])
      const full = { ...write, puts: [['new', 'value']], dels: ['k1'], ...append('entry') } as Write
      assert.deepEqual(await database.commit([full]), [isWritten])
      assert.equal(database.get('new'), isWritten ? 'value' : undefined)
      assert.equal(database.get('k1'), isWritten ? undefined : 'v1')
      assert.deepEqual(database.head(box), isWritten ? { number: 1, bytes: 5 } : { number: 0, bytes: 0 })
      assert.deepEqual(await entriesOf(box), isWritten ? [[1, 'entry']] : [])
    })
  }

  it('fails one write of a group alone', async () => {
    const results = await Promise.all([
      database.commit([{ absent: ['k'], puts: [['k', 'first']] }]),
      database.commit([{ absent: ['k'], puts: [['k', 'second']] }, { puts: [['other', 'written']] }]),
      database.commit([append('entry')]),
    ])
    assert.deepEqual(results, [[true], [false, true], [true]])
    assert.deepEqual([database.get('k'), database.get('other')], ['first', 'written'])
  })

  it('lets later writes of a group see earlier ones: puts, deletions and heads', async () => {
    await database.commit([{ puts: [['gone', 'here']] }])
    const results = await database.commit([
      { puts: [['k', '1']], dels: ['gone'], ...append('a') },
      { equals: [['k', '1']], absent: ['gone'], puts: [['k', '2']], ...append('b') },
      { equals: [['k', '1']], puts: [['k', 'never']], ...append('never') },
      { equals: [['k', '2']], puts: [['gone', 'again']], ...append('c') },
    ])
    assert.deepEqual(results, [true, true, false, true])
    assert.equal(database.get('gone'), 'again')
    assert.deepEqual(await entriesOf(box), [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ])
  })

  it('lets writes that come while the disk has a batch see what is in it', async () => {
    await database.commit([{ puts: [['gone', 'here']] }, append('a')])
    const { write } = GroupBatch.prototype
    let isUnderWay = false
    const order: string[] = []
    try {
      let later: Promise<boolean[]>[] = []
      GroupBatch.prototype.write = async function (this: GroupBatch) {
        GroupBatch.prototype.write = write
        isUnderWay = true
        later = [
          database.commit([{ absent: ['k'], puts: [['k', 'other']] }]),
          database.commit([{ equals: [['k', 'first']], absent: ['gone'], ...append('c') }]),
          database.commit([{ equals: [[keyOf.head(box), '3 3']], puts: [['k', 'third']] }]),
          database.commit([{ equals: [['k', 'third']], dels: ['k'] }]),
        ]
        // Nobody else sees what is not on the disk.
        assert.equal(database.get('k'), undefined)
        assert.equal(database.head(box).number, 1)
        for (const each of later) void each.then(() => order.push('later'))
        await write.call(this)
      }
      const first = database.commit([{ puts: [['k', 'first']], dels: ['gone'], ...append('b') }])
      void first.then(() => order.push('first'))
      assert.deepEqual(await first, [true])
      assert.ok(isUnderWay)
      assert.deepEqual(await Promise.all(later), [[false], [true], [true], [true]])
    } finally {
      GroupBatch.prototype.write = write
    }
    assert.deepEqual(order, ['first', 'later', 'later', 'later', 'later'])
    assert.equal(database.get('k'), undefined)
    assert.deepEqual(await entriesOf(box), [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ])
  })

  it('numbers the entries of each list without gaps, whoever appends at once', async () => {
    const lists = [box, listOf.public('edgar@poe.net'), listOf.outbox('lenore.org')]
    await Promise.all(
      Array.from({ length: 600 }, async (_, at) => {
        // Some wait a turn, so that there are several groups.
        if (at % 7 === 0) await new Promise(setImmediate)
        const list = lists[at % 3] ?? box
        await database.commit([
          append(String(at), list),
          { absent: ['x'], equals: [['x', '']], ...append('no', list) },
        ])
      }),
    )
    for (const [index, list] of lists.entries()) {
      const entries = await entriesOf(list)
      assert.deepEqual(
        entries.map(([number]) => number),
        Array.from({ length: 200 }, (_, at) => at + 1),
      )
      const values = entries.map(([, value]) => Number(value)).sort((a, b) => a - b)
      assert.deepEqual(
        values,
        Array.from({ length: 200 }, (_, at) => at * 3 + index),
      )
      assert.equal(database.head(list).number, 200)
    }
  })

  it('lets one of many that want the same key have it', async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, at) => database.commit([{ absent: ['k'], puts: [['k', String(at)]] }])),
    )
    assert.equal(results.flat().filter(isWritten => isWritten).length, 1)
  })

  it('tells the lists that grew, after they did', async () => {
    await database.commit([
      append('a'),
      { absent: ['nothing'], equals: [['nothing', '']], ...append('b', listOf.thread('x')) },
    ])
    assert.deepEqual(grown, [[box]])
    await database.commit([{ puts: [['k', 'v']] }])
    assert.equal(grown.length, 1)
  })

  it('keeps what was acknowledged, and its epoch, when it is opened again', async () => {
    await database.commit([{ puts: [['k', 'v']] }, append('a'), append('b')])
    const { epoch } = database
    await database[Symbol.asyncDispose]()
    database = await open()
    assert.equal(database.get('k'), 'v')
    assert.deepEqual(database.head(box), { number: 2, bytes: 2 })
    await database.commit([append('c')])
    assert.deepEqual((await entriesOf(box)).at(-1), [3, 'c'])
    assert.equal(database.epoch, epoch)
  })

  it('lets others go on while somebody tries what can not be written again and again', async () => {
    let isOver = false
    setTimeout(() => {
      isOver = true
    }, 5)
    await database.commit([{ puts: [['k1', 'v1']] }])
    let tries = 0
    for (; !isOver && tries < 100_000; tries++)
      assert.deepEqual(await database.commit([{ absent: ['k1'], puts: [['k1', 'v2']] }]), [false])
    assert.ok(isOver)
  })

  it('writes what waits before it closes, and takes nothing after', async () => {
    const committed = database.commit([{ puts: [['k', 'v']] }])
    await database[Symbol.asyncDispose]()
    assert.deepEqual(await committed, [true])
    await assertCode('FMTP_SHUTTING_DOWN', () => database.commit([{ puts: [['k', 'w']] }]))
    database = await open()
    assert.equal(database.get('k'), 'v')
  })

  it('is open once', async () => {
    await assertCode('FMTP_STORE', open)
    assert.equal(database.get('nothing'), undefined)
  })

  it('of another version is not opened, and is let go of', async () => {
    await database.commit([{ puts: [[keyOf.meta('version'), '99']] }])
    await database[Symbol.asyncDispose]()
    await assertCode('FMTP_STORE', open)
    await assertCode('FMTP_STORE', open)
  })

  it('scans a range in order, from either end, by pages', async () => {
    await database.commit([
      { puts: [1, 2, 3].map(at => [keyOf.device('edgar@poe.net', `k${at}`), `${at}`] as const) },
    ])
    // The neighbours in the order of keys are no part of it.
    await database.commit([
      {
        puts: [
          [keyOf.device('edgar@poe.ne', 'k0'), 'x'],
          [keyOf.device('edgar@poe.neta', 'k9'), 'x'],
        ],
      },
    ])
    const range = rangeOf('device', 'edgar@poe.net')
    const values = async (options: { limit?: number; isReverse?: boolean }): Promise<string> =>
      (await database.scan(range, options)).map(([, value]) => value).join('')
    assert.equal(await values({}), '123')
    assert.equal(await values({ isReverse: true }), '321')
    assert.equal(await values({ limit: 2 }), '12')
  })

  it('gives the entries after any number, from memory as from the disk', async () => {
    const sizes = [1, 3, 200, 1, 128, 7]
    for (const size of sizes)
      await database.commit(Array.from({ length: size }, (_, at) => append(`${size} ${at}`)))
    await database.commit([append('of another list', listOf.box('lost@lenore.org'))])
    const all = (await entriesOf(box)).map(([number, value]) => ({ number, value }))
    assert.equal(all.length, 340)
    for (let after = 0; after <= all.length; after++) {
      for (const limit of [1, 5, 1000]) {
        assert.deepEqual(
          await database.entries(box, after, limit),
          all.slice(after, after + limit),
          `${after} ${limit}`,
        )
      }
    }
  })

  it('agrees with a plain Map, whatever is written in whatever groups', async () => {
    const key = fc.constantFrom('a', 'b', 'c')
    const value = fc.constantFrom('1', '2')
    const write = fc.record(
      {
        absent: fc.array(key, { maxLength: 1 }),
        equals: fc.array(fc.tuple(key, value), { maxLength: 1 }),
        puts: fc.array(fc.tuple(key, value), { maxLength: 2 }),
        dels: fc.array(key, { maxLength: 1 }),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(write, { maxLength: 4 }), { maxLength: 6 }), async groups => {
        await database.commit([{ dels: ['a', 'b', 'c'] }])
        const map = new Map<string, string>()
        const expected = groups.map(writes => writes.map(each => applyTo(map, each)))
        assert.deepEqual(await Promise.all(groups.map(writes => database.commit(writes))), expected)
        for (const name of ['a', 'b', 'c']) assert.equal(database.get(name), map.get(name))
      }),
      { numRuns: 60 },
    )
  })

  it('reads what was written last, whatever was read before', async () => {
    const list = listOf.box('bob@lenore.org')
    for (let at = 1; at <= 3; at++) {
      await database.commit([{ puts: [['a', `${at}`]], appends: [{ list, value: `${at}`, bytes: 1 }] }])
      assert.deepEqual([database.get('a'), database.get(`head ${list}`)], [`${at}`, `${at} ${at}`])
    }
    assert.deepEqual(await database.commit([{ equals: [[`head ${list}`, '2 2']], dels: ['a'] }]), [false])
    assert.deepEqual(await database.commit([{ equals: [[`head ${list}`, '3 3']], dels: ['a'] }]), [true])
    assert.equal(database.get('a'), undefined)
  })
})

function applyTo(map: Map<string, string>, write: Write): boolean {
  if ((write.absent ?? []).some(key => map.has(key))) return false
  if ((write.equals ?? []).some(([key, value]) => map.get(key) !== value)) return false
  for (const [key, value] of write.puts ?? []) map.set(key, value)
  for (const key of write.dels ?? []) map.delete(key)
  return true
}
