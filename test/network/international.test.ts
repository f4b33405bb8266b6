/** Domains outside ASCII (protocol §2.2, §10.3): as a person writes them, as DNS knows them, and as they stand in objects. */
import assert from 'node:assert/strict'
import type { Message } from '../../schemas/kinds/message.ts'
import { makeObjectId, parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { ask } from '../support/family.ts'
import { connectAs, enrol, Network } from '../support/network.ts'

const domain = 'xn--bcher-kva.example'

describe('a domain outside ASCII', () => {
  it('is found by its name in any spelling, written to, and writes back', async () => {
    await using network = await Network.start()
    const poe = await network.serve('poe.net')
    const books = await network.serve(domain)
    const lost = await enrol(books, parseAddress('lost@Bücher.example'))
    const clients = [await connectAs(poe, await enrol(poe, 'edgar@poe.net')), await connectAs(books, lost)]
    const [edgar, reader] = clients as [(typeof clients)[0], (typeof clients)[0]]
    for (const spelling of ['lost@bücher.example', 'lost@BÜCHER.example', `lost@${domain}`])
      assert.equal(parseAddress(spelling), `lost@${domain}`)
    const found = await ask(edgar, parseAddress('lost@bücher.example'))
    assert.deepEqual([found.outcome, found.id], ['found', `user.lost@${domain}`])
    for (const [from, client, to, server] of [
      ['edgar@poe.net', edgar, 'lost@bücher.example', books],
      ['lost@bücher.example', reader, 'edgar@poe.net', poe],
    ] as const) {
      const id = makeObjectId('m1', parseAddress(from))
      const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [parseAddress(to)] }
      const { outcome, code } = await client.describe({ object })
      assert.equal(outcome, 'stored', code)
      await waitUntil('it is there', () => server.running.store.findBoxed(parseAddress(to), id) !== undefined)
      const message = server.running.store.findObject(id) as Message
      assert.deepEqual([message.owner, message.to], [parseAddress(from), [parseAddress(to)]])
    }
    for (const client of clients) client.close()
  })
})
