/** What another server is told where the disk is nearly full (protocol §8.1), and what is taken all the same. */
import assert from 'node:assert/strict'
import { believeStored, sealObject } from '../../../objects/seals/seal.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { type HandUser, handMessage, handUser } from '../../support/hand.ts'
import { Network } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

describe('a server without room', () => {
  it('tells another server to come back, and takes what was here and what makes room', async () => {
    await using network = await Network.start()
    // No disk has as much.
    const server = await network.serve('lenore.org', { limits: { freeBytes: 2 ** 50 } })
    const [lost, alice] = [parseAddress('lost@lenore.org'), parseAddress('alice@lenore.org')]
    for (const user of [lost, alice]) await server.running.accounts.create(user)
    const poe = network.hand('poe.net')
    const edgar = handUser(poe, 'edgar@poe.net')
    const { store } = server.running
    const here = handMessage(edgar, [lost])
    await store.database.commit([store.objectWrite(believeStored(here), undefined)])

    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    const frame = { verb: 'describe', for: [lost] } as const
    const fresh = handMessage(edgar, [lost])
    const answer = await end.ask({ ...frame, n: 1, object: fresh })
    assert.deepEqual(
      [answer.outcome, answer.code, answer.retryAfterMs, answer.results],
      ['busy', 'FMTP_FULL', 60_000, undefined],
    )
    assert.equal(store.findObject(fresh.id), undefined)
    const unknown = tombstoneOf(edgar, handMessage(edgar, [lost]))
    assert.equal((await end.ask({ ...frame, n: 2, object: unknown })).code, 'FMTP_FULL')
    const known = await end.ask({ ...frame, n: 3, object: here, for: [alice] })
    assert.equal(known.outcome, 'duplicate')
    const tombstone = tombstoneOf(edgar, here)
    assert.equal((await end.ask({ ...frame, n: 4, object: tombstone })).outcome, 'stored')
    end.close()
  })
})

function tombstoneOf(from: HandUser, { id, kind, owner, createdAt, version }: FmtpObject): FmtpObject {
  return sealObject({ id, kind, owner, createdAt, version: version + 1, deleted: true } as Unsealed, from)
    .object
}
