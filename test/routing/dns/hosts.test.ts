import assert from 'node:assert/strict'
import { createResolver } from '../../../routing/dns/client.ts'
import { findHosts, type HostStep, orderByPreference, orderByWeight } from '../../../routing/dns/hosts.ts'
import type { Resolver } from '../../../routing/dns/resolver.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { serveZone, type Zone } from '../../../server/demo/name-server.ts'
import { parseZone } from '../../../server/demo/zone-text.ts'
import { ownAddress } from '../../support/loopback.ts'

/** Numbers from 0 to below 1 that look random and are the same each time. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return state / 2_147_483_648
  }
}

const failsWith = (code: string) => (error: unknown) => {
  assert.ok(error instanceof FmtpError, String(error))
  assert.equal(error.code, code, error.message)
  return true
}

describe('mx', () => {
  let zone: Zone
  let resolver: Resolver & AsyncDisposable

  const serve = async (text: string): Promise<void> => {
    zone = await serveZone({ address: ownAddress(201), port: 0, records: parseZone(text) })
    resolver = createResolver({ servers: [zone.server], timeoutMs: 150 })
  }
  afterEach(async () => {
    await resolver[Symbol.asyncDispose]()
    await zone[Symbol.asyncDispose]()
  })

  it('takes SRV first, by priority, with its ports, and asks for nothing else', async () => {
    await serve(`
      _fmtp._tcp.poe.net SRV 20 0 4000 second.poe.net
      _fmtp._tcp.poe.net SRV 10 0 443  first.poe.net
      poe.net            MX  10 mail.poe.net
      first.poe.net      A   192.0.2.1
      first.poe.net      AAAA 2001:db8::1
      second.poe.net     A   192.0.2.2
    `)
    const found = await findHosts(resolver, 'poe.net')
    assert.deepEqual(found.hosts, [
      { host: 'first.poe.net', port: 443, addresses: ['192.0.2.1', '2001:db8::1'] },
      { host: 'second.poe.net', port: 4000, addresses: ['192.0.2.2'] },
    ])
    assert.equal(found.via, 'srv')
    assert.deepEqual(
      found.trail.map(({ rung, name, outcome }) => ({ rung, name, outcome })),
      [{ rung: 'srv', name: '_fmtp._tcp.poe.net', outcome: 'found' }],
    )
  })

  it('is secure when DNSSEC vouches for every answer that it rests on', async () => {
    await serve(`
      poe.net    MX 20 b.poe.net
      b.poe.net  A  192.0.2.1
      raven.example A 192.0.2.2
      lenore.org MX 10 b.poe.net
    `)
    zone.isAuthentic = true
    assert.equal((await findHosts(resolver, 'poe.net')).isSecure, true)
    await resolver.srv('_fmtp._tcp.raven.example')
    zone.isAuthentic = false
    await resolver.mx('raven.example')
    zone.isAuthentic = true
    assert.equal((await findHosts(resolver, 'raven.example')).isSecure, false, 'MX is absent, says nobody')
    zone.isAuthentic = false
    await resolver.srv('_fmtp._tcp.lenore.org')
    zone.isAuthentic = true
    assert.equal((await findHosts(resolver, 'lenore.org')).isSecure, false, 'SRV is absent, says nobody')
    zone.isAuthentic = false
    await resolver.addresses('b.poe.net', { fresh: true })
    assert.equal((await findHosts(resolver, 'poe.net')).isSecure, false, 'so the address is not')
  })

  it('takes MX when there is no SRV, by preference, at the default port', async () => {
    await serve(`
      poe.net    MX 20 b.poe.net
      poe.net    MX 10 a.poe.net
      a.poe.net  A  192.0.2.1
      b.poe.net  A  192.0.2.2
    `)
    const found = await findHosts(resolver, 'poe.net')
    assert.equal(found.via, 'mx')
    assert.deepEqual(found.hosts, [
      { host: 'a.poe.net', port: 3687, addresses: ['192.0.2.1'] },
      { host: 'b.poe.net', port: 3687, addresses: ['192.0.2.2'] },
    ])
    assert.deepEqual(
      found.trail.map(({ rung, outcome }) => `${rung} ${outcome}`),
      ['srv absent', 'mx found'],
    )
  })

  it('takes the domain itself when there is neither', async () => {
    await serve('poe.net A 192.0.2.1')
    const found = await findHosts(resolver, 'poe.net')
    assert.equal(found.via, 'address')
    assert.deepEqual(found.hosts, [{ host: 'poe.net', port: 3687, addresses: ['192.0.2.1'] }])
  })

  it('finds no host where there are no records', async () => {
    await serve('lenore.org A 192.0.2.1')
    const steps: HostStep[] = []
    await assert.rejects(
      findHosts(resolver, 'poe.net', { onStep: step => steps.push(step) }),
      failsWith('FMTP_NO_HOST'),
    )
    assert.deepEqual(
      steps.map(({ rung, outcome }) => `${rung} ${outcome}`),
      ['srv absent', 'mx absent', 'address absent'],
    )
  })

  it('takes a null MX for absence, whatever address the domain has', async () => {
    await serve('poe.net MX 0 .\npoe.net A 192.0.2.1')
    const steps: HostStep[] = []
    await assert.rejects(
      findHosts(resolver, 'poe.net', { onStep: step => steps.push(step) }),
      failsWith('FMTP_NO_HOST'),
    )
    assert.deepEqual(
      steps.map(({ rung, outcome }) => `${rung} ${outcome}`),
      ['srv absent', 'mx refused'],
    )
  })

  it('takes SRV with target . for absence, whatever MX the domain has', async () => {
    await serve('_fmtp._tcp.poe.net SRV 0 0 0 .\npoe.net MX 10 a.poe.net\na.poe.net A 192.0.2.1')
    await assert.rejects(findHosts(resolver, 'poe.net'), failsWith('FMTP_NO_HOST'))
  })

  it('passes over a null MX beside others', async () => {
    await serve('poe.net MX 0 .\npoe.net MX 10 a.poe.net\na.poe.net A 192.0.2.1')
    const { hosts, skipped } = await findHosts(resolver, 'poe.net')
    assert.deepEqual(skipped, [])
    assert.deepEqual(
      hosts.map(({ host }) => host),
      ['a.poe.net'],
    )
  })

  for (const [type, name] of [
    ['SRV', '_fmtp._tcp.poe.net'],
    ['MX', 'poe.net'],
  ] as const) {
    it(`does not take a failing ${type} query for absence`, async () => {
      await serve('poe.net A 192.0.2.1')
      zone.fail(name, type, 'servfail')
      const steps: HostStep[] = []
      await assert.rejects(
        findHosts(resolver, 'poe.net', { onStep: step => steps.push(step) }),
        failsWith('FMTP_DNS_FAILED'),
      )
      assert.equal(steps.at(-1)?.outcome, 'failed')
      zone.fail(name, type, undefined)
      assert.equal((await findHosts(resolver, 'poe.net')).via, 'address')
    })
  }

  it('leaves out and names hosts without address', async () => {
    await serve(
      'poe.net MX 10 a.poe.net\npoe.net MX 20 b.poe.net\npoe.net MX 30 c.poe.net\nb.poe.net A 192.0.2.2',
    )
    zone.fail('c.poe.net', 'A', 'refused')
    zone.fail('c.poe.net', 'AAAA', 'refused')
    const { hosts, skipped } = await findHosts(resolver, 'poe.net')
    assert.deepEqual(
      hosts.map(({ host }) => host),
      ['b.poe.net'],
    )
    assert.deepEqual(skipped, [
      { host: 'a.poe.net', code: 'FMTP_NO_HOST' },
      { host: 'c.poe.net', code: 'FMTP_DNS_FAILED' },
    ])
  })

  it('says that there is no host when none has an address, and that DNS failed when it did', async () => {
    await serve('poe.net MX 10 a.poe.net\npoe.net MX 20 c.poe.net\npoe.net A 192.0.2.1')
    await assert.rejects(findHosts(resolver, 'poe.net'), failsWith('FMTP_NO_HOST'))
    zone.set('poe.net', 'MX', ['10 d.poe.net', '20 e.poe.net'])
    zone.fail('e.poe.net', 'A', 'servfail')
    await using again = createResolver({ servers: [zone.server], timeoutMs: 150 })
    await assert.rejects(findHosts(again, 'poe.net'), failsWith('FMTP_DNS_FAILED'))
  })

  it('asks for sixteen hosts at most', async () => {
    const lines = Array.from(
      { length: 30 },
      (_, index) => `poe.net MX 10 h${index}.poe.net\nh${index}.poe.net A 192.0.2.1`,
    )
    await serve(lines.join('\n'))
    assert.equal((await findHosts(resolver, 'poe.net')).hosts.length, 16)
  })

  it('ends with the reason of its signal', async () => {
    await serve('poe.net A 192.0.2.1')
    zone.fail('_fmtp._tcp.poe.net', 'SRV', 'silence')
    const signal = AbortSignal.timeout(20)
    await assert.rejects(findHosts(resolver, 'poe.net', { signal }), { name: 'TimeoutError' })
  })
})

describe('orderByWeight', () => {
  const record = (host: string, priority: number, weight: number) => ({ host, port: 3687, priority, weight })

  it('draws in proportion to the weights', () => {
    const records = [
      record('light', 0, 1),
      record('heavy', 0, 9),
      record('never', 0, 0),
      record('last', 1, 500),
    ]
    const random = createRandom(77)
    const first = new Map<string, number>()
    for (let draw = 0; draw < 2000; draw++) {
      const order = orderByWeight(records, random)
      assert.equal(order.length, 4)
      assert.equal(order[3]?.host, 'last')
      const host = order[0]?.host ?? ''
      first.set(host, (first.get(host) ?? 0) + 1)
    }
    // Of 11 equal lots, 9 fall to heavy, 1 to light and 1, that of the number 0, to weight 0 (RFC 2782).
    const share = (host: string): number => (first.get(host) ?? 0) / 2000
    assert.ok(Math.abs(share('heavy') - 9 / 11) < 0.04, `heavy ${share('heavy')}`)
    assert.ok(Math.abs(share('light') - 1 / 11) < 0.03, `light ${share('light')}`)
    assert.ok(share('never') > 0 && share('never') < 0.13, `never ${share('never')}`)
  })

  it('takes the first lots in order at the ends of random', () => {
    const records = [record('a', 0, 5), record('b', 0, 5)]
    const hosts = (value: number): string[] => orderByWeight(records, () => value).map(({ host }) => host)
    assert.deepEqual(hosts(0), ['a', 'b'])
    assert.deepEqual(hosts(0.999_999), ['b', 'a'])
  })
})

describe('orderByPreference', () => {
  it('shuffles equal ones only', () => {
    const records = ['a', 'b', 'c'].map(host => ({ host, preference: 10 }))
    const random = createRandom(7)
    const seen = new Set<string>()
    for (let draw = 0; draw < 200; draw++) {
      const order = orderByPreference(
        [{ host: 'z', preference: 20 }, ...records, { host: 'y', preference: 5 }],
        random,
      )
      assert.equal(order[0]?.host, 'y')
      assert.equal(order[4]?.host, 'z')
      seen.add(order.map(({ host }) => host).join(''))
    }
    assert.equal(seen.size, 6)
  })
})
