/** Two domains on one server: each speaks to others in its own name, over a connection of its own (protocol §10.4). */
import assert from 'node:assert/strict'
import { mintId } from '../../objects/id.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

describe('a server of two domains', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer

  beforeEach(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net', { also: ['raven.net'] })
    lenore = await network.serve('lenore.org')
    await enrol(lenore, 'lost@lenore.org')
  })

  afterEach(() => network[Symbol.asyncDispose]())

  /** Who brought the message to Lenore, from her log. */
  async function send(from: string, domain: string): Promise<unknown> {
    const client = await connectAs({ ...poe, domain }, await enrol({ ...poe, domain }, from))
    const id = mintId(parseAddress(from), Date.now())
    const draft = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['lost@lenore.org'] }
    await client.describe({ object: draft })
    const { record } = await waitUntil('it is stored', () =>
      lenore.log.find(({ event, record: { id: about } }) => event === 'admit' && about === id),
    )
    client.close()
    return record.from
  }

  it('brings what each author wrote in the name of its own domain', async () => {
    assert.equal(await send('edgar@poe.net', 'poe.net'), 'poe.net')
    assert.equal(await send('raven@raven.net', 'raven.net'), 'raven.net')
    assert.equal(await send('edgar@poe.net', 'poe.net'), 'poe.net')
    const callers = lenore.log
      .filter(({ event }) => event === 'hello.verified')
      .map(({ record }) => String(record.as))
    assert.deepEqual(
      callers.filter(name => name.endsWith('.net')),
      ['poe.net', 'raven.net'],
    )
  })
})
