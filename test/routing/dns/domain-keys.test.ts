import assert from 'node:assert/strict'
import { generateKeyPair, recordKeyOf } from '../../../objects/seals/keys.ts'
import { createResolver } from '../../../routing/dns/client.ts'
import { createDomainKeys, domainKeyOf, type KeyEvent } from '../../../routing/dns/domain-keys.ts'
import { serveZone, type Zone } from '../../../server/demo/name-server.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'
import { handDomain } from '../../support/hand.ts'
import { ownAddress } from '../../support/loopback.ts'

const minuteMs = 60_000

describe('domain keys', () => {
  let zone: Zone
  let resolver: ReturnType<typeof createResolver>
  let clock: MovableClock
  let events: KeyEvent[]
  let asked = 0
  const poe = handDomain('poe.net')
  const next = handDomain('poe.net')

  before(async () => {
    zone = await serveZone({ address: ownAddress(201), port: 0, records: [], onQuery: () => asked++ })
  })

  beforeEach(() => {
    resolver = createResolver({ servers: [zone.server] })
    clock = new MovableClock()
    events = []
    asked = 0
    zone.isAuthentic = false
    publish([poe.record])
  })

  afterEach(() => resolver[Symbol.asyncDispose]())
  after(() => zone[Symbol.asyncDispose]())

  function publish(records: readonly string[], ttlSeconds = 0): void {
    zone.set('fmtpkey.poe.net', 'TXT', records, ttlSeconds)
  }

  const create = (requireSecure = false) =>
    createDomainKeys({
      resolver,
      requireSecure,
      clock,
      findOwn: domain => (domain === 'lenore.org' ? [domainKeyOf('own', next.pair.jwk)] : undefined),
      onEvent: event => events.push(event),
    })
  const thumbprints = async (keys: ReturnType<typeof create>, isFresh = false): Promise<string[]> =>
    (await keys.find('poe.net', { isFresh })).map(({ thumbprint }) => thumbprint)

  it('are fetched once, then kept at least five minutes whatever the record says', async () => {
    const keys = create()
    const [first, second] = await Promise.all([thumbprints(keys), thumbprints(keys)])
    assert.deepEqual([first, second], [[poe.pair.thumbprint], [poe.pair.thumbprint]])
    assert.equal(asked, 1)
    publish([next.record])
    clock.advance(4 * minuteMs)
    assert.deepEqual(await thumbprints(keys), first)
    clock.advance(2 * minuteMs)
    assert.deepEqual(await thumbprints(keys), [next.pair.thumbprint])
  })

  it('are asked for again when a seal fails, but not within a minute', async () => {
    const keys = create()
    await thumbprints(keys)
    publish([next.record])
    assert.deepEqual(await thumbprints(keys, true), [poe.pair.thumbprint])
    clock.advance(61_000)
    assert.deepEqual(await thumbprints(keys, true), [next.pair.thumbprint])
    assert.equal(asked, 2)
  })

  it('that stay keep what is remembered of them, and new ones remember nothing', async () => {
    const keys = create()
    const [before] = await keys.find('poe.net')
    publish([next.record, poe.record])
    clock.advance(61_000)
    const after = await keys.find('poe.net', { isFresh: true })
    assert.deepEqual(
      after.map(key => key === before),
      [false, true],
    )
  })

  it('of a domain of ours are our own, without DNS', async () => {
    const [own] = await create().find('lenore.org')
    assert.equal(own?.selector, 'own')
    assert.equal(asked, 0)
  })

  it('that are not there are FMTP_NO_KEY, and that is believed for five minutes', async () => {
    publish([])
    const keys = create()
    await assertCode('FMTP_NO_KEY', () => keys.find('poe.net'))
    publish([poe.record])
    clock.advance(4 * minuteMs)
    await assertCode('FMTP_NO_KEY', () => keys.find('poe.net'))
    assert.equal(asked, 1)
  })

  it('that nobody can say are FMTP_DNS_FAILED, which is not kept', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'servfail')
    const keys = create()
    await assertCode('FMTP_DNS_FAILED', () => keys.find('poe.net'))
    zone.fail('fmtpkey.poe.net', 'TXT', undefined)
    assert.deepEqual(await thumbprints(keys), [poe.pair.thumbprint])
    assert.deepEqual(
      events.map(({ what }) => what),
      ['key-miss', 'key-failed', 'key-miss', 'key-fetched'],
    )
  })

  it('without DNSSEC are FMTP_NOT_SECURE where it is required, and so is their absence', async () => {
    const keys = create(true)
    zone.isAuthentic = true
    assert.deepEqual(await thumbprints(keys), [poe.pair.thumbprint])
    assert.equal(keys.isSecure('poe.net'), true)
    zone.isAuthentic = false
    clock.advance(61_000)
    await assertCode('FMTP_NOT_SECURE', () => keys.find('poe.net', { isFresh: true }))
    await assertCode('FMTP_NOT_SECURE', () => keys.find('raven.example'))
    assert.equal((await keys.find('lenore.org')).length, 1, 'ours need none')
  })

  const p = recordKeyOf(generateKeyPair().jwk)
  const records: readonly (readonly [record: string, selectors: readonly string[]])[] = [
    [`v=FMTP1; k=ed25519; s=a; p=${p}`, ['a']],
    [`v=FMTP1;k=ed25519;s=a;p=${p}`, ['a']],
    [`v=FMTP2; k=ed25519; s=a; p=${p}`, []],
    [`v=FMTP1; k=rsa; s=a; p=${p}`, []],
    [`v=FMTP1; k=ed25519; s=; p=${p}`, []],
    [`v=FMTP1; k=ed25519; s=a b; p=${p}`, []],
    [`v=FMTP1; k=ed25519; s=a; p=${p.slice(0, -1)}`, []],
    [`v=FMTP1; k=ed25519; s=a; p=${p} `, []],
    ['v=spf1 -all', []],
  ]
  for (const [record, selectors] of records) {
    it(`of the record ${record.replace(p.slice(4, -4), '…')} are ${selectors.join(' ') || 'none'}`, async () => {
      publish([record, poe.record])
      const found = await create().find('poe.net')
      assert.deepEqual(new Set(found.map(({ selector }) => selector)), new Set([...selectors, 'hand']))
    })
  }
})
