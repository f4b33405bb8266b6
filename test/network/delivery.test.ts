/** Delivery between two servers where one thing is wrong (protocol §10.4): only what it is about may wait. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { handDomain, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

describe('delivery', () => {
  let network: Network
  let poe: TestServer
  let edgar: Connection

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    edgar = await connectAs(poe, await enrol(poe, 'edgar@poe.net'))
  })

  afterEach(async () => {
    edgar.close()
    await network[Symbol.asyncDispose]()
  })

  /** Sends a message and gives its id. */
  async function send(from: Connection, owner: string, to: string): Promise<string> {
    const id = mintId(parseAddress(owner), network.clock.now())
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
    assert.deepEqual((await from.describe({ object })).results, [{ for: to, outcome: 'queued' }])
    return id
  }

  async function isStored({ log }: TestServer, id: string): Promise<void> {
    const { record } = await waitUntil('it arrives', () =>
      log.find(({ event, record: { id: about } }) => event === 'admit' && about === id),
    )
    assert.equal(record.outcome, 'stored')
  }

  it('goes to the home of a recipient whose own object is not believed', async () => {
    await enrol(await network.serve('lenore.org'), 'lost@lenore.org')
    await network.stop('lenore.org')
    const { folder } = network.site('lenore.org')
    const database = await openDatabase(
      join(folder, 'data'),
      () => undefined,
      () => '',
    )
    const view = keyOf.view('everyone', 'lost@lenore.org')
    // Sealed by a key that its home never vouched for: not damaged, and not to be believed.
    const { encryptedKey: _, hash: __, ...members } = JSON.parse(database.get(view) ?? '')
    const stranger = handUser(handDomain('lenore.org'), 'lost@lenore.org')
    const sealed = sealObject({ ...members, quote: 'Evermore' }, stranger)
    const puts = [
      [view, sealed.atRest] as const,
      [keyOf.credential(sealed.thumbprint, 'lost@lenore.org'), stranger.credential] as const,
    ]
    await database.commit([{ puts }])
    await database[Symbol.asyncDispose]()
    const lenore = await network.serve('lenore.org')

    const id = await send(edgar, 'edgar@poe.net', 'lost@lenore.org')
    await isStored(lenore, id)
    assert.ok(
      poe.log.some(({ record }) => record.what === 'seal' && record.outcome === 'FMTP_SEAL_CREDENTIAL'),
      'it was looked up, and not believed',
    )
    assert.ok(!poe.log.some(({ event }) => event === 'deliver.unreachable'), 'nobody waited for it')
  })

  it('goes over the connection of a domain that can not be called, and waits for nothing then', async () => {
    const lenore = await network.serve('lenore.org')
    const lost = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
    network.zone.set('_fmtp._tcp.lenore.org', 'SRV', [])
    const first = await send(edgar, 'edgar@poe.net', 'lost@lenore.org')
    await waitUntil('nobody can be called', () =>
      poe.log.find(({ event }) => event === 'deliver.unreachable'),
    )
    await isStored(poe, await send(lost, 'lost@lenore.org', 'edgar@poe.net'))
    await isStored(lenore, first)
    await isStored(lenore, await send(edgar, 'edgar@poe.net', 'lost@lenore.org'))
    lost.close()
  })
})
