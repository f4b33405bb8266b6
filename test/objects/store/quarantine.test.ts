/** What the disk gives back is not trusted: a text that is not what was sealed is put aside, told, and may come again. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sealObject, type VerifiedObject } from '../../../objects/seals/seal.ts'
import { box } from '../../../objects/store/box.ts'
import type { Database } from '../../../objects/store/engine/database.ts'
import { entriesAfter, keyOf, listOf, rangeOf } from '../../../objects/store/layout.ts'
import { describe as describeObject } from '../../../objects/store/new-version.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { Store } from '../../../objects/store/store.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import { assertCode, waitUntil } from '../../support/conditions.ts'
import { handDomain, handMessage, handUser } from '../../support/hand.ts'

const poe = handDomain('poe.net')
const edgar = handUser(poe, 'edgar@poe.net')
const lost = 'lost@lenore.org'

function sealed(members: Partial<Message> = {}): VerifiedObject<Message> {
  const { encryptedKey: _, hash: __, ...unsealed } = handMessage(edgar, [lost], members)
  return sealObject<Message>(unsealed, edgar)
}

describe('a damaged object', () => {
  let folder: string
  let database: Database
  let store: Store
  let told: string[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-damaged-'))
    database = await openDatabase(
      folder,
      () => undefined,
      () => 'epoch',
    )
    reopen()
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A store that remembers nothing. */
  function reopen(): void {
    told = []
    store = new Store(database, key => told.push(key))
  }

  async function take(verified: VerifiedObject): Promise<void> {
    const { object, atRest } = verified
    const before = store.findBefore(object.id)
    const change = describeObject(verified, before, 'taken', store)
    const boxed = store.findBoxedText(lost, object.id)
    box(change, object, { address: lost, bytes: atRest.length, nowMs: 1, boxed }, database)
    const [isWritten] = await database.commit([change])
    assert.equal(isWritten, true)
  }

  const flip = (text: string, at: number): string =>
    text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1)

  const damages: readonly (readonly [string, (text: string) => string])[] = [
    ['with a flipped bit', text => flip(text, text.indexOf('Nevermore'))],
    // Of its signature no read knows, for that takes longer than the read: `fmtp verify` finds it.
    [
      'with a flipped bit in the digest of its seal',
      text => flip(text, text.indexOf('.', text.indexOf('"hash":"')) + 20),
    ],
    ['with a flipped bit in the header of its seal', text => flip(text, text.indexOf('"hash":"') + 12)],
    ['that is no JSON', text => text.slice(1)],
    ['that is no object', () => '5'],
    ['that is nothing', () => ''],
    ['that is another object', () => sealed().atRest],
  ]
  for (const [what, damage] of damages)
    it(`${what} is absent, put aside and told`, async () => {
      const verified = sealed()
      const { id } = verified.object
      await take(verified)
      const text = damage(verified.atRest)
      await database.commit([{ puts: [[keyOf.object(id), text]] }])
      reopen()
      assert.equal(store.findObject(id), undefined)
      assert.equal(store.findBefore(id), undefined)
      await waitUntil('it is told', () => told.length > 0)
      assert.deepEqual(told, [keyOf.object(id)])
      assert.equal(store.findText(id), undefined)
      assert.equal(database.get(keyOf.damaged(keyOf.object(id))), text)
      assert.equal(store.isAside(id), true)
    })

  it('comes again as it was, and stands where it stood', async () => {
    const verified = sealed()
    const { id } = verified.object
    await take(verified)
    const rows = async () => [
      await database.scan(rangeOf('newest')),
      await database.scan(rangeOf('entry')),
      await database.scan(rangeOf('head')),
    ]
    const before = await rows()
    await database.commit([{ puts: [[keyOf.object(id), flip(verified.atRest, 20)]] }])
    reopen()
    assert.equal(store.findObject(id), undefined)
    // Not waited for: the write that puts it aside is under way.
    await take(verified)
    assert.deepEqual(store.findObject(id), verified.object)
    assert.equal(store.isAside(id), false)
    assert.equal(database.get(keyOf.damaged(keyOf.object(id))), undefined)
    assert.deepEqual(await rows(), before)
  })

  it('comes again in a newer version, which takes the place of the old one', async () => {
    const first = sealed()
    const { id, version, createdAt } = first.object
    await take(first)
    await database.commit([{ puts: [[keyOf.object(id), flip(first.atRest, 20)]] }])
    reopen()
    assert.equal(store.findObject(id), undefined)
    await waitUntil('it is told', () => told.length > 0)
    await take(sealed({ id, createdAt, version: version + 1 }))
    for (const list of [listOf.box(lost), listOf.thread(id)]) {
      const { entries } = await store.readList(list, 0, 10)
      assert.deepEqual(entries, [{ number: 2, id, version: version + 1 }])
    }
  })

  it('is not remembered as right by who saw it before', async () => {
    const verified = sealed()
    const { id } = verified.object
    await take(verified)
    assert.ok(store.findObject(id))
    await database.commit([{ puts: [[keyOf.object(id), flip(verified.atRest, 20)]] }])
    assert.equal(store.findObject(id), undefined)
  })

  it('of which a row is none: entries of lists are passed over, others fail alone', async () => {
    const [first, second] = [sealed(), sealed()]
    for (const each of [first, second]) await take(each)
    const [[entry = ''] = []] = await database.scan(entriesAfter(listOf.box(lost), 0))
    const [[newest = ''] = []] = await database.scan(rangeOf('newest', listOf.box(lost)), { isReverse: true })
    const boxed = keyOf.boxed(lost, first.object.id)
    await database.commit([{ puts: [entry, newest, boxed].map(key => [key, '{"id'] as const) }])
    await database[Symbol.asyncDispose]()
    database = await openDatabase(
      folder,
      () => undefined,
      () => 'epoch',
    )
    reopen()
    const { entries, last, isComplete } = await store.readList(listOf.box(lost), 0, 2)
    assert.deepEqual([entries.map(({ id }) => id), last, isComplete], [[second.object.id], 2, false])
    await store.readList(listOf.box(lost), 0, 2)
    const found = await store.readNewest(listOf.box(lost), { limit: 2 })
    assert.deepEqual(found.map(({ id }) => id).filter(id => id !== '').length, 1)
    assert.deepEqual(told, [entry, newest], 'each once')
    await assertCode('FMTP_STORE', () => store.findBoxed(lost, first.object.id))
    assert.ok(store.findObject(first.object.id))
  })
})
