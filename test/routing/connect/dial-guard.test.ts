import assert from 'node:assert/strict'
import { createGuard } from '../../../routing/connect/dial-guard.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import { MovableClock } from '../../support/clock.ts'

function isAllowed(address: string, allow: readonly string[] = [], port = 3687): boolean {
  const guard = createGuard({ allow, clock: new MovableClock({ isStill: true }) })
  try {
    guard.check(address, port)
    return true
  } catch (error) {
    assert.ok(error instanceof FmtpError && error.code === 'FMTP_GUARDED', String(error))
    return false
  }
}

describe('guard', () => {
  const addresses: readonly (readonly [address: string, allowed: boolean])[] = [
    ['8.8.8.8', true],
    ['1.1.1.1', true],
    ['0.0.0.0', false],
    ['0.1.2.3', false],
    ['9.255.255.255', true],
    ['10.0.0.1', false],
    ['11.0.0.0', true],
    ['100.63.255.255', true],
    ['100.64.0.1', false],
    ['100.127.255.255', false],
    ['100.128.0.0', true],
    ['127.0.0.1', false],
    ['127.255.255.254', false],
    ['169.254.169.254', false],
    ['172.15.255.255', true],
    ['172.16.0.1', false],
    ['172.31.255.255', false],
    ['172.32.0.0', true],
    ['192.0.0.8', false],
    ['192.0.2.1', false],
    ['192.88.99.1', false],
    ['192.168.1.1', false],
    ['192.169.0.1', true],
    ['198.18.0.1', false],
    ['198.19.255.255', false],
    ['198.51.100.7', false],
    ['203.0.113.9', false],
    ['223.255.255.255', true],
    ['224.0.0.1', false],
    ['239.255.255.255', false],
    ['240.0.0.1', false],
    ['255.255.255.255', false],

    ['2606:4700:4700::1111', true],
    ['2A00:1450:4001:80B::200E', true],
    ['::', false],
    ['::1', false],
    ['0:0:0:0:0:0:0:1', false],
    ['::7f00:1', false],
    ['fe80::1', false],
    ['fe80::1%eth0', false],
    ['febf::1', false],
    ['fec0::1', false],
    ['fc00::1', false],
    ['fd12:3456:789a::1', false],
    ['ff02::1', false],
    ['100::1', false],
    ['2001:db8::1', false],
    ['3fff::1', false],
    ['2001:2::1', false],
    ['2001:10::1', false],
    ['2001:200::1', true],
    ['4000::1', false],

    ['::ffff:8.8.8.8', true],
    ['::ffff:10.0.0.1', false],
    ['::ffff:7f00:1', false],
    ['0:0:0:0:0:ffff:192.168.0.1', false],
    ['64:ff9b::8.8.8.8', true],
    ['64:ff9b::10.0.0.1', false],
    ['64:ff9b:1::8.8.8.8', false],
    ['2002:808:808::1', true],
    ['2002:7f00:1::1', false],
    ['2002:a00:1::', false],
    // Teredo: server 65.54.227.120, client 192.0.2.45 inverted (RFC 4380 §4); then a public client.
    ['2001:0:4136:e378:8000:63bf:3fff:fdd2', false],
    ['2001:0:4136:e378:8000:63bf:f7f7:f7f7', true],
    ['2001:0:a00:1:8000:63bf:f7f7:f7f7', false],

    ['poe.net', false],
    ['0x7f.0.0.1', false],
    ['0177.0.0.1', false],
    ['2130706433', false],
    ['127.1', false],
    ['', false],
  ]

  for (const [address, allowed] of addresses) {
    it(`${allowed ? 'passes' : 'guards'} ${address || 'nothing'}`, () => {
      assert.equal(isAllowed(address), allowed)
    })
  }

  it('passes what a network in allow contains, and nothing beside it', () => {
    const allow = ['127.77.0.0/16', 'fd00:1::/32', '10.0.0.5', '::1']
    const table: readonly (readonly [string, boolean])[] = [
      ['127.77.1.1', true],
      ['127.78.1.1', false],
      ['::ffff:127.77.1.1', true],
      ['::ffff:127.78.1.1', false],
      ['fd00:1::9', true],
      ['fd00:2::9', false],
      ['10.0.0.5', true],
      ['10.0.0.6', false],
      ['::1', true],
      ['8.8.8.8', true],
    ]
    for (const [address, allowed] of table) assert.equal(isAllowed(address, allow), allowed, address)
  })

  it('passes ports 443 and from 1024 only, also in allowed networks', () => {
    const table: readonly (readonly [number, boolean])[] = [
      [443, true],
      [1024, true],
      [3687, true],
      [65535, true],
      [0, false],
      [-1, false],
      [22, false],
      [25, false],
      [80, false],
      [1023, false],
      [65536, false],
      [3687.5, false],
      [Number.NaN, false],
    ]
    for (const [port, allowed] of table) {
      assert.equal(isAllowed('8.8.8.8', [], port), allowed, String(port))
      assert.equal(isAllowed('10.0.0.1', ['10.0.0.0/8'], port), allowed, String(port))
    }
  })

  for (const network of [
    '10.0.0.0/33',
    '10.0.0/8',
    'poe.net',
    '',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
  ]) {
    it(`names ${JSON.stringify(network)} as no network`, () => {
      assert.throws(
        () => createGuard({ allow: ['10.0.0.0/8', network], clock: new MovableClock({ isStill: true }) }),
        (error: unknown) =>
          error instanceof FmtpError &&
          error.code === 'FMTP_CONFIG' &&
          error.message.includes(JSON.stringify(network)),
      )
    })
  }

  it('lets a failed host and port rest for ten minutes', () => {
    const clock = new MovableClock({ isStill: true })
    const guard = createGuard({ allow: [], clock })
    assert.equal(guard.isResting('Mx.Poe.net', 3687), false)
    guard.rest('mx.poe.net', 3687)
    assert.equal(guard.isResting('Mx.Poe.net', 3687), true)
    assert.equal(guard.isResting('mx.poe.net', 3688), false)
    assert.equal(guard.isResting('mx.lenore.org', 3687), false)
    clock.advance(limits.restMs - 1)
    assert.equal(guard.isResting('mx.poe.net', 3687), true)
    clock.advance(1)
    assert.equal(guard.isResting('mx.poe.net', 3687), false)
  })

  it('knows a resting address by any of its spellings', () => {
    const guard = createGuard({ allow: [], clock: new MovableClock({ isStill: true }) })
    guard.rest('2001:DB8:0::1', 443)
    assert.equal(guard.isResting('2001:db8::1', 443), true)
  })

  it('forgets the oldest when too many rest', () => {
    const guard = createGuard({ allow: [], clock: new MovableClock({ isStill: true }) })
    for (let index = 0; index <= 10_000; index++) guard.rest(`h${index}.poe.net`, 443)
    assert.equal(guard.isResting('h0.poe.net', 443), false)
    assert.equal(guard.isResting('h1.poe.net', 443), true)
    assert.equal(guard.isResting('h10000.poe.net', 443), true)
  })

  it('ends a rest when the clock was set back', () => {
    const clock = new MovableClock({ isStill: true })
    const guard = createGuard({ allow: [], clock })
    guard.rest('mx.poe.net', 443)
    clock.advance(-1)
    assert.equal(guard.isResting('mx.poe.net', 443), false)
  })
})
