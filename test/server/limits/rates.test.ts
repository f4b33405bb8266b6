/** What is counted for whom (protocol §12.2): known domains, tries with a token, networks without limits. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { limits } from '../../../schemas/limits.ts'
import { createRates, type RatesOptions } from '../../../server/limits/rates.ts'
import { Refusals } from '../../../server/limits/refusals.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'
import { type HandDomain, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../../support/network.ts'
import { type RawEnd, rawTls } from '../../support/raw.ts'

describe('rates', () => {
  const rates = (options: Partial<RatesOptions> = {}) =>
    createRates({
      perSecond: 1,
      burst: 2,
      exempt: [],
      clock: new MovableClock(),
      isKnown: async () => false,
      isNew: () => false,
      refusals: new Refusals({ clock: new MovableClock(), onEvent: () => undefined }),
      ...options,
    })

  it('count the false tries of an IP address, and refuse the eleventh in a minute', async () => {
    const { spendTry } = rates()
    for (let at = 0; at < 30; at++) await (await spendTry('192.0.2.1', 'lost@lenore.org'))()
    for (let at = 0; at < 10; at++) await spendTry('192.0.2.1', 'lost@lenore.org')
    await assertCode('FMTP_RATE', () => spendTry('192.0.2.1', 'alice@lenore.org'))
  })

  it('let nobody lock an account: too many false tries make the next ones wait, from anywhere', async () => {
    const clock = new MovableClock()
    const { spendTry } = rates({ clock })
    for (let at = 0; at < 10; at++) await spendTry(`192.0.2.${at}`, 'lost@lenore.org')
    await spendTry('192.0.2.20', 'alice@lenore.org')
    let isThrough = false
    const owner = spendTry('198.51.100.1', 'lost@lenore.org').then(() => {
      isThrough = true
    })
    for (let at = 0; at < 20; at++) await turn()
    assert.equal(isThrough, false)
    clock.advance(limits.trySlowMs)
    await owner
    assert.equal(isThrough, true)
  })

  it('do not hold for exempt networks, whatever a proxy says who asks', async () => {
    const { spendObject, spendRequest } = rates({ exempt: ['192.0.2.0/24', '2001:db8::/32'] })
    for (const remote of ['192.0.2.1', '::ffff:192.0.2.1', '2001:db8::1']) {
      for (let at = 0; at < 20; at++) await spendObject(`${remote}.example`, remote)
    }
    for (const remote of ['192.0.3.1', 'unknown', '']) {
      for (let at = 0; at < limits.guestRequestsPerMinute; at++) await spendRequest(remote)
      await assertCode('FMTP_RATE', () => spendRequest(remote))
    }
  })

  it('hold for the network of an IPv4 address, also in the clothes of IPv6', async () => {
    const { spendObject } = rates()
    const spendAll = async (): Promise<void> => {
      for (let at = 0; at < 11; at++) await spendObject(`${at}.example`, '::ffff:192.0.2.1')
    }
    await assertCode('FMTP_RATE', spendAll)
    await spendObject('alice.example', '::ffff:198.51.100.1')
    await assertCode('FMTP_RATE', () => spendObject('bob.example', '192.0.2.9'))
  })

  describe('of a server', () => {
    let network: Network
    let server: TestServer

    before(async () => {
      network = await Network.start()
      server = await network.serve('lenore.org', {
        limits: { exempt: [], unknownPeerPerSecond: 1, unknownPeerBurst: 8, sessionsPerPeer: 2 },
      })
    })

    after(() => network[Symbol.asyncDispose]())

    it('do not hold for a domain that a whitelist names, and do again when it names it no more', async () => {
      const lost = await enrol(server, 'lost@lenore.org')
      const change = async (whitelist: readonly string[]): Promise<void> => {
        const client = await connectAs(server, lost)
        const object = { id: 'user.lost@lenore.org', kind: 'user', whitelist }
        assert.equal((await client.describe({ object })).outcome, 'stored')
        client.close()
      }
      const ends: RawEnd[] = []
      const domains = new Map<string, HandDomain>()
      /** Outcomes of five messages at once, or the code with which a hello was refused. */
      const outcomes = async (name: string): Promise<unknown[]> => {
        const domain = domains.get(name) ?? network.hand(name)
        domains.set(name, domain)
        const writer = handUser(domain, `edgar@${name}`)
        const end = await rawTls(server.address, server.port, 'lenore.org')
        ends.push(end)
        await end.hello('lenore.org', { as: name, signer: domain.signer })
        const numbers = [1, 2, 3, 4, 5]
        for (const n of numbers) {
          const object = handMessage(writer, ['lost@lenore.org'])
          end.sendFrame({ verb: 'describe', n, object, for: ['lost@lenore.org'] })
        }
        const answers = await Promise.all(numbers.map(n => end.answer(n)))
        return answers.map(({ outcome }) => outcome)
      }
      const limited = ['stored', 'stored', 'busy', 'busy', 'busy']
      assert.deepEqual(await outcomes('poe.net'), limited)
      await change(['edgar@poe.net', '*@*.edu', '*'])
      assert.deepEqual(await outcomes('poe.net'), Array(5).fill('stored'))
      assert.deepEqual(await outcomes('cs.mit.edu'), Array(5).fill('stored'))
      assert.deepEqual(await outcomes('edu.example'), limited)
      for (let more = 0; more < 3; more++)
        assert.deepEqual(await outcomes('poe.net'), Array(5).fill('stored'))
      await change([])
      await assert.rejects(outcomes('poe.net'), /FMTP_RATE/)
      for (const end of ends) end.close()
    })
  })
})
