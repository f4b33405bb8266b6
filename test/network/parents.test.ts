/** Parents and children (protocol §10.7, §10.8): the ladder through a parent, the way down to a child, and who may ask. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Connection } from '../../client/connection.ts'
import type { Server } from '../../schemas/kinds/server.ts'
import { waitUntil } from '../support/conditions.ts'
import { ask, clientAt, linked, serveBehind, stepsOf } from '../support/family.ts'
import type { HandDomain } from '../support/hand.ts'
import { enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const minuteMs = 60_000
const [hq, region, dept] = ['poe.net', 'region.poe.net', 'dept.region.poe.net'] as const

describe('an organisation with departments', () => {
  let network: Network
  let poe: TestServer
  let regional: TestServer
  let departmental: TestServer
  let lenore: TestServer
  const clients: Connection[] = []

  before(async () => {
    network = await Network.start()
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'] })
    lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq] })
    const inside = { front: poe } as const
    regional = await serveBehind(network, region, {
      ...inside,
      parents: [hq],
      children: [`*.${region}`],
      mayDial: [hq],
    })
    departmental = await serveBehind(network, dept, { ...inside, parents: [region], mayDial: [region] })
    await linked(regional, hq)
    await linked(departmental, region)
    for (const address of ['lost', 'bob', 'carol', 'dave', 'eve'])
      await enrol(lenore, `${address}@lenore.org`)
  })

  after(async () => {
    for (const client of clients.splice(0)) client.close()
    await network[Symbol.asyncDispose]()
  })

  const clientOf = (server: TestServer, local: string): Promise<Connection> =>
    clientAt(server, local, clients)

  it('names its parents in the sealed server object', () => {
    const named = (server: TestServer) =>
      (server.running.store.findObject(`server.${server.domain}`) as Server).parents
    assert.deepEqual([named(poe), named(regional), named(departmental)], [undefined, [hq], [region]])
  })

  it('finds outside what only the top may call, through both parents, and has it then', async () => {
    const alice = await clientOf(departmental, 'alice')
    const since = [departmental, regional, poe].map(({ log }) => log.length)
    const found = await ask(alice, 'lost@lenore.org')
    assert.deepEqual([found.outcome, found.id], ['found', 'user.lost@lenore.org'])
    const steps = [departmental, regional, poe].map((server, index) => stepsOf(server, since[index]))
    for (const climbed of steps.slice(0, 2)) {
      const path = climbed.filter(step => /^(local|parent|domain (held|seal))|FMTP_GUARDED/.test(step))
      assert.ok(path.includes('parent cache request miss'), `${climbed}`)
      assert.ok(path.includes('parent lookup request ok'), `${climbed}`)
      assert.ok(climbed.indexOf('parent cache request miss') < climbed.indexOf('parent lookup request ok'))
      assert.ok(climbed.includes('parent lookup seal ok'), `${climbed}`)
    }
    assert.ok(steps[2]?.includes('domain request ok'), `${steps[2]}`)
    const again = departmental.log.length
    assert.equal((await ask(alice, 'lost@lenore.org')).outcome, 'found')
    assert.deepEqual(stepsOf(departmental, again), ['local cache ok'])
  })

  it("takes what the parent has from the parent's cache", async () => {
    const climbing = await clientOf(regional, 'raven')
    await ask(climbing, 'bob@lenore.org')
    const since = [departmental.log.length, lenore.log.length]
    const alice = await clientOf(departmental, 'annie')
    assert.equal((await ask(alice, 'bob@lenore.org')).outcome, 'found')
    const steps = stepsOf(departmental, since[0])
    assert.ok(steps.includes('parent cache request ok'), `${steps}`)
    assert.ok(!steps.some(step => step.startsWith('domain')), `${steps}`)
    assert.equal(lenore.log.slice(since[1]).filter(({ event }) => event === 'described').length, 0)
  })

  it("has what came from a parent's cache age from when its home said so", async () => {
    await ask(await clientOf(regional, 'morella'), 'eve@lenore.org')
    network.clock.advance(9 * minuteMs)
    const alice = await clientOf(departmental, 'ligeia')
    const since = departmental.log.length
    assert.equal((await ask(alice, 'eve@lenore.org')).outcome, 'found')
    assert.ok(stepsOf(departmental, since).includes('parent cache request ok'))
    const fetchedAtMs = departmental.running.store.findFetchedAtMs('user.eve@lenore.org') ?? 0
    assert.ok(network.clock.now() - fetchedAtMs >= 9 * minuteMs)
  })

  it('asks the home once, whoever looks for the same at the same time', async () => {
    const asking = [
      await clientOf(departmental, 'one'),
      await clientOf(departmental, 'two'),
      await clientOf(regional, 'three'),
      await clientOf(poe, 'four'),
    ]
    const since = lenore.log.length
    const found = await Promise.all(asking.map(client => ask(client, 'carol@lenore.org')))
    assert.ok(found.every(({ outcome }) => outcome === 'found'))
    const told = lenore.log
      .slice(since)
      .filter(({ event, record }) => event === 'described' && record.id === 'user.carol@lenore.org')
    assert.equal(told.length, 1)
  })

  it('does not take the no of a parent for absence', async () => {
    const alice = await clientOf(departmental, 'berenice')
    const found = await ask(alice, 'nobody@lenore.org')
    assert.deepEqual([found.outcome, found.code], ['unreachable', 'FMTP_GUARDED'])
    assert.equal(departmental.running.store.findAbsentAtMs('user.nobody@lenore.org'), undefined)
    const top = await clientOf(poe, 'usher')
    assert.equal((await ask(top, 'nobody@lenore.org')).outcome, 'absent')
  })

  it('is found from outside over the connections that the children opened', async () => {
    for (const [server, local] of [
      [regional, 'pym'],
      [departmental, 'dupin'],
    ] as const) {
      await enrol(server, `${local}@${server.domain}`)
      const lost = await clientOf(lenore, `reader-${local}`)
      const since = [lenore.log.length, poe.log.length]
      const found = await ask(lost, `${local}@${server.domain}`)
      assert.deepEqual([found.outcome, found.id], ['found', `user.${local}@${server.domain}`])
      const steps = stepsOf(lenore, since[0])
      assert.ok(steps.includes('domain front ok'), `${steps}`)
      assert.ok(stepsOf(poe, since[1]).includes('below request ok'), `${stepsOf(poe, since[1])}`)
      assert.equal((await ask(lost, `nobody@${server.domain}`)).outcome, 'absent')
      // The connection serves for the next one too.
      assert.ok(stepsOf(lenore, lenore.log.length - 20).includes('domain reuse ok'))
    }
  })

  it('is found from the top and from a sibling', async () => {
    await enrol(departmental, `legrand@${dept}`)
    const top = await clientOf(poe, 'prospero')
    assert.equal((await ask(top, `legrand@${dept}`)).outcome, 'found')
    const sibling = await serveBehind(network, 'other.poe.net', { front: poe, parents: [hq], mayDial: [hq] })
    await linked(sibling, hq)
    await enrol(departmental, `jupiter@${dept}`)
    const client = await clientOf(sibling, 'fortunato')
    assert.equal((await ask(client, `jupiter@${dept}`)).outcome, 'found')
    await network.stop('other.poe.net')
  })

  describe('who asks', () => {
    const hands = new Map<string, HandDomain>()
    function handOf(name: string): HandDomain {
      const hand = hands.get(name) ?? network.hand(name)
      hands.set(name, hand)
      return hand
    }

    const asks = async (
      as: string | undefined,
      effort: string,
      members: object = {},
      address = 'dave@lenore.org',
      at = poe,
    ): Promise<readonly unknown[]> => {
      const end = await rawTls(at.address, at.port, at.domain)
      const who = as === undefined ? {} : { as, signer: handOf(as).signer }
      const hello = await end.hello(at.domain, who)
      assert.equal(hello.verb, 'hello', JSON.stringify(hello))
      const { outcome, code } = await end.ask({ verb: 'request', n: 1, address, effort, ...members })
      end.close()
      return [outcome, code]
    }
    const nothing = ['unreachable', 'FMTP_NOT_HERE']

    for (const effort of ['cache', 'lookup'] as const) {
      it(`gets what own gives, as a guest, with ${effort}`, async () =>
        assert.deepEqual(await asks(undefined, effort), nothing))

      it(`gets what own gives, as a stranger, with ${effort}`, async () =>
        assert.deepEqual(await asks('stranger.example', effort), nothing))

      it(`gets what own gives, as one that says it is a child and is not configured, with ${effort}`, async () => {
        // Its sealed server object would name poe.net as its parent; poe.net does not know it.
        const eager = await serveBehind(network, 'eager.example', { parents: [hq], mayDial: [hq] })
        await linked(eager, hq)
        const client = await clientOf(eager, 'montresor')
        const since = eager.log.length
        const found = await ask(client, 'dave@lenore.org', 'lookup')
        assert.equal(found.outcome, 'unreachable')
        const steps = stepsOf(eager, since)
        assert.ok(steps.includes('parent lookup request miss'), `${steps}`)
        await network.stop('eager.example')
      })
    }

    it('is refused as a configured child with a key that is another one', async () => {
      const end = await rawTls(poe.address, poe.port, hq)
      const { signer } = handOf('stranger.example')
      handOf('hand.poe.net')
      const hello = await end.hello(hq, { as: 'hand.poe.net', signer })
      assert.deepEqual([hello.verb, hello.code], ['goodbye', 'FMTP_PROOF'])
    })

    it('proves another name than the child that it names in hops, and gets what own gives', async () =>
      assert.deepEqual(await asks('stranger.example', 'lookup', { hops: [region] }), nothing))

    it('finds as a configured child', async () => {
      assert.deepEqual(await asks('hand.poe.net', 'cache'), nothing)
      assert.deepEqual(await asks('hand.poe.net', 'lookup'), ['found', undefined])
      assert.deepEqual(await asks('hand.poe.net', 'cache'), ['found', undefined])
    })

    it('is told of a loop where it asks who has asked before', async () =>
      assert.deepEqual(await asks('hand.poe.net', 'lookup', { hops: [hq, 'hand.poe.net'] }), [
        'refused',
        'FMTP_LOOP',
      ]))

    it('is told that it is too far down, and that more hops than 16 are no request', async () => {
      const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `d${at}.example`)
      const nobody = 'nobody@lenore.org'
      assert.deepEqual(await asks('hand.poe.net', 'lookup', { hops: names(8) }, nobody), [
        'refused',
        'FMTP_TOO_FAR',
      ])
      assert.equal((await asks('hand.poe.net', 'lookup', { hops: names(7) }, nobody))[0], 'absent')
      assert.deepEqual(await asks('hand.poe.net', 'lookup', { hops: names(17) }), [
        'refused',
        'FMTP_BAD_FRAME',
      ])
    })
  })
})

describe('parents', () => {
  let network: Network
  const clients: Connection[] = []

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await network[Symbol.asyncDispose]()
  })

  const clientOf = (server: TestServer, local = 'alice'): Promise<Connection> =>
    clientAt(server, local, clients)

  /** Writes a message, and gives what becomes of it. */
  async function writeTo(to: string, client: Connection, author: string): Promise<() => Promise<string>> {
    const id = `m1.${author}`
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
    const { outcome, code } = await client.describe({ object })
    assert.equal(outcome, 'stored', code)
    return async () => {
      const [state] = (await client.request({ id })).answer.results ?? []
      return `${state?.outcome} ${state?.code}`
    }
  }

  it('that name each other are a loop, which is cut', async () => {
    const [left, right] = ['left.example', 'right.example'] as const
    const { port } = await serveBehind(network, left, {})
    const ofTwo = { parents: [left], children: [left], mayDial: [left] }
    const two = await serveBehind(network, right, ofTwo)
    await linked(two, left)
    await network.stop(left)
    const ofOne = { parents: [right], children: [right], mayDial: [right], port }
    const one = await serveBehind(network, left, ofOne)
    await network.serve('lenore.org')
    await linked(one, right)
    await linked(two, left, 2)
    const asking = [await clientOf(one), await clientOf(two)]
    const startMs = Date.now()
    const found = await Promise.all(asking.map(client => ask(client, 'lost@lenore.org')))
    assert.deepEqual(
      found.map(({ outcome, code }) => [outcome, code]),
      [
        ['unreachable', 'FMTP_LOOP'],
        ['unreachable', 'FMTP_LOOP'],
      ],
    )
    assert.ok(Date.now() - startMs < 5000)
    const told = await writeTo('lost@lenore.org', asking[0] as Connection, `alice@${left}`)
    await waitUntil('the author is told', async () => (await told()).includes('failed FMTP_LOOP'))
  })

  it('stand eight above each other, and not nine', async () => {
    const names = Array.from({ length: 10 }, (_, at) => `d${at}.example`)
    const lenore = await network.serve('lenore.org')
    await enrol(lenore, 'lost@lenore.org')
    const servers: TestServer[] = []
    for (let at = names.length - 1; at >= 0; at--) {
      const [name = '', above] = [names[at], names[at + 1]]
      servers[at] = await serveBehind(network, name, {
        children: names.slice(0, at),
        parents: above === undefined ? [] : [above],
        mayDial: [above ?? 'lenore.org'],
      })
    }
    for (const [at, server] of servers.entries()) if (at < 9) await linked(server, names[at + 1] ?? '')
    const [lowest, second] = servers
    assert.ok(lowest !== undefined && second !== undefined)
    const far = await ask(await clientOf(lowest), 'lost@lenore.org')
    assert.deepEqual([far.outcome, far.code], ['unreachable', 'FMTP_TOO_FAR'])
    const next = await clientOf(second)
    assert.equal((await ask(next, 'lost@lenore.org')).outcome, 'found')
    const [tooFar, within] = [
      await writeTo('lost@lenore.org', clients.at(-2) as Connection, `alice@${lowest.domain}`),
      await writeTo('lost@lenore.org', next, `alice@${second.domain}`),
    ]
    await waitUntil('it comes back', async () => (await tooFar()).includes('failed FMTP_TOO_FAR'))
    await waitUntil('it is there', async () => (await within()).includes('stored'))
  })

  it('that are down cost one attempt, and then nothing', async () => {
    const lenore = await network.serve('lenore.org')
    const { port } = await network.serve(hq)
    await network.stop(hq)
    const region = await serveBehind(network, 'region.poe.net', {
      parents: [hq],
      mayDial: ['lenore.org', hq],
    })
    const client = await clientOf(region)
    await enrol(lenore, 'lost@lenore.org')
    await waitUntil('the parent is found down', () =>
      region.log.some(({ event }) => event === 'parent.failed'),
    )
    const since = region.log.length
    assert.equal((await ask(client, 'lost@lenore.org')).outcome, 'found')
    const steps = stepsOf(region, since)
    assert.ok(steps.includes('parent cache held FMTP_RESTING'), `${steps}`)
    // Nobody waits for the next attempt either, which hangs.
    await enrol(lenore, 'bob@lenore.org')
    let isCalled = false
    const silent = createServer(() => {
      isCalled = true
    })
    silent.listen(port, network.addressOf(hq))
    await waitUntil('the parent is called again', () => isCalled)
    const startMs = Date.now()
    assert.equal((await ask(client, 'bob@lenore.org')).outcome, 'found')
    assert.ok(Date.now() - startMs < 2000)
    silent.close()
    await network.serve(hq, { children: ['*.poe.net'], port: 0 })
  })

  it('are asked beside a host that says nothing, for who waits and for what is sent', async () => {
    const lenore = await network.serve('lenore.org')
    for (const name of ['lost', 'bob']) await enrol(lenore, `${name}@lenore.org`)
    const silent = createServer(socket => socket.on('error', () => undefined))
    silent.listen(0, network.addressOf('silent.example'))
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const records = [`0 5 ${port} silent.example`, `5 5 ${lenore.port} fmtp.lenore.org`]
    network.zone.set('_fmtp._tcp.lenore.org', 'SRV', records)
    network.zone.set('silent.example', 'A', [network.addressOf('silent.example')])
    await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'] })
    const mayDial = [hq, 'silent.example']
    const region = await serveBehind(network, 'region.poe.net', { parents: [hq], mayDial })
    await linked(region, hq)
    const client = await clientOf(region)
    const startMs = Date.now()
    assert.equal((await ask(client, 'lost@lenore.org')).outcome, 'found')
    const told = await writeTo('bob@lenore.org', client, 'alice@region.poe.net')
    await waitUntil('it is there', async () => (await told()).includes('stored'), 8000)
    const tookMs = Date.now() - startMs
    assert.ok(tookMs >= 2000 && tookMs < 8000, `${tookMs} ms`)
    silent.close()
  })
})
