/** What a home answers, and what becomes of the copy that is here: a real store, seals and clock; the home is played. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { digestOf, sealObject } from '../../../objects/seals/seal.ts'
import type { Database } from '../../../objects/store/engine/database.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { Store } from '../../../objects/store/store.ts'
import type { Peer } from '../../../routing/connect/peer.ts'
import { domainKeyOf } from '../../../routing/dns/domain-keys.ts'
import { createLookup, type Lookup } from '../../../routing/lookup/lookup.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { coreKinds } from '../../../schemas/parse-object.ts'
import { type Name, type ObjectId, parseDomain } from '../../../schemas/text/names.ts'
import type { Reply } from '../../../wire/pairing.ts'
import { MovableClock } from '../../support/clock.ts'
import { waitUntil } from '../../support/conditions.ts'
import { handDomain, handMessage, handProfile, handUser } from '../../support/hand.ts'

const minuteMs = 60_000
const lenore = handDomain('lenore.org')
const lost = handUser(lenore, 'lost@lenore.org')

describe('lookup, by what the home answers', () => {
  let hasRoom: boolean
  let folder: string
  let database: Database
  let clock: MovableClock
  let lookup: Lookup
  /** Requests that the home has not answered. */
  let asked: { resolve(reply: Reply): void; reject(error: Error): void }[]
  let steps: string[]
  let reachError: FmtpError | undefined

  beforeEach(async () => {
    hasRoom = true
    folder = mkdtempSync(join(tmpdir(), 'fmtp-lookup-'))
    database = await openDatabase(
      folder,
      () => undefined,
      () => 'epoch',
    )
    clock = new MovableClock()
    asked = []
    steps = []
    reachError = undefined
    const home: Peer = {
      name: parseDomain('lenore.org'),
      as: parseDomain('poe.net'),
      host: 'fmtp.lenore.org:3687',
      isOpen: true,
      describe: () => Promise.reject(new FmtpError('FMTP_NOT_OFFERED')),
      request: () => new Promise((resolve, reject) => asked.push({ resolve, reject })),
    }
    const keys = [domainKeyOf(lenore.signer.kid, lenore.pair.jwk)]
    lookup = createLookup({
      store: new Store(database),
      kinds: coreKinds,
      keys: { find: async () => keys },
      reach: {
        find: () => undefined,
        findFront: () => undefined,
        isFront: () => false,
        domain: async () => home,
        front: async () => {
          if (reachError !== undefined) throw reachError
          return home
        },
        contacts: async () => home,
      },
      clock,
      findOwn: () => undefined,
      isOwnDomain: () => false,
      as: parseDomain('poe.net'),
      hasRoom: () => hasRoom,
      onContacts: () => undefined,
      onUse: () => undefined,
      onKept: () => undefined,
      onStep: (_, { what, outcome }) => steps.push(`${what} ${outcome}`),
    })
  })

  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Answers the oldest question. */
  async function answer(object: FmtpObject | 'absent' | Error): Promise<void> {
    const question = await waitUntil('the home is asked', () => asked[0])
    asked.shift()
    if (object instanceof Error) question.reject(object)
    else if (object === 'absent') question.resolve({ answer: { outcome: 'absent' }, describes: [] })
    else question.resolve({ answer: { outcome: 'found' }, describes: [{ verb: 'describe', re: 1, object }] })
  }

  async function find(reply?: FmtpObject | 'absent' | Error) {
    const looking = lookup({ address: 'lost@lenore.org' as Name })
    if (reply !== undefined) await answer(reply)
    return looking
  }

  async function settle(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) await turn()
  }

  it('believes it that somebody whose copy is here is absent', async () => {
    await find(handProfile(lost))
    clock.advance(limits.userFreshMs + 1)
    assert.equal((await find()).outcome, 'found')
    await answer('absent')
    await waitUntil('it is absent', async () => (await find()).outcome === 'absent')
    clock.advance(limits.absentMs + 1)
    // The old copy is no last resort: its home took it back.
    assert.equal((await find(new FmtpError('FMTP_UNREACHABLE'))).outcome, 'unreachable')
    const back = handProfile(lost, { version: clock.now() })
    assert.equal((await find(back)).outcome, 'found')
    assert.equal((await find()).outcome, 'found')
  })

  it('says absent where that can not be kept', async () => {
    database.commit = () => Promise.reject(new FmtpError('FMTP_STORE'))
    assert.equal((await find('absent')).outcome, 'absent')
    assert.ok(steps.includes('keep FMTP_STORE'), `${steps}`)
  })

  it('gives what it fetched where the disk has no room, and keeps only that something is deleted', async () => {
    hasRoom = false
    assert.equal((await find(handProfile(lost))).outcome, 'found')
    assert.equal(database.get(keyOf.object('user.lost@lenore.org')), undefined)
    assert.ok(steps.includes('keep FMTP_FULL'), `${steps}`)
    hasRoom = true
    const profile = handProfile(lost)
    await find(profile)
    clock.advance(limits.userStaleMs + 1)
    hasRoom = false
    const { id, kind, owner, createdAt } = profile
    const tombstone = { id, kind, owner, createdAt, public: true, deleted: true, version: clock.now() }
    await find(sealObject(tombstone as Unsealed, lost).object)
    assert.match(database.get(keyOf.object('user.lost@lenore.org')) ?? '', /"deleted":true/)
  })

  it('gives what it fetched where the store can not be written', async () => {
    database.commit = () => Promise.reject(new FmtpError('FMTP_STORE'))
    assert.equal((await find(handProfile(lost))).outcome, 'found')
  })

  it('serves a stale copy where the refresh behind it fails to be kept', async () => {
    await find(handProfile(lost))
    clock.advance(limits.userFreshMs + 1)
    database.commit = () => Promise.reject(new FmtpError('FMTP_STORE'))
    const unhandled: unknown[] = []
    const note = (reason: unknown): unknown => unhandled.push(reason)
    process.on('unhandledRejection', note)
    try {
      assert.equal((await find()).outcome, 'found')
      await answer('absent')
      await settle()
    } finally {
      process.off('unhandledRejection', note)
    }
    assert.deepEqual(unhandled, [])
  })

  it('tells what is about the domain from what is about the object', async () => {
    const asks = (outcome: Awaited<ReturnType<Lookup>>): boolean =>
      outcome.outcome === 'unreachable' && outcome.isReached
    assert.equal(asks(await find({ ...handProfile(lost), hash: 'a..b' } as FmtpObject)), true)
    assert.equal(asks(await find(new FmtpError('FMTP_REFUSED'))), true)
    reachError = new FmtpError('FMTP_NO_HOST')
    assert.equal(asks(await find()), false)
  })

  it('does not take an object from the future', async () => {
    const found = await find(handProfile(lost, { version: clock.now() + limits.clockSkewMs + minuteMs }))
    assert.ok(found.outcome === 'unreachable')
    assert.equal(found.error.code, 'FMTP_FROM_FUTURE')
  })

  it('keeps the one with the greater digest at a tie of versions, whichever came first', async () => {
    const version = clock.now()
    const tied = ['Nevermore', 'Evermore'].map(quote => handProfile(lost, { version, quote }))
    const [smaller, greater] = tied.sort((left, right) => (digestOf(left) < digestOf(right) ? -1 : 1))
    assert.ok(smaller !== undefined && greater !== undefined)
    const keptHash = async (reply: FmtpObject): Promise<unknown> => {
      clock.advance(limits.userStaleMs + 1)
      const found = await find(reply)
      return found.outcome === 'found' ? found.object.hash : found.outcome
    }
    assert.equal(await keptHash(smaller), smaller.hash)
    assert.equal(await keptHash(greater), greater.hash)
    assert.equal(await keptHash(smaller), greater.hash)
  })

  describe('an object past its credential', () => {
    const longAgoMs = Date.now() - 30 * 24 * 60 * minuteMs
    const early = handUser(lenore, 'lost@lenore.org', longAgoMs)
    const poem = handMessage(early, ['edgar@poe.net'], { version: longAgoMs })

    /** What becomes of the poem when its owner has these keys now. */
    async function findPoem(keys: string[]) {
      const looking = lookup({ id: poem.id as ObjectId })
      await answer(poem)
      await answer(handProfile(lost, { keys }))
      return looking
    }

    it('is believed when its key is one that its owner has now', async () => {
      const found = await findPoem([early.pair.thumbprint])
      assert.deepEqual(found.outcome === 'found' && found.object, poem)
    })

    it('is not believed when it is none of them', async () => {
      const found = await findPoem([lost.pair.thumbprint])
      assert.equal(found.outcome === 'unreachable' && found.error.code, 'FMTP_SEAL_EXPIRED')
    })

    it('that says itself which keys those are is not believed, and nobody else is asked', async () => {
      const profile = handProfile(early, { version: longAgoMs, keys: [early.pair.thumbprint] })
      const found = await find(profile)
      assert.equal(found.outcome === 'unreachable' && found.error.code, 'FMTP_SEAL_EXPIRED')
      assert.equal(asked.length, 0)
    })
  })

  it('keeps the seal that lives longer of one version, and goes back to none', async () => {
    const version = clock.now()
    const later = handUser(lenore, 'lost@lenore.org', clock.now() + minuteMs)
    const { encryptedKey: _, hash: __, ...unsealed } = handProfile(lost, { version })
    const [first, second] = [lost, later].map(key => sealObject(unsealed, key).object)
    assert.ok(first !== undefined && second !== undefined)
    const keptHash = async (reply: FmtpObject): Promise<unknown> => {
      clock.advance(limits.userStaleMs + 1)
      const found = await find(reply)
      return found.outcome === 'found' ? found.object.hash : found.outcome
    }
    assert.equal(await keptHash(first), first.hash)
    assert.equal(await keptHash(second), second.hash)
    assert.equal(await keptHash(first), second.hash)
  })

  it('refreshes a stale copy once at a time, and not at once again after a failure', async () => {
    await find(handProfile(lost))
    clock.advance(limits.userFreshMs + 1)
    for (let reads = 0; reads < 5; reads++) assert.equal((await find()).outcome, 'found')
    await settle()
    assert.equal(asked.length, 1)
    await answer(new FmtpError('FMTP_TIMEOUT'))
    await settle()
    await find()
    await settle()
    assert.equal(asked.length, 0)
    clock.advance(minuteMs)
    await find()
    await waitUntil('the home is asked again', () => asked.length === 1)
  })
})
