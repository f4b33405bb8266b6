/**
 * Versions that come at once (protocol §6.1): whatever the doors have to wait for in between, the newest is what stays.
 * What makes the older one wait is real: a name server that is late, and boxes that are read.
 */
import assert from 'node:assert/strict'
import { mintId } from '../../../objects/id.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { handDomain, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

describe('versions that come at once', () => {
  let network: Network
  let server: TestServer
  let lost: Person
  let alice: Person

  before(async () => {
    network = await Network.start({ lateMs: 100 })
    server = await network.serve('lenore.org')
    lost = await enrol(server, 'lost@lenore.org')
    alice = await enrol(server, 'alice@lenore.org')
  })

  after(() => network[Symbol.asyncDispose]())

  it('from outside: one whose key is fetched late is not written over a newer one', async () => {
    const poe = network.hand('poe.net')
    const edgar = handUser(poe, 'edgar@poe.net')
    const next = handDomain('poe.net')
    const late = handUser({ ...next, signer: { ...next.signer, kid: 'next' } }, 'edgar@poe.net')
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    // A minute after the key was fetched a new one is asked for; its record is there, but slow.
    network.clock.advance(61_000)
    network.zone.set('fmtpkey.poe.net', 'TXT', [poe.record, next.record.replace('s=hand', 's=next')])
    network.zone.fail('fmtpkey.poe.net', 'TXT', 'late')
    const newer = handMessage(edgar, [lost.address])
    const older = handMessage(late, [lost.address], { id: newer.id, version: newer.version - 1 })
    const frame = { verb: 'describe', for: [lost.address] } as const
    end.sendFrame({ ...frame, n: 1, object: older })
    assert.equal((await end.ask({ ...frame, n: 2, object: newer })).outcome, 'stored')
    assert.equal((await end.answer(1)).code, 'FMTP_TOO_OLD')
    const reader = await connectAs(server, lost)
    assert.equal((await reader.request({ id: newer.id })).answer.version, newer.version)
    reader.close()
    end.close()
  })

  it('from outside: a seal whose key is fetched late does not displace one that lives longer', async () => {
    const usher = network.hand('usher.org')
    const next = handDomain('usher.org')
    const early = Date.now() - 3_600_000
    const late = handUser({ ...next, signer: { ...next.signer, kid: 'next' } }, 'roderick@usher.org', early)
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'usher.org', ...usher })
    network.clock.advance(61_000)
    network.zone.set('fmtpkey.usher.org', 'TXT', [usher.record, next.record.replace('s=hand', 's=next')])
    network.zone.fail('fmtpkey.usher.org', 'TXT', 'late')
    const fresh = handMessage(handUser(usher, 'roderick@usher.org'), [lost.address])
    const { encryptedKey: _, hash: __, ...unsealed } = fresh
    const stale = sealObject(unsealed as Unsealed, late).object
    const frame = { verb: 'describe' } as const
    end.sendFrame({ ...frame, n: 1, object: stale, for: [alice.address] })
    const answer = await end.ask({ ...frame, n: 2, object: fresh, for: [lost.address] })
    assert.equal(answer.outcome, 'stored')
    assert.equal((await end.answer(1)).outcome, 'stored')
    assert.equal(server.running.store.findObject(fresh.id)?.hash, fresh.hash)
    end.close()
  })

  it('from its own user: one whose recipients take long to judge is not written over a newer one', async () => {
    const { accounts } = server.running
    const poets = Array.from({ length: 40 }, (_, at) => parseAddress(`poet${at}@lenore.org`))
    for (const poet of poets) await accounts.create(poet)
    const client = await connectAs(server, lost)
    const owner = parseAddress(lost.address)
    const message = { kind: 'message', format: 'text/plain', body: 'Nevermore' }
    // With an answer each recipient's box and the thread are read; that takes longer than the disk.
    const top = mintId(owner, Date.now())
    assert.equal((await client.describe({ object: { ...message, id: top, to: poets } })).outcome, 'stored')
    for (let tried = 0; tried < 10; tried++) {
      const id = mintId(owner, Date.now())
      const version = Date.now()
      const older = client.describe({ object: { ...message, id, to: poets, parent: top, version } })
      const newer = client.describe({ object: { ...message, id, to: [lost.address], version: version + 1 } })
      const answers = await Promise.allSettled([older, newer])
      const [first, second] = answers.map(each => (each.status === 'fulfilled' ? each.value : undefined))
      assert.equal(second?.outcome, 'stored')
      assert.ok(first?.code === 'FMTP_TOO_OLD' || first?.outcome === 'stored')
      const { answer } = await client.request({ id })
      assert.equal(answer.version, version + 1, `try ${tried}`)
    }
    client.close()
  })
})
