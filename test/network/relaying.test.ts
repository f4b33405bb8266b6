/** Messages through parents (protocol §8.7, §10.9): out of an organisation, into it and within, with word of what became of each. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { listOf } from '../../objects/store/layout.ts'
import { removeUnheld } from '../../objects/store/removal.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked, serveBehind } from '../support/family.ts'
import { runFmtp } from '../support/fmtp-process.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

const [hq, region] = ['poe.net', 'region.poe.net']
const [tales, poems] = ['tales.region.poe.net', 'poems.region.poe.net']
const port = 3687
const [minuteMs, hourMs] = [60_000, 3_600_000]
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
    const object = {
      id,
      kind: 'message',
      format: 'text/plain',
      body: 'Nimmermehr – „nevermore“',
      to,
      ...more,
    }
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

  it('to a thousand people of one domain tell of each, in reports that are not too large', async () => {
    const from = `roderick@${region}`
    const many = Array.from({ length: limits.recipients - 1 }, (_, at) => `reader${at}@lenore.org`)
    const since = servers.poe.log.length
    const id = await write(from, [...many, 'lost@lenore.org'])
    const wanted = [...many.map(to => [to, 'absent']), ['lost@lenore.org', 'stored']].sort()
    await waitUntil(
      'all is said',
      async () => JSON.stringify(Object.entries(await outcomes(from, id)).sort()) === JSON.stringify(wanted),
      10_000,
    )
    const reports = servers.poe.log
      .slice(since)
      .filter(({ event, record }) => event === 'deliver.sent' && record.kind === 'report')
    assert.equal(new Set(reports.map(({ record }) => record.id)).size, 2)
  })

  it('are changed and deleted for all who have them', async () => {
    const [from, to] = [`alice@${tales}`, 'lost@lenore.org']
    const id = await write(from, [to])
    await become(from, id, { [to]: 'stored' })
    const edited = { id, kind: 'message', format: 'text/plain', body: 'Evermore', to: [to] }
    assert.equal((await clientOf(from).describe({ object: edited })).outcome, 'stored')
    const bodyOf = async () => (await boxOf(to)).find(each => each.id === id) as Message | undefined
    await waitUntil('the edit is there', async () => (await bodyOf())?.body === 'Evermore')
    await become(from, id, { [to]: 'stored' })
    const object = { id, kind: 'message', deleted: true }
    assert.equal((await clientOf(from).describe({ object })).outcome, 'stored')
    const { store } = servers.lenore.running
    await waitUntil('the deletion is there', () => store.findObject(id)?.deleted === true)
    await become(from, id, { [to]: 'stored' })
  })

  it('are judged by who wrote them, whoever passed them on', async () => {
    const [from, to] = ['lost@lenore.org', `alice@${tales}`]
    const policy = async (members: object): Promise<void> => {
      const object = { id: makeObjectId('user', to as Name), kind: 'user', ...members } as Partial<User>
      assert.equal((await clientOf(to).describe({ object })).outcome, 'stored')
    }
    await policy({ policy: 'reject' })
    const refused = await write(from, [to])
    await become(from, refused, { [to]: 'refused' })
    await policy({ policy: 'reject', whitelist: [from] })
    const welcome = await write(from, [to])
    await become(from, welcome, { [to]: 'stored' })
    await policy({ policy: 'accept', whitelist: [], blacklist: ['*@lenore.org'] })
    await become(from, await write(from, [to]), { [to]: 'refused' })
    await policy({ policy: 'accept', blacklist: [] })
  })

  it('bring the author along as if from home', async () => {
    const [from, to] = [`roderick@${region}`, 'lost@lenore.org']
    await become(from, await write(from, [to]), { [to]: 'stored' })
    const { store } = servers.lenore.running
    await waitUntil('the author is there', () => store.findBoxed(to, `user.${from}`) !== undefined)
    assert.equal(store.findBoxed(to, `user.${from}`)?.by, undefined)
  })

  it('of a room elsewhere reach its members in a department', async () => {
    const [moderator, member, room] = ['lost@lenore.org', `annabel@${poems}`, 'chamber@lenore.org']
    const group = { id: `group.${room}`, kind: 'group', name: 'The chamber', members: [moderator, member] }
    const made = await clientOf(moderator).describe({ object: { ...group, moderators: [moderator] } })
    assert.equal(made.outcome, 'stored', made.code)
    const id = await write(moderator, [room])
    await waitUntil('the member has it', async () => (await boxOf(member)).some(each => each.id === id))
    assert.equal(servers.rhyming.running.store.findBoxed(member, id)?.by, room)
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

  it('leave stores that are whole', async () => {
    for (const { domain } of Object.values(servers)) await network.stop(domain)
    for (const { config } of Object.values(servers)) await runFmtp('verify', '--config', config.file)
  })
})

describe('messages through a parent', function () {
  this.timeout(30_000)
  const [author, to] = [`alice@${region}`, 'lost@lenore.org']
  let network: Network
  let regional: TestServer
  let alice: Connection
  let lastId = 0

  const serveTop = (): Promise<TestServer> =>
    serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'], port })
  const serveLenore = async (): Promise<TestServer> => {
    const lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq], port })
    await enrol(lenore, to)
    return lenore
  }

  beforeEach(async () => {
    network = await Network.start()
    const front = await serveTop()
    regional = await serveBehind(network, region, { front, parents: [hq], mayDial: [hq] })
    await linked(regional, hq)
    alice = await connectAs(regional, await enrol(regional, author))
  })

  afterEach(async () => {
    alice.close()
    await network[Symbol.asyncDispose]()
  })

  async function write(recipient = to): Promise<string> {
    const id = makeObjectId(`m${++lastId}`, author as Name)
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [recipient] }
    assert.equal((await alice.describe({ object })).outcome, 'stored')
    return id
  }

  async function become(id: string, wanted: string): Promise<void> {
    const outcome = async () => (await alice.request({ id })).answer.results?.[0]?.outcome
    await waitUntil(`${id} becomes ${wanted}`, async () => (await outcome()) === wanted, 10_000)
  }

  async function reports(about: string): Promise<readonly unknown[]> {
    const list = { of: 'box', owner: author, kind: 'report', order: 'newest' } as const
    const { describes } = await alice.request({ list })
    const told = describes.map(({ object }) => object as Report).filter(each => each.about === about)
    return told.map(({ outcome, recipients, code }) => [outcome, recipients, code])
  }

  /** Time passes, by steps, so that what is due is done in between. */
  async function pass(ms: number, stepMs = hourMs / 2): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      network.clock.advance(Math.min(left, stepMs))
      await new Promise(resolve => setTimeout(resolve, 15))
    }
  }

  it('that is away wait for it, while those of the house go on', async () => {
    await serveLenore()
    await enrol(regional, `roderick@${region}`)
    await network.stop(hq)
    const [outside, inside] = [await write(), await write(`roderick@${region}`)]
    await become(inside, 'stored')
    await become(outside, 'trying')
    await serveTop()
    await become(outside, 'stored')
  })

  it('wait there for who is away, and their author is told so from there', async () => {
    const lenore = await serveLenore()
    const first = await write()
    await become(first, 'stored')
    await network.stop(lenore.domain)
    const id = await write()
    await become(id, 'relayed')
    await pass(5 * hourMs)
    await waitUntil('the author is told', async () => (await reports(id)).length > 0)
    assert.deepEqual(await reports(id), [['delayed', [to], undefined]])
    await become(id, 'relayed')
    await serveLenore()
    await become(id, 'stored')
    await waitUntil('the author is told again', async () =>
      JSON.stringify(await reports(id)).includes('delivered'),
    )
  })

  it('fail after five days, and their author is told why', async () => {
    const lenore = await serveLenore()
    await become(await write(), 'stored')
    await network.stop(lenore.domain)
    const id = await write()
    await become(id, 'relayed')
    await pass(5 * 24 * hourMs + 5 * hourMs, 2 * hourMs)
    await become(id, 'failed')
    const [told] = (await reports(id)) as [unknown[]]
    assert.deepEqual(told.slice(0, 2), ['failed', [to]])
    assert.match(String(told[2]), /^FMTP_/)
  })

  it('stay there though its cache is full, and are no more than cache afterwards', async () => {
    const lenore = await serveLenore()
    await become(await write(), 'stored')
    await network.stop(lenore.domain)
    const id = await write()
    await become(id, 'relayed')
    const { running } = network.find(hq)
    assert.equal(await removeUnheld(running.store, id), false)
    await serveLenore()
    await become(id, 'stored')
    await waitUntil('it may go', () => removeUnheld(running.store, id))
  })

  it('are called again when the way is free, and not before ten minutes', async () => {
    const lenore = await serveLenore()
    await become(await write(), 'stored')
    const calls = (): number =>
      regional.log.filter(({ event, record }) => event === 'route' && record.what === 'parent').length
    const before = calls()
    await become(await write(), 'stored')
    assert.equal(calls(), before)
    await pass(11 * minuteMs, minuteMs)
    await become(await write(), 'stored')
    assert.equal(calls(), before + 1)
    assert.ok(lenore.log.length > 0)
  })
})
