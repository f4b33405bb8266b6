/** Threads in the store (protocol §8.5): answers before their parents, in every order, and what proves a parent. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { sealObject, type VerifiedObject } from '../../objects/seals/seal.ts'
import type { Database } from '../../objects/store/engine/database.ts'
import { keyOf, listOf, rangeOf } from '../../objects/store/layout.ts'
import { describe as describeObject } from '../../objects/store/new-version.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { Store } from '../../objects/store/store.ts'
import { findPlace } from '../../objects/thread.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import { handDomain, handMessage, handUser } from '../support/hand.ts'

const poe = handDomain('poe.net')
const edgar = handUser(poe, 'edgar@poe.net')

function sealed(members: Partial<Message> = {}): VerifiedObject<Message> {
  const { encryptedKey: _, hash: __, ...unsealed } = handMessage(edgar, ['lost@lenore.org'], members)
  return sealObject<Message>(unsealed, edgar)
}

function answerTo({ object, digest }: VerifiedObject, members: Partial<Message> = {}) {
  return sealed({ parent: object.id, parentHash: digest, top: object.top ?? object.id, ...members })
}

function edited({ object }: VerifiedObject<Message>, members: Partial<Message> = {}) {
  return sealed({ ...object, version: object.version + 1, body: 'Edited', ...members })
}

describe('a thread', () => {
  let folder: string
  let store: Store

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-thread-'))
    store = new Store(await openStore(folder))
  })

  afterEach(async () => {
    await store.database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  function openStore(path: string): Promise<Database> {
    return openDatabase(
      path,
      () => undefined,
      () => 'epoch',
    )
  }

  async function put(verified: VerifiedObject): Promise<void> {
    for (;;) {
      const change = describeObject(verified, store.findBefore(verified.object.id), 'taken', store)
      if ((await store.database.commit([change]))[0] === true) return
    }
  }

  async function thread(top: VerifiedObject): Promise<string[]> {
    const list = listOf.thread(top.object.id)
    const arrived = (await store.readList(list, 0, 1000)).entries.map(({ id }) => id)
    const made = (await store.readNewest(list, { limit: 1000 })).map(({ id }) => id)
    assert.deepEqual([...made].sort(), [...arrived].sort(), 'both orders have the same')
    return arrived
  }

  const idsOf = (...objects: VerifiedObject[]): string[] => objects.map(({ object }) => object.id)

  it('an answer whose parent is not here is kept, and joined when the parent comes', async () => {
    const top = sealed()
    const answer = answerTo(top)
    await put(answer)
    assert.equal(store.findObject(answer.object.id)?.id, answer.object.id)
    assert.deepEqual(await thread(top), [])
    await put(top)
    assert.deepEqual(await thread(top), idsOf(top, answer))
  })

  it('an answer that is edited in the moment in which its parent comes is joined', async () => {
    const top = sealed()
    const first = answerTo(top)
    await put(first)
    const { encryptedKey: _, hash: __, ...members } = first.object
    const edited = sealObject<Message>({ ...members, body: 'Edited', version: members.version + 1 }, edgar)
    // Both were made from the same moment.
    const changes = [top, edited].map(each =>
      describeObject(each, store.findBefore(each.object.id), 'taken', store),
    )
    assert.deepEqual(await store.database.commit(changes), [true, false])
    await put(edited)
    assert.deepEqual(await thread(top), idsOf(top, edited))
    assert.deepEqual(await store.database.scan(rangeOf('unjoined')), [])
  })

  it('stands with every parent before its answers, in whatever order they come', async function () {
    this.timeout(60_000)
    const shape = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
      minLength: 1,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(shape, fc.integer(), async (choices, seed) => {
        const objects = [sealed()]
        for (const choice of choices)
          objects.push(answerTo(objects[Math.floor(choice * objects.length)] as VerifiedObject))
        const [top] = objects as [VerifiedObject<Message>]
        const order = [...objects].sort((left, right) => mixed(left, seed) - mixed(right, seed))
        // All at once: the commits see each other as little as they would from several connections.
        await Promise.all(order.map(put))
        const ids = await thread(top)
        assert.deepEqual([...ids].sort(), idsOf(...objects).sort())
        for (const { object } of objects)
          if (object.parent !== undefined)
            assert.ok(ids.indexOf(object.parent) < ids.indexOf(object.id), 'the parent stands first')
        for (const sort of ['waiting', 'unjoined'] as const)
          assert.deepEqual(await store.database.scan(rangeOf(sort)), [], `nothing is ${sort}`)
      }),
      { numRuns: 40 },
    )
  })

  it('an answer to a version that was replaced since is joined', async () => {
    const top = sealed()
    await put(top)
    const next = edited(top)
    await put(next)
    const late = answerTo(top)
    await put(late)
    assert.deepEqual(await thread(top), idsOf(next, late))
  })

  it('an answer to a version that is not here yet waits for it', async () => {
    const top = sealed()
    const next = edited(top)
    await put(top)
    const answer = answerTo(next)
    await put(answer)
    assert.deepEqual(await thread(top), idsOf(top))
    await put(next)
    assert.deepEqual(await thread(top), idsOf(next, answer))
  })

  it('an answer to what was deleted is joined, since its digest is known', async () => {
    const top = sealed()
    await put(top)
    const { body: _, format: __, to: ___, ...common } = top.object
    const tombstone = sealObject(
      { ...common, deleted: true, version: common.version + 1 } as unknown as Message,
      edgar,
    )
    await put(tombstone)
    const answer = answerTo(top)
    await put(answer)
    assert.deepEqual((await store.readList(listOf.thread(top.object.id), 0, 10)).entries.length, 2)
  })

  for (const [what, members] of [
    ['another digest', { parentHash: 'A'.repeat(43) }],
    ['another top', { top: 'other.edgar@poe.net' }],
  ] as const) {
    it(`an answer that names ${what} is false, and never joins`, async () => {
      const [top, other] = [sealed(), sealed({ id: 'other.edgar@poe.net' })]
      await put(top)
      await put(other)
      const answer = answerTo(top, members)
      const place = findPlace(answer.object, store.places)
      assert.ok(!place.isJoined && place.isFalse)
      await put(answer)
      await put(edited(top))
      assert.deepEqual((await thread(top)).length, 1)
      assert.deepEqual((await thread(other)).length, 1)
    })
  }

  it('two answers that name each other as parents never join', async () => {
    const top = sealed()
    await put(top)
    const [a, b] = ['a.edgar@poe.net', 'b.edgar@poe.net']
    const first = sealed({ id: a, parent: b, parentHash: 'A'.repeat(43), top: top.object.id })
    const second = sealed({ id: b, parent: a, parentHash: first.digest, top: top.object.id })
    for (const each of [first, second]) await put(each)
    assert.deepEqual(await thread(top), idsOf(top))
  })

  it('a thousand answers wait for one parent, and join with it', async function () {
    this.timeout(30_000)
    const top = sealed()
    const answers = Array.from({ length: 999 }, () => answerTo(top))
    for (const answer of answers) await put(answer)
    await put(top)
    assert.equal(
      (await store.database.scan(rangeOf('entry', listOf.thread(top.object.id)), { limit: 2000 })).length,
      1000,
    )
    assert.equal(store.database.get(keyOf.waiting(top.object.id)), undefined)
  })
})

/** An order that comes again with its seed. */
function mixed({ digest }: VerifiedObject, seed: number): number {
  return Buffer.from(digest, 'base64url').readUInt32BE((((seed % 28) + 28) % 28) as number)
}
