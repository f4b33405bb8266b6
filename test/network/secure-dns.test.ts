/** Keys that DNSSEC vouches for (protocol §7.1): told in every trail, and required where the operator says so. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { openCore } from '../../server/core/core.ts'
import { assertCode } from '../support/conditions.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

describe('secure dns', function () {
  this.timeout(20_000)
  let network: Network
  let poe: TestServer
  let reader: Connection

  async function start(requireSecure: boolean): Promise<void> {
    poe = await network.serve('poe.net', { dns: { requireSecure } })
    reader = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
    await enrol(await network.serve('lenore.org'), 'lost@lenore.org')
  }

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(async () => {
    reader.close()
    await network[Symbol.asyncDispose]()
  })

  const look = async () => (await reader.request({ address: 'lost@lenore.org', effort: 'lookup' })).answer
  const secureSteps = (): unknown[] =>
    poe.log
      .filter(({ event, record }) => event === 'route' && ['hosts', 'key'].includes(String(record.what)))
      .map(({ record }) => [record.what, (record.detail as { secure?: unknown }).secure])
      .sort()

  for (const isAuthentic of [false, true]) {
    it(`is told in trail and log: ${isAuthentic}`, async () => {
      network.zone.isAuthentic = isAuthentic
      await start(false)
      assert.equal((await look()).outcome, 'found')
      assert.deepEqual(secureSteps(), [
        ['hosts', isAuthentic],
        ['key', isAuthentic],
      ])
      const fetched = poe.log.find(({ event }) => event === 'key.fetched')
      assert.equal(fetched?.record.secure, isAuthentic)
    })
  }

  it('that is required is found where it is there', async () => {
    network.zone.isAuthentic = true
    await start(true)
    assert.equal((await look()).outcome, 'found')
  })

  it('can not be required of a name server whose word anybody on the way can change', async () => {
    const { config } = network.site('raven.example', { dns: { requireSecure: true } })
    const far = { ...config, dns: { ...config.dns, servers: [...config.dns.servers, '192.0.2.53'] } }
    await assertCode('FMTP_CONFIG', () => openCore(far))
    await (await openCore({ ...far, dns: { ...far.dns, requireSecure: false } }))[Symbol.asyncDispose]()
    await start(true)
  })

  it('that is required and missing: nothing is dialled, and who comes is put off', async () => {
    await start(true)
    const { outcome, code } = await look()
    assert.deepEqual([outcome, code], ['unreachable', 'FMTP_NOT_SECURE'])
    assert.equal(
      poe.log.some(({ record }) => record.what === 'connect'),
      false,
    )
    const raven = network.hand('raven.example')
    const end = await rawTls(poe.address, poe.port, 'poe.net')
    const { verb, code: why } = await end.hello('poe.net', { as: raven.name, signer: raven.signer })
    assert.deepEqual([verb, why], ['goodbye', 'FMTP_NOT_SECURE'])
    end.close()
  })
})
