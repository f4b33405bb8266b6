/** The second door (protocol §9.5): times, sizes, what is the same draft, and room. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import { mintId } from '../../../objects/id.ts'
import { canonicalText } from '../../../schemas/canonical.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { putBlob } from '../../support/blob.ts'
import { type HandUser, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

const mib = 1024 * 1024
const hourMs = 60 * 60 * 1000

describe('publish', () => {
  let network: Network
  let server: TestServer
  let lost: Person
  let client: Connection

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org', { limits: { objectBytes: 4096, boxBytes: mib } })
    lost = await enrol(server, 'lost@lenore.org')
    await enrol(server, 'alice@lenore.org')
    client = await connectAs(server, lost)
  })

  after(async () => {
    client.close()
    await network[Symbol.asyncDispose]()
  })

  const owner = parseAddress('lost@lenore.org')
  const draft = (members: object = {}) => ({
    body: 'Nevermore',
    format: 'text/plain',
    id: mintId(owner, Date.now()),
    kind: 'message',
    to: ['alice@lenore.org'],
    ...members,
  })
  const codeOf = async (object: object) => {
    const { code, outcome } = await client.describe({ object })
    return code ?? outcome
  }
  /** The same as a finished object of the device. */
  const finished = (members: object) =>
    handMessage({ ...lost, address: owner } as HandUser, ['alice@lenore.org'], members)

  it('of what is made in the future is FMTP_FROM_FUTURE', async () => {
    const laterMs = Date.now() + hourMs
    const createdAt = new Date(laterMs).toISOString()
    assert.equal(await codeOf(draft({ version: laterMs })), 'FMTP_FROM_FUTURE')
    assert.equal(await codeOf(draft({ createdAt })), 'FMTP_FROM_FUTURE')
    assert.equal(await codeOf(finished({ createdAt })), 'FMTP_FROM_FUTURE')
    assert.equal(await codeOf(draft({ version: Date.now() + 60_000 })), 'stored')
  })

  it('of a draft whose version is older than the home key is FMTP_SEAL_EXPIRED', async () => {
    const early = Date.now() - hourMs
    assert.equal(await codeOf(draft({ version: early })), 'FMTP_SEAL_EXPIRED')
    assert.equal(await codeOf(draft({ createdAt: new Date(early).toISOString() })), 'stored')
  })

  it('of an edit that says it was made at another time is FMTP_BAD_OBJECT', async () => {
    const first = draft()
    assert.equal(await codeOf(first), 'stored')
    const { describes } = await client.request({ id: first.id })
    const { createdAt } = (describes[0] as { object: FmtpObject }).object
    const other = new Date(Date.parse(createdAt) - 1).toISOString()
    assert.equal(await codeOf({ ...first, body: 'Evermore', createdAt: other }), 'FMTP_BAD_OBJECT')
    const version = Date.now() + 1000
    assert.equal(await codeOf(finished({ id: first.id, createdAt: other, version })), 'FMTP_BAD_OBJECT')
    assert.equal(await codeOf({ ...first, body: 'Evermore', createdAt }), 'stored')
  })

  it('of a draft that is too large once it is sealed is FMTP_OBJECT_TOO_LARGE', async () => {
    const bare = draft({ body: '' })
    const body = 'x'.repeat(4096 - JSON.stringify(bare).length)
    assert.equal(JSON.stringify({ ...bare, body }).length, 4096)
    assert.equal(await codeOf({ ...bare, body }), 'FMTP_OBJECT_TOO_LARGE')
    // The largest that is taken has the limit's very size as it travels.
    const probe = draft({ body: '' })
    assert.equal(await codeOf(probe), 'stored')
    const sealed = (await client.request({ id: probe.id })).describes[0]?.object ?? {}
    const room = 4096 - canonicalText(sealed).length
    assert.equal(await codeOf({ ...draft(), body: 'x'.repeat(room) }), 'stored')
    assert.equal(await codeOf({ ...draft(), body: 'x'.repeat(room + 1) }), 'FMTP_OBJECT_TOO_LARGE')
  })

  it('of the same draft in another order is a duplicate', async () => {
    const sha256 = await putBlob(server, lost, Buffer.from('a'))
    const attachment = { bytes: 1, format: 'text/plain', name: 'a.txt', sha256 }
    const first = draft({ attachments: [attachment] })
    assert.equal(await codeOf(first), 'stored')
    const { name, sha256: _, ...rest } = attachment
    assert.equal(await codeOf({ ...first, attachments: [{ sha256, name, ...rest }] }), 'duplicate')
    assert.equal(await codeOf({ ...first, attachments: [{ ...attachment, bytes: 2 }] }), 'stored')
  })

  it('never fills the box of its author, which is for what others send', async () => {
    const bulky = { body: 'x'.repeat(3000), to: [owner, 'nobody@poe.example'] }
    const frames = Array.from({ length: 400 }, () => client.describe({ object: draft(bulky) }))
    const outcomes = new Set(
      (await Promise.all(frames)).flatMap(({ outcome, results }) => [outcome, results?.[0]?.outcome]),
    )
    assert.deepEqual(outcomes, new Set(['stored']))
    const poe = network.hand('poe.net')
    const edgar = handUser(poe, 'edgar@poe.net')
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    const frame = { verb: 'describe', n: 1, object: handMessage(edgar, [owner]), for: [owner] }
    assert.equal((await end.ask(frame)).outcome, 'stored')
    end.close()
  })

  it('of settings counts for the next who writes, at once', async () => {
    const alice = await enrol(server, 'alice@lenore.org')
    const other = await connectAs(server, alice)
    const results = async () => (await client.describe({ object: draft() })).results?.[0]?.outcome
    const settings = (policy: string) =>
      other.describe({ object: { id: 'user.alice@lenore.org', kind: 'user', policy } })
    assert.equal(await results(), 'stored')
    for (const [policy, outcome] of [
      ['reject', 'refused'],
      ['accept', 'stored'],
    ] as const) {
      assert.equal((await settings(policy)).outcome, 'stored')
      assert.equal(await results(), outcome)
    }
    other.close()
  })
})
