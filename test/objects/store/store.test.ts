import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueCredential } from '../../../objects/seals/credential.ts'
import { sealObject, type VerifiedObject } from '../../../objects/seals/seal.ts'
import { listOf } from '../../../objects/store/layout.ts'
import { describe as describeObject } from '../../../objects/store/new-version.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { type Before, Store } from '../../../objects/store/store.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import { type HandUser, handDomain, handMessage, handUser } from '../../support/hand.ts'

const poe = handDomain('poe.net')
const edgar = handUser(poe, 'edgar@poe.net')

/** The object as the store takes it. */
function sealed(from: HandUser, members: Partial<Message> = {}): VerifiedObject<Message> {
  const { encryptedKey: _, hash: __, ...unsealed } = handMessage(from, ['lost@lenore.org'], members)
  return sealObject<Message>(unsealed, from)
}

describe('store', () => {
  let folder: string
  let store: Store

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-store-'))
    store = new Store(
      await openDatabase(
        folder,
        () => undefined,
        () => 'epoch',
      ),
    )
  })

  afterEach(async () => {
    await store.database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Writes on condition that what was read is there still. */
  async function put(
    verified: VerifiedObject<Message>,
    ...read: [Before | undefined] | []
  ): Promise<boolean> {
    const before = read.length === 0 ? store.findBefore(verified.object.id) : read[0]
    const [isWritten] = await store.database.commit([describeObject(verified, before, 'made', store)])
    return isWritten === true
  }

  it('gives an object back as it came, its credential at its place', async () => {
    const verified = sealed(edgar)
    await put(verified)
    const found = store.findObject(verified.object.id)
    assert.deepEqual(found, verified.object)
    assert.equal(JSON.stringify(found), JSON.stringify(verified.object))
    assert.ok(!store.findText(verified.object.id)?.includes('encryptedKey'))
    assert.equal(store.findObject('1.edgar@poe.net'), undefined)
  })

  for (const [order, days] of [
    ['later', [0, 2]],
    ['earlier', [2, 0]],
  ] as const) {
    it(`gives every object of a key its newest credential, when that comes ${order}`, async () => {
      const nowMs = Date.now()
      const credentials = days.map(day =>
        issueCredential(
          { sub: edgar.address, jwk: edgar.pair.jwk, enrolledAtMs: nowMs, nowMs: nowMs + day * 86_400_000 },
          poe.signer,
        ),
      )
      const objects = credentials.map(credential => sealed({ ...edgar, credential }))
      for (const object of objects) await put(object)
      const newest = credentials[days.indexOf(2)]
      for (const { object } of objects) assert.equal(store.findObject(object.id)?.encryptedKey, newest)
    })
  }

  it('writes a new version only over the one that was read', async () => {
    const first = sealed(edgar)
    const { id, version } = first.object
    assert.equal(await put(first), true)
    assert.equal(await put(first, undefined), false, 'it is there meanwhile')
    const read = store.findBefore(id)
    assert.equal(await put(sealed(edgar, { id, version: version + 1 }), read), true)
    assert.equal(await put(sealed(edgar, { id, version: version + 2 }), read), false, 'another came between')
    assert.equal(store.findObject(id)?.version, version + 1)
  })

  it('lists what is public with its owner, and everything in its thread', async () => {
    const top = sealed(edgar)
    const open = sealed(edgar, { public: true })
    const answer = sealed(edgar, { parent: top.object.id, parentHash: top.digest, top: top.object.id })
    for (const each of [top, open, answer]) await put(each)
    const idsOf = async (list: Parameters<Store['readList']>[0]): Promise<string[]> =>
      (await store.readList(list, 0, 100)).entries.map(({ id }) => id)
    assert.deepEqual(await idsOf(listOf.public('edgar@poe.net')), [open.object.id])
    assert.deepEqual(await idsOf(listOf.thread(top.object.id)), [top.object.id, answer.object.id])
  })

  it('reads a list by pages, from any number', async () => {
    const list = listOf.thread('t')
    for (let at = 1; at <= 5; at++)
      await store.database.commit([
        { appends: [{ list, value: `{"id":"${at}","version":${at}}`, bytes: 1 }] },
      ])
    const first = await store.readList(list, 0, 3)
    assert.deepEqual(
      [first.entries.map(({ number }) => number), first.last, first.isComplete],
      [[1, 2, 3], 3, false],
    )
    const rest = await store.readList(list, first.last, 3)
    assert.deepEqual([rest.entries.map(({ id }) => id), rest.last, rest.isComplete], [['4', '5'], 5, true])
    const none = await store.readList(list, rest.last, 3)
    assert.deepEqual([none.entries, none.last, none.isComplete], [[], 5, true])
  })
})
