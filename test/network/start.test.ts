/** A start with work that waits (docs/architecture.md): nothing runs before all is built. */
import assert from 'node:assert/strict'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { waitUntil } from '../support/conditions.ts'
import { connectAs, enrol, Network } from '../support/network.ts'

describe('a start', () => {
  let network: Network

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(() => network[Symbol.asyncDispose]())

  it('delivers what waited, though much else waits', async () => {
    const poe = await network.serve('poe.net')
    const lenore = await network.serve('lenore.org')
    const edgar = await enrol(poe, 'edgar@poe.net')
    await enrol(lenore, 'lost@lenore.org')
    await network.stop('lenore.org')
    const client = await connectAs(poe, edgar)
    const id = 'm1.edgar@poe.net'
    const message = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['lost@lenore.org'] }
    assert.equal((await client.describe({ object: message })).outcome, 'stored')
    client.close()
    const data = poe.config.data
    await network.stop('poe.net')

    const atMs = Date.now()
    const dueAtMs = atMs + 86_400_000
    const puts = Array.from({ length: 50 }, (_, index) => {
      const domain = `d${index}.example`
      const entry = { id, version: 1, for: [`x@${domain}`], atMs }
      const kept = { entry, attempts: 1, firstAtMs: atMs, atMs, dueAtMs, notBeforeMs: dueAtMs }
      return [keyOf.retry(listOf.outbox(domain), dueAtMs, 1), JSON.stringify(kept)] as const
    })
    {
      await using database = await openDatabase(
        data,
        () => undefined,
        () => '',
      )
      await database.commit([{ puts, dels: [keyOf.due('lenore.org')] }])
    }

    const back = await network.serve('lenore.org')
    const again = await network.serve('poe.net', { logLevel: 'debug' })
    await waitUntil('lenore has it', () => back.running.store.findObject(id) !== undefined)
    const events = again.log.filter(({ event }) => ['courier.error', 'deliver.unreachable'].includes(event))
    assert.deepEqual(events, [])
  })
})
