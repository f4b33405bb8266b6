/** `fmtp verify`: finds nothing where all is well, and each row that is missing, changed or added; `--repair` mends it. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from '../../../objects/store/engine/database.ts'
import type { Row } from '../../../objects/store/engine/leveldb.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../../objects/store/layout.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { openCore } from '../../../server/core/core.ts'
import type { ActionPorts } from '../../../server/operator/action.ts'
import { repair } from '../../../server/verify/repair.ts'
import { type VerifyResult, verifyStore } from '../../../server/verify/verify.ts'
import { assertCode, waitUntil } from '../../support/conditions.ts'
import { Network, type TestServer } from '../../support/network.ts'
import { populate } from '../../support/populate.ts'

const ports = (): ActionPorts => ({ onProgress: () => undefined, signal: new AbortController().signal })

describe('verify', function () {
  this.timeout(60_000)
  let network: Network
  let home: TestServer
  let rows: readonly Row[]

  before(async () => {
    network = await Network.start()
    home = (await populate(network)).home
    const { accounts } = home.running
    const bob = parseAddress('bob@lenore.org')
    await accounts.create(bob)
    await accounts.leavers.begin(bob, false)
    await waitUntil('bob is gone', () => accounts.leavers.find(bob)?.endedAtMs !== undefined)
  })

  after(() => network[Symbol.asyncDispose]())

  it('finds nothing beside a running server, and counts what it read', async () => {
    const { running, config } = home
    const core = { ...running, config, clock: network.clock, database: running.store.database }
    const result = await verifyStore(core, ports())
    assert.deepEqual(result.found, [])
    assert.equal(result.blobs.files, 2)
    assert.ok(result.signatures > 12)
    for (const word of ['object', 'boxed', 'newest', 'unjoined', 'cached', 'kept', 'listed'])
      assert.ok((result.rows[word] ?? 0) > 0, `no ${word}`)
  })

  it('is not mended under a server', () => assertCode('FMTP_STORE', () => repair(home.config.file, ports())))

  describe('of a store that nobody has', () => {
    const open = (): Promise<Database> =>
      openDatabase(
        home.config.data,
        () => undefined,
        () => 'epoch',
      )

    async function readRows(): Promise<readonly Row[]> {
      await using database = await open()
      return await database.scan({ gt: '', lt: '~' }, { limit: 100_000 })
    }

    async function tamper(puts: readonly Row[], dels: readonly string[] = []): Promise<void> {
      await using database = await open()
      await database.commit([{ puts, dels }])
    }

    /** The store as it was at first. */
    async function reset(): Promise<void> {
      await using database = await open()
      const now = await database.scan({ gt: '', lt: '~' }, { limit: 100_000 })
      const [keys, before] = [new Set(rows.map(([key]) => key)), new Map(now)]
      const puts = rows.filter(([key, value]) => before.get(key) !== value)
      const dels = now.map(([key]) => key).filter(key => !keys.has(key))
      await database.commit([{ puts, dels, isRelaxed: true }])
    }

    async function look(puts: readonly Row[] = [], dels: readonly string[] = []): Promise<VerifyResult> {
      await using core = await openCore(home.config)
      await core.database.commit([{ puts, dels, isRelaxed: true }])
      return await verifyStore(core, ports())
    }

    before(async () => {
      await network.stop('lenore.org')
      const [queued = '', entry = ''] =
        (await readRows()).find(([key]) => key.startsWith('entry outbox nowhere')) ?? []
      const kept = { attempts: 1, firstAtMs: 5, atMs: 5, dueAtMs: 7, notBeforeMs: 5 }
      const retry = keyOf.retry(listOf.outbox('nowhere.example'), 7, Number(lastPart(queued)))
      await tamper([[retry, JSON.stringify({ entry: JSON.parse(entry), ...kept })]])
      rows = await readRows()
    })

    afterEach(reset)

    /** Words of which a missing row says nothing by itself. */
    const silent =
      /^(digest|foreign|leaving|token|peer|introduced|courier|retry|due|absent|resealing|device|meta|waiting)$/
    /** Rows whose value is another by itself, or is not known any more. */
    const changeless = /^(leaving|meta)$/
    const rowOf = (word: string): readonly Row[] => rows.filter(([key]) => key.startsWith(`${word} `))
    const words = [
      ...['boxed', 'newest', 'entry', 'head', 'unjoined', 'waiting', 'digest', 'spoke', 'kept', 'expires'],
      ...['foreign', 'cached', 'used', 'attached', 'blob', 'uploaded', 'loose', 'credential', 'view'],
      ...['device', 'retention', 'listed', 'skeleton', 'token', 'introduced', 'courier', 'retry', 'due'],
      ...['peer', 'gone'],
    ]

    async function assertMended(
      what: string,
      puts: readonly Row[],
      dels: readonly string[] = [],
    ): Promise<void> {
      const found = await look(puts, dels)
      assert.ok(found.findings > 0, `${what}: nothing was found`)
      const mended = await repair(home.config.file, ports())
      // What nobody here can make again is put aside, and stays told.
      const left = mended.found.filter(({ code }) => code !== 'object-aside' || !/credential|view/.test(what))
      assert.deepEqual(left, [], what)
      await reset()
    }

    for (const word of words) {
      it(`finds and mends ${word} rows that are missing, changed or added`, async () => {
        const some = rowOf(word)
        assert.ok(some.length > 0)
        // One of each sort of list, and else one.
        const sorts = new Map(
          some.map(row => [word.match(/^(entry|newest|head)$/) ? row[0].split(' ')[1] : '', row]),
        )
        for (const [key, value] of sorts.values()) {
          if (!silent.test(word)) {
            await assertMended(`${key} is missing`, [], [key])
          }
          for (const other of ['', '{"id', '{}', `${value}0`]) {
            if (changeless.test(word) || (other === value && other === '')) continue
            // More digits of a number may be a number.
            if (other.endsWith('0') && (silent.test(word) || word === 'loose')) continue
            await assertMended(`${key} says ${other} for ${value}`, [[key, other]])
          }
        }
        const added =
          some[0]?.[0].replace(/[^ ]+$/, last => (word === 'head' ? `${last}x` : `9${last}`)) ?? ''
        if (word === 'head' || word === 'due' || word === 'peer' || word === 'blob') return
        await assertMended(`${added} is added`, [[added, some[0]?.[1] ?? '']])
      })
    }

    it('finds and puts aside objects that are not what was sealed, and keeps their places', async () => {
      for (const id of ['1.lost@lenore.org', '1.edgar@poe.net', '2.edgar@poe.net']) {
        const [key = '', text = ''] = rowOf('object').find(([each]) => each === `object ${id}`) ?? []
        await tamper([[key, text.replace('Nevermore', 'Evermore')]])
        assert.deepEqual((await look()).codes, { 'object-damaged': 1 })
        const mended = await repair(home.config.file, ports())
        assert.deepEqual(mended.codes, { 'object-aside': 1 })
        // It comes again.
        await tamper([[key, text]], [`damaged ${key}`])
        assert.deepEqual((await look()).found, [])
      }
    })

    it('finds a signature that is of another key', async () => {
      const [key = '', text = ''] = rowOf('object').find(([each]) => each.includes('1.alice@')) ?? []
      const hash = (JSON.parse(text) as { hash: string }).hash
      const other = `${hash.slice(0, -20)}${'A'.repeat(18)}${hash.slice(-2)}`
      await tamper([[key, text.replace(hash, other)]])
      assert.deepEqual((await look()).codes, { 'object-damaged': 1 })
    })

    it('finds rows of no sort that is known, and rows that say nothing of a user', async () => {
      await tamper([['obkect 1.lost@lenore.org', '{}']])
      assert.deepEqual((await look()).codes, { 'key-unknown': 1 })
      assert.deepEqual((await repair(home.config.file, ports())).codes, { 'object-aside': 1 })
      await reset()
      await tamper([], ['account lost@lenore.org'])
      const { codes } = await look()
      assert.deepEqual(codes, { 'account-damaged': 1 })
      const { found } = await repair(home.config.file, ports())
      assert.deepEqual(
        found.map(({ code }) => code),
        ['account-damaged'],
      )
    })

    it('finds blobs that are damaged, missing or unknown', async () => {
      const [name = ''] = rowOf('blob').map(([key]) => key.slice('blob '.length))
      const blobs = join(home.config.data, 'blobs')
      const file = join(blobs, name.slice(0, 2), name.slice(2))
      writeFileSync(file, 'x')
      assert.deepEqual((await look()).codes, { 'blob-damaged': 1 })
      const { codes, before } = await repair(home.config.file, ports())
      assert.deepEqual([before, codes], [{ 'blob-damaged': 1 }, { 'blob-missing': 1 }])
      await tamper([], [rowOf('blob')[0]?.[0] ?? ''])
      assert.ok((await look()).findings > 0)
    })

    it('is as it was: every sort of row was looked at', () => {
      assert.ok(rowOf('object').length > 10)
      assert.ok(rows.some(([key]) => key >= rangeOf('view').gt))
    })
  })
})
