/** The lookup ladder between two servers (protocol §10.2): fresh, stale, expired, absent and unreachable. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { waitUntil } from '../../support/conditions.ts'
import { connectAs, enrol, Network, type TestServer } from '../../support/network.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

describe('lookup', () => {
  let network: Network
  let poe: TestServer
  let client: Connection

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    await enrol(await network.serve('lenore.org'), 'lost@lenore.org')
    client = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
  })

  afterEach(async () => {
    client.close()
    await network[Symbol.asyncDispose]()
  })

  interface Found {
    readonly outcome: string
    readonly code: string | undefined
    readonly object: (FmtpObject & { readonly quote?: string }) | undefined
    /** What was done beyond the own store, from the log. */
    readonly steps: readonly string[]
  }

  async function find(address: string): Promise<Found> {
    const since = poe.log.length
    const { answer, describes } = await client.request({ address, effort: 'lookup' })
    const steps = poe.log
      .slice(since)
      .filter(({ event }) => event === 'route')
      .map(({ record }) => `${record.rung} ${record.what} ${record.outcome}`)
    const { outcome, code } = answer
    return { outcome, code, object: describes[0]?.object as Found['object'], steps }
  }

  async function say(quote: string): Promise<void> {
    const lenore = await network.serve('lenore.org')
    const lost = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
    const object = { id: 'user.lost@lenore.org', kind: 'user', public: true, quote }
    assert.equal((await lost.describe({ object })).outcome, 'stored')
    lost.close()
  }

  it('climbs to the domain once, then answers from its own store', async () => {
    const first = await find('lost@lenore.org')
    assert.equal(first.object?.id, 'user.lost@lenore.org')
    const asked = [
      'local cache miss',
      'domain key ok',
      'domain hosts ok',
      'domain connect ok',
      'domain hello ok',
    ]
    for (const step of [...asked, 'domain ask ok', 'domain request ok', 'domain seal ok'])
      assert.ok(first.steps.includes(step), `${step} in ${first.steps}`)
    assert.deepEqual((await find('lost@lenore.org')).steps, ['local cache ok'])
    const looks = poe.log.filter(({ record }) => record.what === 'cache')
    assert.deepEqual(
      looks.map(({ record, level }) => `${record.outcome} ${level}`),
      ['miss info', 'ok debug'],
    )
  })

  it('shares one climb between all who look for the same', async () => {
    const found = await Promise.all(Array.from({ length: 8 }, () => find('lost@lenore.org')))
    assert.ok(found.every(({ outcome }) => outcome === 'found'))
    const connects = poe.log.filter(({ record }) => record.what === 'connect' && record.outcome === 'ok')
    assert.equal(connects.length, 1)
  })

  it('serves a stale copy at once, and refreshes it behind', async () => {
    await find('lost@lenore.org')
    await network.stop('lenore.org')
    await say('Nevermore')
    network.clock.advance(11 * minuteMs)
    assert.equal((await find('lost@lenore.org')).object?.quote, undefined)
    await waitUntil('it is fresh', async () => (await find('lost@lenore.org')).object?.quote === 'Nevermore')
  })

  it('serves an expired copy when nothing else answers, and none that is a month old', async () => {
    await find('lost@lenore.org')
    await network.stop('lenore.org')
    network.clock.advance(25 * hourMs)
    const old = await find('lost@lenore.org')
    assert.equal(old.outcome, 'found')
    assert.ok(
      old.steps.some(step => step.startsWith('domain connect FMTP_')),
      `${old.steps}`,
    )
    network.clock.advance(31 * 24 * hourMs)
    assert.equal((await find('lost@lenore.org')).outcome, 'unreachable')
  })

  it('believes its home that somebody is absent, for a minute', async () => {
    assert.equal((await find('nobody@lenore.org')).outcome, 'absent')
    const again = await find('nobody@lenore.org')
    assert.deepEqual([again.outcome, again.steps], ['absent', ['local cache ok']])
    network.clock.advance(61_000)
    assert.ok((await find('nobody@lenore.org')).steps.includes('domain request miss'))
  })

  const failures: readonly (readonly [what: string, arrange: () => void, code: string])[] = [
    [
      'whose key nobody can say',
      () => network.zone.fail('fmtpkey.mallory.example', 'TXT', 'servfail'),
      'FMTP_DNS_FAILED',
    ],
    ['without a key', () => undefined, 'FMTP_NO_KEY'],
    ['without a host', () => network.hand('mallory.example'), 'FMTP_NO_HOST'],
    [
      'whose host may not be dialled',
      () => {
        network.hand('mallory.example')
        network.zone.set('mallory.example', 'A', ['127.0.0.1'])
      },
      'FMTP_GUARDED',
    ],
    [
      'whose host is another domain',
      () => {
        network.hand('mallory.example')
        network.zone.set('_fmtp._tcp.mallory.example', 'SRV', [`0 5 ${poe.port} fmtp.poe.net`])
      },
      'FMTP_NOT_MINE',
    ],
  ]
  for (const [what, arrange, code] of failures) {
    it(`of a domain ${what} is unreachable with ${code}, never absent`, async () => {
      arrange()
      const found = await find('raven@mallory.example')
      assert.deepEqual([found.outcome, found.code], ['unreachable', code])
    })
  }

  it('is for users of ours alone: a guest gets what is here', async () => {
    const { Connection } = await import('../../../client/connection.ts')
    const { dialOrigin } = await import('../../../client/dial.ts')
    const guest = await Connection.open(await dialOrigin(poe.origin), {
      domain: 'poe.net',
      randomNonce: () => 'A'.repeat(22),
      verifyServer: async () => undefined,
    })
    const { answer } = await guest.request({ address: 'lost@lenore.org', effort: 'lookup' })
    assert.deepEqual([answer.outcome, answer.code], ['unreachable', 'FMTP_NOT_HERE'])
    guest.close()
  })
})
