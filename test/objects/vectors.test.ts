/** Vectors of what a holder makes of objects (test/vectors/README.md): which version counts, and which thread they make. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sealObject, type VerifiedObject } from '../../objects/seals/seal.ts'
import { listOf } from '../../objects/store/layout.ts'
import { describe as describeObject } from '../../objects/store/new-version.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { Store } from '../../objects/store/store.ts'
import { findPlace } from '../../objects/thread.ts'
import { decideSuccession } from '../../objects/version.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { handDomain, handUser } from '../support/hand.ts'

const edgar = handUser(handDomain('poe.net'), 'edgar@poe.net', Date.UTC(2025, 10, 1))
const sealed = (object: object): VerifiedObject => sealObject(object as Unsealed, edgar)

// From dist/test/objects the vectors are in the source tree: tsc copies no data.
function read<T>(name: string): readonly T[] {
  return JSON.parse(
    readFileSync(new URL(`../../../test/vectors/${name}`, import.meta.url), 'utf8'),
  ) as readonly T[]
}

interface VersionCase {
  readonly name: string
  readonly held?: object
  readonly object: object
  readonly outcome: string
}

interface ThreadCase {
  readonly name: string
  readonly objects: readonly FmtpObject[]
  readonly threads: Readonly<Record<string, readonly string[]>>
  readonly waiting: readonly string[]
  readonly false?: readonly string[]
}

describe('vectors', () => {
  const versions = read<VersionCase>('versions.json')
  it('of versions are many', () => assert.ok(versions.length >= 22))
  for (const { name, held, object, outcome } of versions) {
    it(`of versions: ${name}`, () => {
      const before = held === undefined ? undefined : sealed(held).object
      const succession = decideSuccession(sealed(object), before)
      assert.equal(succession.outcome === 'refused' ? succession.code : succession.outcome, outcome)
    })
  }

  const threads = read<ThreadCase>('threads.json')
  it('of threads are many', () => assert.ok(threads.length >= 25))
  for (const each of threads) {
    it(`of threads: ${each.name}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'fmtp-vectors-'))
      try {
        await using database = await openDatabase(
          folder,
          () => undefined,
          () => 'epoch',
        )
        await check(new Store(database), each)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  }
})

async function check(store: Store, each: ThreadCase): Promise<void> {
  const isFalse: string[] = []
  for (const object of each.objects) {
    const verified = sealed(object)
    const place = findPlace(verified.object, store.places)
    if (!place.isJoined && place.isFalse && !isFalse.includes(object.id)) isFalse.push(object.id)
    const change = describeObject(verified, store.findBefore(object.id), 'taken', store)
    assert.deepEqual(await store.database.commit([change]), [true])
  }
  for (const [top, ids] of Object.entries(each.threads)) {
    const { entries } = await store.readList(listOf.thread(top), 0, 100)
    // A version that comes again stands where it came last.
    assert.deepEqual(
      entries.map(({ id }) => id),
      ids,
    )
  }
  const waiting = [...new Set(each.objects.map(({ id }) => id))].filter(id => store.places.isUnjoined(id))
  assert.deepEqual(waiting, each.waiting)
  assert.deepEqual(
    isFalse.filter(id => waiting.includes(id)),
    each.false ?? [],
  )
}
