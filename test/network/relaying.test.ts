/** Messages through parents (protocol §8.7, §10.9): out of an organisation, into it and within, with word of what became of each. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { listOf } from '../../objects/layout.ts'
import { makeObjectId, type Name } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Report } from '../../schemas/report.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked, serveBehind } from '../support/family.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

const [hq, region] = ['poe.net', 'region.poe.net']
const [tales, poems] = ['tales.region.poe.net', 'poems.region.poe.net']
type Servers = Record<'poe' | 'regional' | 'telling' | 'rhyming' | 'lenore', TestServer>

describe('messages through parents', function () {
  this.timeout(30_000)
  let network: Network
  let servers: Servers
  const clients = new Map<string, Connection>()
  let lastId = 0

  before(async () => {
    network = await Network.start()
    const poe = await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'] })
    const lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq] })
    const inside = { front: poe } as const
    const [regional, telling, rhyming] = [
      await serveBehind(network, region, {
        ...{ ...inside, parents: [hq], children: [`*.${region}`], mayDial: [hq] },
      }),
      await serveBehind(network, tales, { ...inside, parents: [region], mayDial: [region] }),
      await serveBehind(network, poems, { ...inside, parents: [region], mayDial: [region] }),
    ]
    servers = { poe, regional, telling, rhyming, lenore }
    await linked(regional, hq)
    for (const child of [telling, rhyming]) await linked(child, region)
    for (const [server, local] of [
      ...([
        [telling, 'alice'] as const,
        [rhyming, 'annabel'] as const,
        [regional, 'roderick'] as const,
      ] as const),
      ...([[poe, 'edgar'] as const, [lenore, 'lost'] as const, [lenore, 'bob'] as const] as const),
    ]) {
      const person = await enrol(server, `${local}@${server.domain}`)
      clients.set(person.address, await connectAs(server, person))
    }
  })

  after(async () => {
    for (const client of clients.values()) client.close()
    await network[Symbol.asyncDispose]()
  })

  const clientOf = (address: string): Connection => clients.get(address) as Connection

  async function write(from: string, to: readonly string[], more: object = {}): Promise<string> {
    const id = makeObjectId(`m${++lastId}`, from as Name)
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to, ...more }
    const { outcome, code } = await clientOf(from).describe({ object })
    assert.equal(outcome, 'stored', code)
    return id
  }

  async function outcomes(from: string, id: string): Promise<Record<string, string>> {
    const { answer } = await clientOf(from).request({ id })
    return Object.fromEntries((answer.results ?? []).map(each => [each.for, each.outcome]))
  }

  async function become(from: string, id: string, wanted: Record<string, string>): Promise<void> {
    let seen = {}
    await waitUntil(
      `${id} becomes ${JSON.stringify(wanted)}`,
      async () => {
        seen = await outcomes(from, id)
        return JSON.stringify(seen) === JSON.stringify(wanted)
      },
      10_000,
    ).catch(error => {
      throw new Error(`${error.message}, and is ${JSON.stringify(seen)}`)
    })
  }

  async function boxOf(address: string, kind = 'message'): Promise<readonly FmtpObject[]> {
    const { describes } = await clientOf(address).request({
      list: { of: 'box', owner: address, kind, order: 'newest', limit: 100 },
    })
    return describes.map(({ object }) => object as FmtpObject)
  }

  const paths: readonly (readonly [what: string, from: string, to: string])[] = [
    ['out of a department to the world', `alice@${tales}`, 'lost@lenore.org'],
    ['from the world into a department', 'lost@lenore.org', `alice@${tales}`],
    ['from one department to another', `alice@${tales}`, `annabel@${poems}`],
    ['from a department to its parent', `alice@${tales}`, `roderick@${region}`],
    ['from a department to the top', `alice@${tales}`, 'edgar@poe.net'],
    ['from the top into a department', 'edgar@poe.net', `alice@${tales}`],
    ['from the middle to the world', `roderick@${region}`, 'lost@lenore.org'],
  ]
  for (const [what, from, to] of paths)
    it(`go ${what}, and the author learns that they are stored`, async () => {
      const id = await write(from, [to])
      await become(from, id, { [to]: 'stored' })
      const [message] = (await boxOf(to)).filter(each => each.id === id)
      assert.equal(message?.owner, from)
      assert.deepEqual(
        (await boxOf(from, 'report')).filter(each => (each as Report).about === id),
        [],
      )
    })

  it('that are refused or for nobody come back to their author as such', async () => {
    const lost = clientOf('lost@lenore.org')
    const { answer } = await lost.request({ address: 'lost@lenore.org' })
    assert.equal(answer.outcome, 'found')
    const id = await write(`alice@${tales}`, ['nobody@lenore.org', 'bob@lenore.org'])
    await become(`alice@${tales}`, id, { 'nobody@lenore.org': 'absent', 'bob@lenore.org': 'stored' })
    const reports = (await boxOf(`alice@${tales}`, 'report')) as Report[]
    const about = reports.filter(each => each.about === id)
    assert.deepEqual(
      about.map(({ outcome, recipients, owner }) => [outcome, recipients, owner]),
      [['failed', ['nobody@lenore.org'], tales]],
    )
  })

  it('leave nothing that counts at those who passed them on', async () => {
    await waitUntil('nothing waits', () =>
      [servers.poe, servers.regional].every(({ running }) =>
        [region, tales, poems].every(
          child => running.store.database.head(listOf.relay(child as string)).bytes === 0,
        ),
      ),
    )
  })
})
