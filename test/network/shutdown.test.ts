/** A server that stops leaves nothing open: no connection that is still being made, and none that comes at the last moment. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { mintId } from '../../objects/id.ts'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { ownAddress } from '../support/loopback.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawPair } from '../support/raw.ts'

describe('a server that stops', () => {
  let network: Network
  let poe: TestServer
  let silence: Server
  let callers: Socket[]

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    callers = []
  })

  afterEach(async () => {
    for (const caller of callers) caller.destroy()
    silence.close()
    await network[Symbol.asyncDispose]()
  })

  /** Makes Poe call Lenore, whose server is this listener. */
  async function callInto(listener: Server): Promise<void> {
    silence = listener
    listener.on('connection', (caller: Socket) => {
      callers.push(caller)
      caller.on('error', () => undefined)
    })
    listener.listen(0, ownAddress(201))
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    network.publish(
      { domain: 'lenore.org', address: ownAddress(201) },
      network.hand('lenore.org').record,
      port,
    )
    const edgar = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
    const id = mintId(parseAddress('edgar@poe.net'), Date.now())
    const draft = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['lost@lenore.org'] }
    await edgar.describe({ object: draft })
  }

  async function stop(): Promise<void> {
    const startMs = Date.now()
    await network.stop('poe.net')
    assert.ok(Date.now() - startMs < 2000, `it took ${Date.now() - startMs} ms`)
    await waitUntil('all calls are ended', () => callers.every(({ closed }) => closed), 2000)
  }

  it('ends a call that is not answered', async () => {
    await callInto(createServer(caller => caller.resume()))
    await waitUntil('it calls', () => callers.length > 0)
    await stop()
  })

  it('ends a call whose hello is not answered', async () => {
    const { cert, key } = await makeCertificate('lenore.org', Date.now())
    const listener = createTlsServer({ cert, key, ALPNProtocols: ['fmtp/1'] })
    let isGreeted = false
    listener.on('secureConnection', socket =>
      socket.on('error', () => undefined).once('data', () => (isGreeted = true)),
    )
    await callInto(listener)
    await waitUntil('it says hello', () => isGreeted)
    await stop()
  })

  it('closes what connects after that', async () => {
    await callInto(createServer(caller => caller.resume()))
    await network.stop('poe.net')
    const late = rawPair(channel => poe.running.serve(channel))
    assert.equal(await late.goodbye(), 'FMTP_SHUTTING_DOWN')
  })
})
