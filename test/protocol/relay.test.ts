/**
 * Somebody in the middle (protocol §5.3): a process between two servers that ends TLS on both sides and passes every byte,
 * brought there by DNS. The proofs are real and so are the keys; only the channel is another, and that suffices.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mintId } from '../../objects/id.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { ownAddress } from '../support/loopback.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

describe('a relay between two servers', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let relay: ChildProcess
  let relayAddress: string
  let readBytes = 0

  before(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    // MX carries no port: the relay takes the one that everybody expects, on an address of its own.
    relayAddress = ownAddress(200)
    relay = await startRelay('end')
    network.zone.set('_fmtp._tcp.lenore.org', 'SRV', [])
    network.zone.set('lenore.org', 'MX', ['10 mx.lenore.org'])
    network.zone.set('mx.lenore.org', 'A', [relayAddress])
  })

  after(async () => {
    relay.disconnect()
    await network[Symbol.asyncDispose]()
  })

  async function startRelay(mode: 'end' | 'pass'): Promise<ChildProcess> {
    const script = new URL('../support/relay-process.js', import.meta.url)
    const child = fork(script, [mode, relayAddress, '3687', lenore.address, String(lenore.port)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    child.on('message', message => {
      readBytes = (message as { readBytes: number }).readBytes
    })
    await once(child, 'message')
    return child
  }

  it('gets a hello that belongs to another connection, and nothing else', async () => {
    const edgar = await enrol(poe, 'edgar@poe.net')
    const lost = await enrol(lenore, 'lost@lenore.org')
    const sender = await connectAs(poe, edgar)
    const reader = await connectAs(lenore, lost)
    const id = mintId(parseAddress(edgar.address), Date.now())
    const draft = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [lost.address] }
    const answer = await sender.describe({ object: draft })
    assert.deepEqual(answer.results, [{ for: lost.address, outcome: 'queued' }])

    const refused = await waitUntil('Lenore looks at the hello', () =>
      lenore.log.find(({ event }) => event === 'hello.failed'),
    )
    assert.equal(refused.record.code, 'FMTP_BINDING')
    assert.equal(refused.record.as, 'poe.net')
    const given = await waitUntil('Poe puts it off', () =>
      poe.log.find(({ event }) => event === 'deliver.unreachable'),
    )
    assert.match(String(given.record.reason), /FMTP_BINDING/)
    assert.ok(readBytes > 0, 'the relay stood between them')
    assert.ok(!lenore.log.some(({ event }) => event === 'admit'), 'nothing was described')
    assert.equal((await reader.request({ id })).answer.outcome, 'unreachable')

    // One that does not end TLS changes nothing: the same message arrives, so that nothing else was in its way.
    relay.disconnect()
    await once(relay, 'exit')
    relay = await startRelay('pass')
    network.clock.advance(11 * 60_000)
    await waitUntil('it arrives', async () => (await reader.request({ id })).answer.outcome === 'found')
    assert.ok(readBytes > 0, 'this way too')
    sender.close()
    reader.close()
  })
})
