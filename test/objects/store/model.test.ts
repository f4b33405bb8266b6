/**
 * The store against a plain Map: whatever is published, edited, deleted, boxed, taken out, kept and fetched, in whatever
 * order and over reopenings, lists in both orders are a sort of the map, and `fmtp verify` would find nothing.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { systemClock } from '../../../objects/clock.ts'
import { markNonce } from '../../../objects/mark.ts'
import { sealObject, type VerifiedObject } from '../../../objects/seals/seal.ts'
import { box } from '../../../objects/store/box.ts'
import type { Database } from '../../../objects/store/engine/database.ts'
import { keyOf, type ListName, listOf } from '../../../objects/store/layout.ts'
import { describe as describeObject } from '../../../objects/store/new-version.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { isHeld, leaveBox, removeUnheld } from '../../../objects/store/removal.ts'
import { Store } from '../../../objects/store/store.ts'
import { keepFetched } from '../../../routing/lookup/found-cache.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import type { Name } from '../../../schemas/text/names.ts'
import { Accounts } from '../../../server/accounts/accounts.ts'
import type { LoadedConfig } from '../../../server/config/load.ts'
import { verifyStore } from '../../../server/verify/verify.ts'
import { handDomain, handUser } from '../../support/hand.ts'

const lenore = handDomain('lenore.org')
const lost = handUser(lenore, 'lost@lenore.org')
const edgar = handUser(handDomain('poe.net'), 'edgar@poe.net')
const users = ['lost@lenore.org', 'alice@lenore.org'] as const
const startMs = 1_700_000_000_000

/** What the map knows of an object. */
interface Known {
  verified: VerifiedObject
  /** Version by user who has it in the box. */
  readonly boxes: Map<string, number>
  readonly isOurs: boolean
  isDeleted: boolean
  isCached: boolean
}

class Model {
  readonly objects = new Map<string, Known>()
  readonly kept = new Set<string>()
}

class Real {
  readonly #folder: string
  database: Database
  store: Store

  private constructor(folder: string, database: Database) {
    this.#folder = folder
    this.database = database
    this.store = new Store(database)
  }

  static async open(folder: string): Promise<Real> {
    const database = await openStore(folder)
    const puts = users.map(user => [keyOf.account(user), '{}'] as const)
    await database.commit([{ puts }])
    return new Real(folder, database)
  }

  async reopen(): Promise<void> {
    await this.database[Symbol.asyncDispose]()
    this.database = await openStore(this.#folder)
    this.store = new Store(this.database)
  }
}

function openStore(folder: string): Promise<Database> {
  return openDatabase(
    folder,
    () => undefined,
    () => 'epoch',
  )
}

const idOf = (at: number, isOurs: boolean): string => `${at}.${isOurs ? lost.address : edgar.address}`

function seal(at: number, isOurs: boolean, version: number, members: object): VerifiedObject {
  const { address: owner } = isOurs ? lost : edgar
  const createdAt = new Date(startMs + (at % 7)).toISOString()
  const whole = {
    id: idOf(at, isOurs),
    kind: 'post',
    owner,
    createdAt,
    version: startMs + version,
    ...members,
  }
  return sealObject(whole as unknown as Unsealed, isOurs ? lost : edgar)
}

/** One of the things that happen; it changes the store and the map alike. */
type Step = (model: Model, real: Real) => Promise<void>

async function write(
  real: Real,
  verified: VerifiedObject,
  coming: 'made' | 'taken',
  boxes: readonly string[],
) {
  const { store, database } = real
  const { object, atRest } = verified
  const change = describeObject(verified, store.findBefore(object.id), coming, store)
  for (const address of boxes) {
    const bytes = address === object.owner ? 0 : atRest.length
    const boxed = store.findBoxedText(address, object.id)
    box(change, object, { address, bytes, nowMs: startMs, boxed }, database)
  }
  assert.deepEqual(await database.commit([change]), [true])
}

function note(model: Model, verified: VerifiedObject, isOurs: boolean, boxes: readonly string[]): Known {
  const { object } = verified
  const known = model.objects.get(object.id) ?? {
    verified,
    boxes: new Map<string, number>(),
    isOurs,
    isDeleted: false,
    isCached: false,
  }
  known.verified = verified
  known.isDeleted = object.deleted === true
  for (const address of boxes) known.boxes.set(address, object.version)
  model.objects.set(object.id, known)
  return known
}

const things = 4
const at = fc.nat({ max: things - 1 })
const someUsers = fc.subarray([...users])

const publish = fc.record({ at, isPublic: fc.boolean(), to: someUsers, ends: fc.boolean() }).map(
  ({ at: number, isPublic, to, ends }): Step =>
    async (model, real) => {
      const before = model.objects.get(idOf(number, true))
      if (before?.isDeleted === true) return
      const version = (before?.verified.object.version ?? startMs) - startMs + 1
      const expiresAt = ends ? { expiresAt: new Date(startMs + number).toISOString() } : {}
      const verified = seal(number, true, version, {
        title: 'x'.repeat(version % 50),
        public: isPublic,
        ...expiresAt,
      })
      const boxes = [...new Set([lost.address as string, ...to])]
      await write(real, verified, 'made', boxes)
      note(model, verified, true, boxes)
    },
)

const take = fc.record({ at, to: someUsers }).map(
  ({ at: number, to }): Step =>
    async (model, real) => {
      const before = model.objects.get(idOf(number, false))
      if (to.length === 0 || before?.isDeleted === true) return
      const version = (before?.verified.object.version ?? startMs) - startMs + 1
      const verified = seal(number, false, version, { title: 'taken' })
      await write(real, verified, 'taken', to)
      note(model, verified, false, to).isCached = false
    },
)

const remove = fc.record({ at, isOurs: fc.boolean() }).map(
  ({ at: number, isOurs }): Step =>
    async (model, real) => {
      const before = model.objects.get(idOf(number, isOurs))
      if (before === undefined || before.isDeleted || before.boxes.size === 0) return
      const version = before.verified.object.version - startMs + 1
      const { public: isPublic } = before.verified.object
      const verified = seal(number, isOurs, version, {
        deleted: true,
        ...(isPublic === undefined ? {} : { public: isPublic }),
      })
      const boxes = [...before.boxes.keys()]
      await write(real, verified, isOurs ? 'made' : 'taken', boxes)
      note(model, verified, isOurs, boxes)
    },
)

const fetchOne = at.map(
  (number): Step =>
    async (model, real) => {
      const before = model.objects.get(idOf(number, false))
      if (before?.isDeleted === true) return
      const version = (before?.verified.object.version ?? startMs) - startMs + 1
      const verified = seal(number, false, version, { title: 'fetched' })
      await keepFetched(real.store, verified, startMs + version)
      const known = note(model, verified, false, [...(before?.boxes.keys() ?? [])])
      known.isCached = known.boxes.size === 0
    },
)

const unbox = fc.record({ at, isOurs: fc.boolean(), user: fc.constantFrom(...users) }).map(
  ({ at: number, isOurs, user }): Step =>
    async (model, real) => {
      const id = idOf(number, isOurs)
      const known = model.objects.get(id)
      // What is deleted stays in every box that had it.
      if (known === undefined || known.isDeleted) return
      assert.equal(await leaveBox(real.store, id, user), known.boxes.delete(user))
    },
)

/** What expiry, retention and eviction end in. */
const evict = fc.record({ at, isOurs: fc.boolean(), isUnboxed: fc.boolean() }).map(
  ({ at: number, isOurs, isUnboxed }): Step =>
    async (model, real) => {
      const id = idOf(number, isOurs)
      const known = model.objects.get(id)
      if (isUnboxed && known?.isDeleted === false)
        for (const user of users) assert.equal(await leaveBox(real.store, id, user), known.boxes.delete(user))
      const isKept = (known?.boxes.size ?? 0) > 0 || model.kept.has(id)
      assert.equal(await isHeld(real.store, id), isKept)
      await removeUnheld(real.store, id)
      if (!isKept) model.objects.delete(id)
    },
)

const mark = fc.record({ at, isOurs: fc.boolean(), kept: fc.boolean() }).map(
  ({ at: number, isOurs, kept }): Step =>
    async (model, real) => {
      const about = idOf(number, isOurs)
      const id = `${markNonce(about)}.${lost.address}`
      const version = (model.objects.get(id)?.verified.object.version ?? startMs) + 1
      const createdAt = new Date(startMs).toISOString()
      const unsealed = { id, kind: 'mark', owner: lost.address as Name, createdAt, version, about, kept }
      const verified = sealObject(unsealed as unknown as Unsealed, lost)
      await write(real, verified, 'made', [lost.address])
      note(model, verified, true, [lost.address])
      if (kept) model.kept.add(about)
      else model.kept.delete(about)
    },
)

const reopen = fc.constant<Step>(async (_, real) => real.reopen())

async function assertSame(model: Model, { store, database }: Real): Promise<void> {
  for (const [id, { verified }] of model.objects) assert.deepEqual(store.findObject(id), verified.object)
  for (let number = 0; number < things; number++)
    for (const isOurs of [true, false]) {
      const id = idOf(number, isOurs)
      assert.equal(store.findObject(id) !== undefined, model.objects.has(id), id)
      assert.equal(store.isKept(id, lost.address), model.kept.has(id))
    }
  const all = [...model.objects.values()]
  const cached = all.filter(({ isCached }) => isCached)
  const sum = cached.reduce((bytes, { verified }) => bytes + verified.atRest.length, 0)
  assert.equal(database.head(listOf.cache).bytes, sum)
  for (const user of users) {
    const boxed = all.filter(({ boxes }) => boxes.has(user))
    await assertList(store, listOf.box(user), boxed, known => known.boxes.get(user) ?? 0)
  }
  const open = all.filter(({ isOurs, verified }) => isOurs && verified.object.public === true)
  for (const name of ['lost@lenore.org', 'lenore.org'])
    await assertList(store, listOf.public(name), open, ({ verified }) => verified.object.version)
}

async function assertList(
  store: Store,
  list: ListName,
  wanted: readonly Known[],
  versionOf: (known: Known) => number,
): Promise<void> {
  const isListed = (known: Known): boolean =>
    !(known.isDeleted && versionOf(known) === known.verified.object.version)
  const live = wanted.filter(isListed)
  const { entries } = await store.readList(list, 0, 1000)
  const numbers = entries.map(({ number }) => number)
  assert.deepEqual(
    numbers,
    [...numbers].sort((left, right) => left - right),
  )
  for (const { verified } of wanted) {
    const { id, version } = verified.object
    const found = entries.filter(entry => entry.id === id && entry.version === version)
    assert.ok(found.length <= 1, `${list}: ${id} stands there ${found.length} times`)
  }
  for (const known of live) {
    const { id } = known.verified.object
    assert.ok(
      entries.some(entry => entry.id === id && entry.version === versionOf(known)),
      `${list}: ${id}`,
    )
  }
  const newest = await store.readNewest(list, { limit: 1000 })
  const times = newest.map(({ id }) => Date.parse(store.findObject(id)?.createdAt ?? ''))
  assert.deepEqual(
    times,
    [...times].sort((left, right) => right - left),
    `${list}: the order of making`,
  )
  assert.deepEqual(newest.map(({ id }) => id).sort(), live.map(({ verified }) => verified.object.id).sort())
}

/** What verify says, but of the accounts, which are only names here. */
async function findFaults(folder: string, { store, database }: Real) {
  const domains = new Map()
  const accounts = new Accounts({ store, domains, clock: systemClock })
  const config = { data: folder } as LoadedConfig
  const { found } = await verifyStore(
    { config, clock: systemClock, database, store, domains, accounts },
    { onProgress: () => undefined, signal: new AbortController().signal },
  )
  return found.filter(({ key }) => !/^(account|skeleton|view) /.test(key))
}

describe('the store', function () {
  this.timeout(120_000)

  it('agrees with a plain map, and with itself', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    process.stdout.write(`      seed ${seed}\n`)
    const steps = fc.array(
      fc.oneof(publish, publish, take, take, remove, fetchOne, unbox, evict, mark, reopen),
      {
        maxLength: 60,
        size: 'max',
      },
    )
    await fc.assert(
      fc.asyncProperty(steps, async all => {
        const folder = mkdtempSync(join(tmpdir(), 'fmtp-model-'))
        const real = await Real.open(folder)
        try {
          const model = new Model()
          for (const step of all) await step(model, real)
          await assertSame(model, real)
          await real.reopen()
          await assertSame(model, real)
          assert.deepEqual(await findFaults(folder, real), [])
        } finally {
          await real.database[Symbol.asyncDispose]()
          rmSync(folder, { recursive: true, force: true })
        }
      }),
      { numRuns: 40, seed },
    )
  })
})
