/** Rooms between servers (protocol §6.8, §8.3, §9.3, §10.4): who may speak, who gets it and how often, and who may see it. */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import type { ListQuery } from '../../schemas/frame.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { type Address, parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const attic = 'attic@poe.net' as Address
const members = [
  'alice@poe.net',
  'lost@lenore.org',
  'ada@lenore.org',
  'annabel@sea.example',
  'ann@sea.example',
]

describe('a room', () => {
  let network: Network
  let poe: TestServer
  let lenore: TestServer
  let sea: TestServer
  const people = new Map<string, Connection>()

  before(async () => {
    network = await Network.start()
    poe = await network.serve('poe.net')
    lenore = await network.serve('lenore.org')
    sea = await network.serve('sea.example')
    for (const server of [poe, lenore, sea])
      for (const address of ['edgar@poe.net', 'bob@poe.net', 'stranger@lenore.org', ...members])
        if (address.endsWith(`@${server.domain}`))
          people.set(address, await connectAs(server, await enrol(server, address)))
    await publish('edgar@poe.net', { id: `group.${attic}`, kind: 'group', title: 'Attic', members })
    await waitUntil('they know of the room', async () =>
      (await has('lost@lenore.org', `group.${attic}`)) && (await has('ann@sea.example', `group.${attic}`))
        ? true
        : undefined,
    )
  })

  after(async () => {
    for (const each of people.values()) each.close()
    await network[Symbol.asyncDispose]()
  })

  function by(address: string): Connection {
    const connection = people.get(address)
    assert.ok(connection, address)
    return connection
  }

  async function publish(address: string, object: object): Promise<string[]> {
    const answer = await by(address).describe({ object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    return (answer.results ?? []).map(({ outcome }) => outcome)
  }

  const message = (address: string, more: object = {}) => ({
    body: 'Who is there?',
    format: 'text/plain',
    id: mintId(parseAddress(address), network.clock.now()) as string,
    kind: 'message',
    to: [attic],
    ...more,
  })

  async function listed(address: string, list: ListQuery = { of: 'box' }): Promise<FmtpObject[]> {
    const { describes } = await by(address).request({ list })
    return describes.map(({ object }) => object as FmtpObject)
  }

  async function has(address: string, id: string): Promise<boolean> {
    return (await listed(address)).some(object => object.id === id && object.deleted !== true)
  }

  const arrived = (id: string, ...addresses: string[]) =>
    waitUntil(`${id} arrives`, async () => {
      const there = await Promise.all(addresses.map(address => has(address, id)))
      return there.every(isThere => isThere) ? true : undefined
    })

  /** How often a server was brought an object. */
  const brought = ({ log }: TestServer, id: string, from: string) =>
    log.filter(({ event, record }) => event === 'admit' && record.id === id && record.from === from)

  const decisionAt = async ({ log }: TestServer, id: string, to: string) => {
    const { record } = await waitUntil('it arrives', () =>
      log.find(({ event, record }) => event === 'admit' && record.id === id && record.for === to),
    )
    return record.outcome
  }

  it('passes on what a member abroad writes, to each domain once', async () => {
    const sent = message('lost@lenore.org')
    assert.deepEqual(await publish('lost@lenore.org', sent), ['queued'])
    await arrived(sent.id, ...members, 'edgar@poe.net')
    const describes = poe.log.filter(({ event, record }) => event === 'deliver.sent' && record.id === sent.id)
    assert.deepEqual(describes.map(({ record }) => record.domain).sort(), ['lenore.org', 'sea.example'])
    // One line for each recipient of the one describe; its author was not among them.
    const there = brought(lenore, sent.id, 'poe.net').map(({ record }) => record.for)
    assert.deepEqual(there, ['ada@lenore.org'])
    const both = brought(sea, sent.id, 'poe.net').map(({ record }) => record.for)
    assert.deepEqual(both.sort(), ['ann@sea.example', 'annabel@sea.example'])
    assert.equal(brought(sea, sent.id, 'lenore.org').length, 0)
    assert.ok(!(await has('bob@poe.net', sent.id)))
  })

  it('passes on what a member at home writes, its edits and its deletion', async () => {
    const sent = message('alice@poe.net')
    assert.deepEqual(await publish('alice@poe.net', sent), ['stored'])
    await arrived(sent.id, ...members, 'edgar@poe.net')
    const bodyAt = async (address: string) =>
      ((await listed(address)).find(({ id }) => id === sent.id) as { body?: string } | undefined)?.body
    await publish('alice@poe.net', { ...sent, body: 'Only this' })
    await waitUntil('it is edited', async () =>
      (await bodyAt('ann@sea.example')) === 'Only this' && (await bodyAt('edgar@poe.net')) === 'Only this'
        ? true
        : undefined,
    )
    await publish('alice@poe.net', { id: sent.id, kind: 'message', deleted: true })
    await waitUntil('it goes', async () =>
      (await has('ann@sea.example', sent.id)) || (await has('edgar@poe.net', sent.id)) ? undefined : true,
    )
  })

  it('does not pass on twice to whom its author writes too', async () => {
    const sent = message('lost@lenore.org', { to: [attic, 'ann@sea.example', 'alice@poe.net'] })
    await publish('lost@lenore.org', sent)
    await arrived(sent.id, ...members)
    assert.deepEqual(
      brought(sea, sent.id, 'poe.net').map(({ record }) => record.for),
      ['annabel@sea.example'],
    )
    const inBox = (await listed('alice@poe.net')).filter(({ id }) => id === sent.id)
    assert.equal(inBox.length, 1)
  })

  it('passes on once what is for two rooms of one home', async () => {
    const cellar = {
      id: 'group.cellar@poe.net',
      kind: 'group',
      members: ['lost@lenore.org', 'ada@lenore.org'],
    }
    await publish('edgar@poe.net', cellar)
    const sent = message('lost@lenore.org', { to: [attic, 'cellar@poe.net'] })
    await publish('lost@lenore.org', sent)
    await arrived(sent.id, ...members, 'edgar@poe.net')
    const there = brought(lenore, sent.id, 'poe.net').map(({ record }) => record.for)
    assert.deepEqual(there, ['ada@lenore.org'])
    assert.equal((await listed('edgar@poe.net')).filter(({ id }) => id === sent.id).length, 1)
  })

  it('is known to its members, abroad too, and to nobody else', async () => {
    const id = `group.${attic}`
    const outcomeFor = async (address: string) =>
      (await by(address).request({ id, effort: 'lookup' })).answer.outcome
    assert.equal(await outcomeFor('lost@lenore.org'), 'found')
    assert.equal(await outcomeFor('stranger@lenore.org'), 'absent')
    assert.equal(await outcomeFor('edgar@poe.net'), 'found')
    assert.equal(await outcomeFor('bob@poe.net'), 'absent')
  })

  it('refuses who is no member, unless its policy accepts', async () => {
    const sent = message('stranger@lenore.org')
    await publish('stranger@lenore.org', sent)
    assert.equal(await decisionAt(poe, sent.id, attic), 'refused')
    assert.deepEqual(await publish('bob@poe.net', message('bob@poe.net')), ['refused'])
    const post = { ...message('alice@poe.net'), to: undefined, kind: 'post', group: attic, public: true }
    assert.deepEqual(await publish('alice@poe.net', JSON.parse(JSON.stringify(post))), ['refused'])
    assert.ok(!(await has('edgar@poe.net', sent.id)))
    const open = { id: 'group.porch@poe.net', kind: 'group', policy: 'accept', members: ['alice@poe.net'] }
    await publish('edgar@poe.net', open)
    const heard = message('stranger@lenore.org', { to: ['porch@poe.net'] })
    await publish('stranger@lenore.org', heard)
    await arrived(heard.id, 'alice@poe.net', 'edgar@poe.net')
  })

  it('is judged by the homes of its members, who are spared its strangers and its forgers', async () => {
    const settings = (more: object) => ({
      id: 'user.ann@sea.example',
      kind: 'user',
      policy: 'reject',
      ...more,
    })
    await publish('ann@sea.example', settings({}))
    const first = message('lost@lenore.org')
    await publish('lost@lenore.org', first)
    assert.equal(await decisionAt(sea, first.id, 'ann@sea.example'), 'refused', 'she did not ask for it')
    await publish('ann@sea.example', settings({ whitelist: [attic] }))
    const second = message('lost@lenore.org')
    await publish('lost@lenore.org', second)
    await arrived(second.id, 'ann@sea.example')
    await publish('ann@sea.example', settings({ whitelist: [attic], blacklist: ['lost@*'] }))
    const third = message('lost@lenore.org')
    await publish('lost@lenore.org', third)
    assert.equal(await decisionAt(sea, third.id, 'ann@sea.example'), 'refused', 'its owner is not welcome')

    const hand = network.hand('mallory.example')
    const mallory = handUser(hand, 'mallory@mallory.example')
    const end = await rawTls(sea.address, sea.port, 'sea.example')
    await end.hello('sea.example', { as: 'mallory.example', signer: hand.signer })
    const nowMs = network.clock.now()
    const unsealed = {
      ...message('lost@lenore.org'),
      createdAt: new Date(nowMs).toISOString(),
      version: nowMs,
    }
    const own = { ...unsealed, id: `1.${mallory.address}`, owner: mallory.address }
    let n = 0
    const bring = async (object: object, to: string) => {
      const { results } = await end.ask({ verb: 'describe', n: ++n, object, for: [to] })
      return (results as { outcome: string }[])[0]?.outcome
    }
    const forged = sealObject(own as unknown as Unsealed, mallory).object
    assert.equal(await bring(forged, 'ann@sea.example'), 'refused', 'says that it is for the room')
    const [stolen] = (await listed('annabel@sea.example')).filter(({ id }) => id === third.id)
    await publish('ann@sea.example', settings({ whitelist: [attic], blacklist: [] }))
    assert.equal(await bring(stolen ?? {}, 'ann@sea.example'), 'refused', 'replays what others got')
    end.close()
    await publish('ann@sea.example', settings({ policy: 'accept' }))
  })

  it('shows its thread to its members, and nothing new to who left', async () => {
    const top = message('alice@poe.net')
    await publish('alice@poe.net', top)
    await arrived(top.id, 'lost@lenore.org', 'edgar@poe.net')
    const answer = message('lost@lenore.org', { parent: top.id })
    await publish('lost@lenore.org', answer)
    await arrived(answer.id, 'alice@poe.net', 'edgar@poe.net')
    const thread = { of: 'thread', top: top.id } as const
    const idsOf = async (address: string) => (await listed(address, thread)).map(({ id }) => id)
    assert.deepEqual(await idsOf('edgar@poe.net'), [top.id, answer.id])
    assert.deepEqual(await idsOf('bob@poe.net'), [])
    const others = members.filter(member => member !== 'lost@lenore.org')
    const room = { id: `group.${attic}`, kind: 'group', title: 'Attic' }
    await publish('edgar@poe.net', { ...room, members: [...others, 'bob@poe.net'] })
    assert.deepEqual(await idsOf('bob@poe.net'), [top.id, answer.id], 'who came sees what was')
    const later = message('alice@poe.net')
    await publish('alice@poe.net', later)
    await arrived(later.id, 'ada@lenore.org', 'bob@poe.net')
    assert.ok(!(await has('lost@lenore.org', later.id)))
    const asked = await by('lost@lenore.org').request({ id: later.id, effort: 'lookup' })
    assert.equal(asked.answer.outcome, 'absent')
    const refused = message('lost@lenore.org')
    await publish('lost@lenore.org', refused)
    assert.equal(await decisionAt(poe, refused.id, attic), 'refused')
    assert.ok(await has('lost@lenore.org', answer.id), 'what was in the box stays')
  })
})
