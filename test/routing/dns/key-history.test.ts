/** The keys of other domains over time (protocol §7.1): a rotation is silent, a change of all keys at once is told, and stays told. */
import assert from 'node:assert/strict'
import { generateKeyPair } from '../../../objects/seals/keys.ts'
import { keyOf, rangeOf } from '../../../objects/store/layout.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { domainKeyOf } from '../../../routing/dns/domain-keys.ts'
import {
  acknowledgeKeys,
  type ChangedKeys,
  Continuity,
  readChangedKeys,
  readPinned,
} from '../../../routing/dns/key-history.ts'
import { limits } from '../../../schemas/limits.ts'
import { openCore } from '../../../server/core/core.ts'
import { verifyStore } from '../../../server/verify/verify.ts'
import { MovableClock } from '../../support/clock.ts'
import { waitUntil } from '../../support/conditions.ts'
import { type HandDomain, handDomain } from '../../support/hand.ts'
import { type LogRecord, Network, type TestServer } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

const hourMs = 3_600_000

describe('the keys of another domain', () => {
  let network: Network
  let lenore: TestServer
  let first: HandDomain

  beforeEach(async () => {
    network = await Network.start()
    lenore = await network.serve('lenore.org')
    first = handDomain('poe.net')
  })

  afterEach(() => network[Symbol.asyncDispose]())

  /** DNS shows these keys, and poe.net says hello with the last of them when nobody keeps others any more. */
  async function greet(...shown: readonly HandDomain[]): Promise<void> {
    const records = shown.map(({ record }) => record)
    network.zone.set('fmtpkey.poe.net', 'TXT', ['v=spf1 -all', ...records])
    network.clock.advance(limits.keyMostMs)
    const before = fetches().length
    const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
    // Where DNS shows none, this one is not believed.
    await end.hello('lenore.org', { as: 'poe.net', ...(shown.at(-1) ?? first) }).catch(() => undefined)
    end.close()
    await waitUntil('the keys were asked for', () => fetches().length > before)
    // A write that follows stands behind what was noted.
    await lenore.running.store.database.commit([{ puts: [[keyOf.meta('test'), '']] }])
  }

  const fetches = (): LogRecord[] => lenore.log.filter(({ event }) => event === 'key.fetched')
  const told = (): LogRecord[] => lenore.log.filter(({ event }) => event === 'key.changed')
  const changed = (): Promise<ChangedKeys[]> =>
    readChangedKeys(lenore.running.store.database, network.clock.now())
  const names = (key: HandDomain) => [key.pair.thumbprint]

  it('are remembered with when they were seen, and the same ones are silent', async () => {
    await greet(first)
    await greet(first)
    const row = readPinned(lenore.running.store.database.get(keyOf.pinned('poe.net')) ?? '')
    const [seen] = row?.keys ?? []
    assert.equal(seen?.thumbprint, first.pair.thumbprint)
    assert.ok(seen.lastAtMs - seen.firstAtMs >= limits.keyMostMs)
    assert.deepEqual([told(), await changed()], [[], []])
    // What is our own is no news.
    assert.equal(lenore.running.store.database.get(keyOf.pinned('lenore.org')), undefined)
  })

  it('change in silence where both are shown for a while', async () => {
    const [second, third] = [handDomain('poe.net'), handDomain('poe.net')]
    await greet(first)
    await greet(first, second)
    await greet(second)
    await greet(second, third)
    assert.deepEqual([told(), await changed()], [[], []])
  })

  it('are told once where none was there before, over restarts, until somebody has seen it', async () => {
    const second = handDomain('poe.net')
    await greet(first)
    const seenMs = network.clock.now()
    await greet(second)
    await greet(second)
    const [line, ...more] = told()
    assert.deepEqual([line?.level, more], ['warn', []])
    assert.deepEqual(
      [line?.record.domain, ...[line?.record.from, line?.record.to].map(each => thumbprintsOf(each))],
      ['poe.net', names(first), names(second)],
    )
    assert.ok(Math.abs(Date.parse(String(line?.record.lastSeen)) - seenMs) < hourMs)

    await network.stop('lenore.org')
    lenore = await network.serve('lenore.org')
    const [only] = await changed()
    assert.deepEqual([only?.domain, only?.changes.length], ['poe.net', 1])
    assert.deepEqual(thumbprintsOf(only?.changes[0]?.from), names(first))
    await greet(second)
    assert.deepEqual(told(), [])

    const { database } = lenore.running.store
    assert.deepEqual(await acknowledgeKeys(database, 'lenore.org'), [])
    assert.deepEqual(await acknowledgeKeys(database, 'poe.net'), ['poe.net'])
    assert.deepEqual([await changed(), await acknowledgeKeys(database, '*')], [[], []])
    // What is known now is what counts from here on: going back is another change.
    await greet(first)
    assert.deepEqual(thumbprintsOf((await changed())[0]?.changes[0]?.to), names(first))
  })

  it('are told also where the domain had none in between, and thirty days at most', async () => {
    const second = handDomain('poe.net')
    await greet(first)
    await greet()
    await greet(second)
    assert.equal(told().length, 1)
    assert.equal((await changed()).length, 1)
    network.clock.advance(limits.keyChangeMs)
    assert.deepEqual(await changed(), [])
  })

  it('of few domains stay, and last those to whom somebody here writes', async () => {
    const clock = new MovableClock()
    const { database } = lenore.running.store
    const failures: unknown[] = []
    const continuity = new Continuity({
      ...{ database, clock, most: 5 },
      isKnown: domain => domain === '0.example',
      onChanged: change => failures.push(change),
      onFailed: thrown => failures.push(thrown),
    })
    const key = domainKeyOf('k1', generateKeyPair().jwk)
    const kept = async (): Promise<string[]> =>
      (await database.scan(rangeOf('pinned'))).map(([each]) => each.slice('pinned '.length)).sort()
    for (let count = 0; count < 20; count++) {
      continuity.see(`${count}.example`, [key])
      clock.advance(hourMs)
      await waitUntil('it is noted', async () => (await kept()).includes(`${count}.example`))
      await waitUntil('others have gone', async () => (await kept()).length <= 5)
    }
    assert.deepEqual(await kept(), ['0.example', '16.example', '17.example', '18.example', '19.example'])
    assert.deepEqual(failures, [])
  })

  it('are checked by verify like all that is stored', async () => {
    await greet(first)
    await greet(handDomain('poe.net'))
    await network.stop('lenore.org')
    const look = async (text?: string) => {
      await using core = await openCore(lenore.config)
      if (text !== undefined) await core.database.commit([{ puts: [[keyOf.pinned('poe.net'), text]] }])
      const ports = { onProgress: () => undefined, signal: new AbortController().signal }
      return (await verifyStore(core, ports)).found.map(each => each.key)
    }
    assert.deepEqual(await look(), [])
    for (const text of ['', '{}', '{"keys":[]}', '{"keys":[{"selector":"k"}]}', '{"keys":1}'])
      assert.deepEqual(await look(text), [keyOf.pinned('poe.net')], text)
    await using database = await openDatabase(
      lenore.config.data,
      () => undefined,
      () => 'epoch',
    )
    assert.deepEqual(await readChangedKeys(database, Date.now()), [])
  })
})

function thumbprintsOf(keys: unknown): string[] {
  return (keys as readonly { readonly thumbprint: string }[] | undefined)?.map(each => each.thumbprint) ?? []
}
