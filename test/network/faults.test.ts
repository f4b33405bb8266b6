/**
 * Faults of DNS, of the network and of the other side, by name (protocol §10.3, §10.4): what a user is told who looks somebody up
 * there and what becomes of a message, within the limit, with a trail that says why, and nobody else waits. How `fmtp trace`
 * shows them is in `trace.test.ts`.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type Certificate, makeCertificate } from '../../objects/seals/certificate.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { spoilingProxy } from '../support/broken-tls.ts'
import { waitUntil } from '../support/conditions.ts'
import { handDomain } from '../support/hand.ts'
import { type HandAnswer, handServer, knowsNobody } from '../support/hand-server.ts'
import { type HostServer, Hosts } from '../support/hosts.ts'
import { ownAddress } from '../support/loopback.ts'
import {
  type Asker,
  assertMet,
  assertUnslowed,
  type Expected,
  type Met,
  meet,
  stateOf,
} from '../support/meeting.ts'
import { hostsMark, isWithoutHosts } from '../support/namespace.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

interface Fault extends Expected {
  readonly name: string
  /** Makes the domain that is met. */
  arrange(domain: string): unknown
  /** It takes long, and is met while others are. */
  readonly isSlow?: true
}

const unreachable = (code: string): Pick<Expected, 'lookup' | 'state'> => ({
  lookup: ['unreachable', code],
  state: ['trying', code],
})
const takesAll: HandAnswer = frame => (frame.verb === 'request' ? knowsNobody : { outcome: 'stored' })
/** Domains that are well, of a server that has reader0 at each. */
const wellNames = Array.from({ length: 12 }, (_, number) => `well${number}.example`)
const spoofedNames = ['fault7.example', 'again7.example'] as const
const minuteMs = 61_000

describe('faults by name:', function () {
  this.timeout(60_000)
  /** What takes longest begins before anything else is met. */
  const begun: (() => Promise<void>)[] = []

  before(async () => {
    for (const begin of begun) await begin()
  })

  describe('a domain that', () => {
    let network: Network
    let poe: TestServer
    let lenore: TestServer
    let edgar: Asker
    let tls: Certificate
    let lastHost = 219
    const open: AsyncDisposable[] = []
    const well = [...wellNames]
    /** Those that take long, by name. */
    const meetings = new Map<string, Promise<Met>>()

    const nextAddress = (): string => ownAddress(++lastHost)
    /** Publishes the key of a domain, and this place as its host. */
    function place(domain: string, port: number, address: string): void {
      network.publish({ domain, address }, network.hand(domain).record, port)
    }

    const faults: readonly Fault[] = [
      {
        name: 'has MX records that fail',
        arrange(domain) {
          network.hand(domain)
          network.zone.fail(domain, 'MX', 'servfail')
        },
        ...unreachable('FMTP_DNS_FAILED'),
        steps: ['lookup mx FMTP_DNS_FAILED', 'lookup hosts FMTP_DNS_FAILED'],
        mostMs: 3000,
      },
      {
        name: 'has no key record',
        async arrange(domain) {
          place(domain, lenore.port, lenore.address)
          network.zone.set(`fmtpkey.${domain}`, 'TXT', [])
        },
        ...unreachable('FMTP_NO_KEY'),
        steps: ['lookup hosts ok', 'lookup key FMTP_NO_KEY'],
        mostMs: 3000,
      },
      {
        name: 'has changed its key, and not its record',
        async arrange(domain) {
          const changed = { name: domain, address: nextAddress(), ...tls, domain: handDomain(domain) }
          const server = await handServer(network, changed, takesAll)
          open.push(server)
          place(domain, server.port, changed.address)
          changedRecords.set(domain, changed.domain.record)
        },
        ...unreachable('FMTP_PROOF'),
        isToRest: true,
        steps: ['lookup key ok', 'lookup hello FMTP_PROOF'],
        mostMs: 3000,
      },
      {
        name: 'has a host that refuses',
        arrange: domain => place(domain, 3687, nextAddress()),
        ...unreachable('FMTP_CONNECT_FAILED'),
        steps: ['lookup connect FMTP_CONNECT_FAILED', 'lookup dial FMTP_CONNECT_FAILED'],
        mostMs: 3000,
      },
      {
        name: 'has a host that accepts and says nothing',
        async arrange(domain) {
          const sockets: Socket[] = []
          const address = nextAddress()
          const silent = createServer(socket => sockets.push(socket.on('error', () => undefined)))
          silent.listen(0, address)
          await once(silent, 'listening')
          open.push({
            async [Symbol.asyncDispose]() {
              for (const socket of sockets) socket.destroy()
              await new Promise(resolve => silent.close(resolve))
            },
          })
          place(domain, (silent.address() as AddressInfo).port, address)
        },
        ...unreachable('FMTP_CONNECT_FAILED'),
        steps: ['lookup connect ok', 'lookup tls FMTP_CONNECT_FAILED'],
        leastMs: 9000,
        mostMs: 20_000,
        isSlow: true,
      },
      {
        name: 'has a host whose TLS breaks',
        async arrange(domain) {
          const address = nextAddress()
          const proxy = await spoilingProxy(address, lenore, 600)
          open.push(proxy)
          place(domain, proxy.port, address)
        },
        ...unreachable('FMTP_CONNECT_FAILED'),
        steps: ['lookup connect ok', 'lookup tls FMTP_CONNECT_FAILED'],
        mostMs: 3000,
      },
      {
        name: 'has a host at which another domain answers',
        async arrange(domain) {
          const address = nextAddress()
          const other = await handServer(network, { name: `other.${domain}`, address, ...tls }, takesAll)
          open.push(other)
          place(domain, other.port, address)
        },
        ...unreachable('FMTP_WRONG_PEER'),
        isToRest: true,
        steps: ['lookup tls ok', 'lookup front FMTP_WRONG_PEER'],
        mostMs: 3000,
      },
      {
        name: 'has a name server in whose place others answer too',
        arrange(domain) {
          assert.ok(spoofedNames.some(name => name === domain))
          network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'spoof')
          network.zone.fail(`_fmtp._tcp.${domain}`, 'SRV', 'spoof')
          network.zone.fail(`fmtp.${domain}`, 'A', 'spoof')
        },
        lookup: ['found'],
        state: ['stored'],
        steps: ['lookup key ok', 'lookup request ok'],
        mostMs: 3000,
      },
    ]
    /** What the record of a domain should say. */
    const changedRecords = new Map<string, string>()

    before(async () => {
      network = await Network.start()
      tls = await makeCertificate('raven.example', Date.now())
      poe = await network.serve('poe.net')
      lenore = await network.serve('lenore.org', { also: [...well, ...spoofedNames] })
      for (const domain of well) await lenore.running.accounts.create(parseAddress(`reader0@${domain}`))
      for (const domain of spoofedNames) await lenore.running.accounts.create(parseAddress(`alice@${domain}`))
      const person = await enrol(poe, 'edgar@poe.net')
      edgar = { address: person.address, client: await connectAs(poe, person), server: poe }
      for (const [index, fault] of faults.entries()) {
        if (fault.isSlow !== true) continue
        await begin(fault, `fault${index}.example`)
        await assertUnslowed(edgar, well.pop() ?? '')
      }
    })

    after(async () => {
      edgar.client.close()
      for (const each of open) await each[Symbol.asyncDispose]()
      await network[Symbol.asyncDispose]()
    })

    async function begin(fault: Fault, domain: string): Promise<Promise<Met>[]> {
      await fault.arrange(domain)
      const meeting = meet(edgar, `alice@${domain}`)
      meeting.catch(() => undefined)
      meetings.set(fault.name, meeting)
      // Not the meeting itself: that would be waited for.
      return [meeting]
    }

    for (const [index, fault] of faults.entries())
      it(`${fault.name}: right outcome, in time, with the reason, and nobody else waits`, async () => {
        if (fault.isSlow !== true) {
          await begin(fault, `fault${index}.example`)
          await assertUnslowed(edgar, well.pop() ?? '')
        }
        assertMet(await (meetings.get(fault.name) as Promise<Met>), fault)
      })

    it('was wrong and is right now, has what waited for it', async () => {
      const domain = 'fault2.example'
      const { id } = await (meetings.get(faults[2]?.name ?? '') as Promise<Met>)
      network.zone.set(`fmtpkey.${domain}`, 'TXT', [changedRecords.get(domain) ?? ''])
      await waitUntil('it is stored', async () => {
        network.clock.advance(minuteMs)
        return (await stateOf(edgar.client, id))?.outcome === 'stored'
      })
      const { answer } = await edgar.client.request({ address: `bob@${domain}`, effort: 'lookup' })
      assert.equal(answer.outcome, 'absent')
    })

    it('is one of eight with different faults at once: nobody else waits', async () => {
      const met = await Promise.all(faults.map((fault, index) => begin(fault, `again${index}.example`)))
      await assertUnslowed(edgar, well.pop() ?? '')
      for (const [index, fault] of faults.entries())
        if (fault.isSlow !== true) assertMet(await (met[index]?.[0] as Promise<Met>), fault)
    })
  })

  describe(`a domain on another host that${hostsMark}`, () => {
    const [raven, dead, late] = ['raven.example', 'dead.example', 'late.example'] as const
    const alice = `alice@${raven}`
    const postId = `essay.${alice}`
    let hosts: Hosts
    let edgar: Asker
    let far: HostServer
    const met = new Map<string, Promise<Met>>()

    /** Beside what is met on loopback: some of it takes long. */
    begun.push(async () => {
      if (isWithoutHosts) return
      hosts = await Hosts.start({ lateMs: 6000 })
      const limits = { pingAfterMs: 500, pongMs: 1500 }
      const well = wellNames.slice(0, 3)
      const [poe, lenore, there] = await Promise.all([
        hosts.serve('poe.net', { limits }),
        hosts.serve('lenore.org', { also: [...well, late] }),
        hosts.serve(raven, { limits }),
      ])
      far = there
      for (const domain of well) await lenore.makeToken(`reader0@${domain}`)
      await lenore.makeToken(`alice@${late}`)
      const person = await poe.enrol('edgar@poe.net')
      edgar = { address: person.address, client: await poe.connect(person), server: poe }
      const writer = await far.connect(await far.enrol(alice))
      const body = 'Once upon a midnight dreary. '.repeat(4000)
      const essay = { id: postId, kind: 'post', public: true, format: 'text/plain', title: 'The Raven', body }
      assert.equal((await writer.describe({ object: essay })).outcome, 'stored')
      writer.close()
      const begin = async (domain: string, sought?: object): Promise<void> => {
        const meeting = meet(edgar, `alice@${domain}`, sought)
        meeting.catch(() => undefined)
        met.set(domain, meeting)
        await assertUnslowed(edgar, well.pop() ?? '')
      }

      await hosts.set(`fmtpkey.${dead}`, 'TXT', [far.keyRecord])
      await hosts.point(dead, await hosts.place(dead))
      await hosts.wall.darken(hosts.addressOf(dead))
      await begin(dead)
      await hosts.fail(`fmtpkey.${late}`, 'TXT', 'late')
      await begin(late)
      const { answer } = await edgar.client.request({ address: `bob@${raven}`, effort: 'lookup' })
      assert.equal(answer.outcome, 'absent')
      await hosts.wall.shorten(hosts.addressOf(raven), hosts.addressOf('poe.net'), 20_000)
      await begin(raven, { id: postId })
    })

    before(function () {
      if (isWithoutHosts) this.skip()
    })

    after(async () => {
      edgar?.client.close()
      await hosts?.[Symbol.asyncDispose]()
    })

    it('takes no packet: right outcome, in time, with the reason, and nobody else waits', async () => {
      assertMet(await (met.get(dead) as Promise<Met>), {
        ...unreachable('FMTP_CONNECT_FAILED'),
        steps: ['lookup key ok', 'lookup connect FMTP_CONNECT_FAILED', 'lookup dial FMTP_CONNECT_FAILED'],
        ...{ leastMs: 9000, mostMs: 20_000 },
      })
    })

    it('has a name server that answers too late: the same, and all is well when it answers again', async () => {
      const { id, ...told } = await (met.get(late) as Promise<Met>)
      assertMet(
        { id, ...told },
        {
          ...unreachable('FMTP_DNS_FAILED'),
          steps: ['lookup hosts ok', 'lookup key FMTP_DNS_FAILED'],
          ...{ leastMs: 4000, mostMs: 6900 },
        },
      )
      await hosts.fail(`fmtpkey.${late}`, 'TXT')
      const { answer } = await edgar.client.request({ address: `alice@${late}`, effort: 'lookup' })
      assert.equal(answer.outcome, 'found')
    })

    it('has its packets cut in the middle of an answer: the same, and what it was sent it has once', async () => {
      const { id, ...told } = await (met.get(raven) as Promise<Met>)
      assertMet(
        { id, ...told },
        {
          ...unreachable('FMTP_CONNECT_FAILED'),
          steps: ['lookup request FMTP_DISCONNECTED', 'lookup connect FMTP_CONNECT_FAILED'],
          ...{ leastMs: 1400, mostMs: 25_000 },
        },
      )
      await hosts.wall.restore()
      const poe = edgar.server as HostServer
      await waitUntil('it is stored', async () => {
        await poe.advance(minuteMs)
        return (await stateOf(edgar.client, id))?.outcome === 'stored'
      })
      const { answer } = await edgar.client.request({ id: postId, effort: 'lookup' })
      assert.equal(answer.outcome, 'found')
      const reader = await far.connect(await far.enrol(alice))
      const box = await reader.request({ list: { of: 'box', owner: alice, kind: 'message' } })
      reader.close()
      assert.deepEqual(
        box.describes.map(({ object }) => (object as FmtpObject).id),
        [id],
      )
    })
  })
})
