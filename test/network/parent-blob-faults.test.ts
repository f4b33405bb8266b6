/**
 * What goes wrong with blobs on their way through parents (protocol §9.9): homes and parents that lie, cut or hang, parents that
 * are away or killed, rings, and too little room. Nothing that is not the blob is kept or believed.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { keyOf, listOf, rangeOf, type Word } from '../../objects/store/layout.ts'
import { limits } from '../../schemas/limits.ts'
import type { Name } from '../../schemas/text/names.ts'
import { openCore } from '../../server/core/core.ts'
import { repair } from '../../server/verify/repair.ts'
import { verifyStore } from '../../server/verify/verify.ts'
import { attachmentOf, blobFile, findFaults, partialBytes } from '../support/blob.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked, serveBehind } from '../support/family.ts'
import { handDomain, handMessage, handUser } from '../support/hand.ts'
import { type HandServer, handServer } from '../support/hand-server.ts'
import { connectAs, enrol, Network, type Site, type TestServer } from '../support/network.ts'
import { startProcess } from '../support/process.ts'
import { type RawEnd, type Received, rawTls } from '../support/raw.ts'

const kib = 1024
const mib = 1024 * kib
const piece = limits.blobPieceBytes
const minuteMs = 60_000
const [hq, region, dept, home] = ['poe.net', 'region.poe.net', 'dept.region.poe.net', 'lenore.org'] as const

describe('blobs through parents, where something is wrong', function () {
  this.timeout(60_000)
  let network: Network
  let clients: Connection[]
  let ends: RawEnd[]
  let hands: HandServer[]
  let served: TestServer[]

  beforeEach(async () => {
    network = await Network.start()
    clients = []
    ends = []
    hands = []
    served = []
  })

  afterEach(async () => {
    for (const each of [...clients, ...ends]) each.close()
    for (const hand of hands) await hand[Symbol.asyncDispose]()
    for (const { domain } of served) await network.stop(domain)
    for (const server of served) assert.deepEqual(await findFaults(server), [], server.domain)
    await network[Symbol.asyncDispose]()
  })

  async function serve(...args: [domain: string, choices?: Parameters<typeof serveBehind>[2]]) {
    const server = await serveBehind(network, args[0], args[1] ?? {})
    served.push(server)
    return server
  }

  async function clientOf(server: TestServer, local = 'alice'): Promise<Connection> {
    const client = await connectAs(server, await enrol(server, `${local}@${server.domain}`))
    clients.push(client)
    return client
  }

  /** A server whose answers are the test's. */
  async function playedBy(name: string, answer: HandServer['answer']): Promise<HandServer> {
    const { address, folder } = network.site(name)
    const read = (part: string): string => readFileSync(join(folder, 'data', 'tls', `${part}.pem`), 'utf8')
    const hand = await handServer(network, { name, address, cert: read('cert'), key: read('key') }, answer)
    hands.push(hand)
    return hand
  }

  /** What an honest one says of a blob, and nothing else. */
  function give(bytes: Uint8Array, { blob, range }: Received): Record<string, unknown> {
    if (blob === undefined) return { outcome: 'absent', code: 'FMTP_ABSENT' }
    const [from = 0, to = 0] = range as number[]
    const given = bytes.subarray(from, to + 1)
    const reached = given.length === 0 ? {} : { range: [from, from + given.length - 1] }
    return { outcome: 'found', bytes: Buffer.from(given).toString('base64'), ...reached, total: bytes.length }
  }

  const isWhole = ({ range }: Received): boolean => (range as number[])[0] !== (range as number[])[1]

  interface Sought {
    readonly id: string
    readonly blob: string
    readonly secret: string
    readonly bytes: Buffer
  }

  function seek(count: number, owner = `lost@${home}`): Sought {
    const bytes = randomBytes(count)
    const { sha256: blob, secret = '' } = attachmentOf(bytes)
    return { id: mintId(owner as Name, Date.now()), blob, secret, bytes }
  }

  const ask = async (client: Connection, { bytes: _, ...sought }: Sought, members: object = {}) => {
    const { answer } = await client.request({ ...sought, effort: 'lookup', ...members })
    return answer
  }

  async function fetchAll(client: Connection, sought: Sought): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let at = 0; at < sought.bytes.length; at += piece) {
      const answer = await ask(client, sought, { range: [at, at + piece - 1] })
      assert.equal(answer.outcome, 'found', JSON.stringify(answer))
      pieces.push(Buffer.from(answer.bytes ?? '', 'base64'))
    }
    return Buffer.concat(pieces)
  }

  const rowsOf = ({ running }: TestServer, word: Word) =>
    running.store.database.scan(rangeOf(word), { limit: 100 })

  async function assertNothing(server: TestServer, { blob }: Sought, isEmpty = true): Promise<void> {
    for (const word of ['carried', 'idle', 'blob', 'loose'] as const)
      assert.deepEqual(await rowsOf(server, word), [])
    assert.ok(!existsSync(blobFile(server, blob)))
    if (isEmpty) assert.equal(partialBytes(server), 0)
  }

  const kinds = ['home', 'parent'] as const
  for (const kind of kinds) {
    describe(`at the ${kind} of the one that asks`, () => {
      let source: HandServer
      let middle: TestServer
      let client: Connection
      let sought: Sought

      // Either poe.net asks the home, for region.poe.net; or that one asks poe.net, for its department.
      beforeEach(async () => {
        sought = seek(piece + 100)
        const name = kind === 'home' ? home : hq
        source = await playedBy(name, frame => give(sought.bytes, frame))
        if (kind === 'parent') network.hand(home)
        const [upper, lower] = kind === 'home' ? ([hq, region] as const) : ([region, dept] as const)
        const parents = kind === 'home' ? [] : [hq]
        const small = { limits: { blobBytes: mib } }
        middle = await serve(upper, { ...small, parents, children: [`*.${upper}`], mayDial: [name] })
        if (kind === 'parent') await linked(middle, hq)
        const child = await serve(lower, { parents: [upper], mayDial: [upper] })
        await linked(child, upper)
        client = await clientOf(child)
      })

      const lies: readonly (readonly [what: string, code: string, lie: (frame: Received) => object])[] = [
        ['other bytes', 'FMTP_BLOB_HASH', frame => ({ ...give(randomBytes(sought.bytes.length), frame) })],
        [
          'too large a total',
          'FMTP_BLOB_TOO_LARGE',
          frame => ({ ...give(sought.bytes, frame), total: mib + 1 }),
        ],
        [
          'one total to who asks for a byte, and another one then',
          'FMTP_BLOB_SIZE',
          frame => ({ ...give(sought.bytes, frame), total: sought.bytes.length + (isWhole(frame) ? 0 : 1) }),
        ],
        [
          'a total that is too long by a byte',
          'FMTP_BLOB_PIECE',
          frame => ({ ...give(sought.bytes, frame), total: sought.bytes.length + 1 }),
        ],
        [
          'a piece that is too short',
          'FMTP_BLOB_PIECE',
          frame =>
            isWhole(frame) ? { ...give(sought.bytes, frame), bytes: 'AAAA' } : give(sought.bytes, frame),
        ],
      ]
      for (const [what, code, lie] of lies) {
        it(`${what} are not kept, and what is honest then is`, async () => {
          source.answer = lie
          const answer = await ask(client, sought)
          assert.notEqual(answer.outcome, 'found')
          assert.ok(
            middle.log.some(({ record }) => record.code === code) ||
              served.some(({ log }) => log.some(({ record }) => record.outcome === code)),
            `${code}: ${JSON.stringify(answer)}`,
          )
          await assertNothing(middle, sought)
          source.answer = frame => give(sought.bytes, frame)
          assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
          assert.equal((await rowsOf(middle, 'carried')).length, 1)
        })
      }

      it('a cut in the middle is gone on from, over another connection', async () => {
        let cuts = 0
        source.answer = frame => {
          const [from = 0] = (frame.range ?? []) as number[]
          if (from > 0 && cuts++ === 0) {
            source.cut()
            return undefined
          }
          return give(sought.bytes, frame)
        }
        if (kind === 'home') assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
        else {
          // That connection is made again by itself.
          assert.notEqual((await ask(client, sought)).outcome, 'found')
          await assertNothing(middle, sought, false)
          assert.ok(partialBytes(middle) > 0)
          await linked(middle, hq, 2)
          assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
        }
        const first = source.frames.filter(({ range }) => isWhole({ range }) && (range as number[])[0] === 0)
        assert.equal(first.length, 1, 'what came stays')
      })

      it('that says no is believed of absence where it is the home alone', async () => {
        source.answer = () => ({ outcome: 'absent', code: 'FMTP_ABSENT' })
        const { outcome } = await ask(client, sought)
        assert.equal(outcome, 'unreachable')
        const top = await clientOf(middle, 'prospero')
        assert.equal((await ask(top, sought)).outcome, kind === 'home' ? 'absent' : 'unreachable')
        await assertNothing(middle, sought)
      })

      it('that says yes is believed for a minute', async () => {
        assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
        source.answer = () => ({ outcome: 'absent', code: 'FMTP_ABSENT' })
        assert.equal((await ask(client, sought)).outcome, 'found')
        network.clock.advance(limits.proofMs)
        assert.equal((await ask(client, sought)).outcome, 'unreachable')
        source.answer = frame => give(sought.bytes, frame)
        const since = source.frames.length
        assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
        assert.ok(!source.frames.slice(since).some(frame => frame.blob !== undefined && isWhole(frame)))
      })

      it('that is waited for by nobody any more is left, and gone on from', async () => {
        const held: (() => void)[] = []
        source.answer = (frame, socket) => {
          const answer = { verb: 'answer', re: frame.n, ...give(sought.bytes, frame) }
          if (frame.blob === undefined || !isWhole(frame)) return give(sought.bytes, frame)
          held.push(() => socket.write(`${JSON.stringify(answer)}\n`))
          return undefined
        }
        const asking = ask(client, sought)
        await waitUntil('it is asked', () => held.length > 0)
        await new Promise(resolve => setTimeout(resolve, 200))
        network.clock.advance(limits.bringMs)
        assert.equal((await asking).code, 'FMTP_BUSY')
        network.clock.advance(limits.wantedMs)
        held.shift()?.()
        await waitUntil('the first piece is there', () => partialBytes(middle) === piece)
        await new Promise(resolve => setTimeout(resolve, 200))
        assert.equal(held.length, 0, 'no other piece is asked for')
        source.answer = frame => give(sought.bytes, frame)
        assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
        const whole = source.frames.filter(frame => frame.blob !== undefined && isWhole(frame))
        assert.equal(whole.length, 2)
      })

      it('that hangs lets who asks come back, and is asked once', async () => {
        const held: (() => void)[] = []
        source.answer = (frame, socket) => {
          const answer = { verb: 'answer', re: frame.n, ...give(sought.bytes, frame) }
          if (frame.blob === undefined || !isWhole(frame)) return give(sought.bytes, frame)
          held.push(() => socket.write(`${JSON.stringify(answer)}\n`))
          return undefined
        }
        const child = served[1]
        assert.ok(child !== undefined)
        const asking = [ask(client, sought), ask(await clientOf(child, 'annie'), sought)]
        const proofs = (): number =>
          source.frames.filter(frame => frame.blob !== undefined && !isWhole(frame)).length
        await waitUntil('it is asked', () => held.length > 0 && proofs() === 2)
        await new Promise(resolve => setTimeout(resolve, 200))
        network.clock.advance(limits.carryMs)
        const isTold = ({ record }: TestServer['log'][number]): boolean => record.outcome === 'FMTP_BUSY'
        await waitUntil('both are told', () => child.log.filter(isTold).length === 2)
        assert.equal(held.length, 1)
        // And the next pieces, as they are asked for.
        const giving = setInterval(() => held.shift()?.(), 5)
        for (const each of asking) assert.equal((await each).outcome, 'found')
        clearInterval(giving)
        const whole = source.frames.filter(frame => frame.blob !== undefined && isWhole(frame))
        assert.equal(whole.length, 2)
      })
    })
  }

  it('are not had by a home that names what another one gave', async () => {
    const sought = seek(1000)
    await playedBy(home, frame => give(sought.bytes, frame))
    const evil = await playedBy('evil.example', frame =>
      give(isWhole(frame) ? randomBytes(1000) : sought.bytes, frame),
    )
    const poe = await serve(hq, { children: ['*.poe.net'], mayDial: [home, 'evil.example'] })
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const client = await clientOf(child)
    assert.ok((await fetchAll(client, sought)).equals(sought.bytes))
    const named = { ...sought, id: mintId('raven@evil.example' as Name, Date.now()) }
    const [asChild, asTop] = [client, await clientOf(poe, 'prospero')]
    for (const each of [asChild, asTop]) {
      const answer = await ask(each, named)
      assert.notEqual(Buffer.from(answer.bytes ?? '', 'base64').toString('hex'), sought.bytes.toString('hex'))
    }
    assert.ok(evil.frames.some(isWhole))
    assert.deepEqual(
      (await rowsOf(poe, 'carried')).map(([key]) => key),
      [keyOf.carried(sought.blob, home)],
    )
  })

  it('are not asked for at places that may not be dialled, whoever names them', async () => {
    const poe = await serve(hq, { children: ['*.poe.net'] })
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const { record } = network.hand('evil.example')
    const address = network.addressOf('evil.example')
    let calls = 0
    const silent = createServer(socket => {
      calls++
      socket.destroy()
    })
    await new Promise<void>(resolve => silent.listen(0, address, resolve))
    const { port } = silent.address() as AddressInfo
    network.publish({ domain: 'evil.example', address }, record, port)
    const { outcome, code } = await ask(await clientOf(child), seek(10, 'raven@evil.example'))
    assert.deepEqual([outcome, code, calls], ['unreachable', 'FMTP_GUARDED', 0])
    const refused = poe.log.filter(({ record }) => record.outcome === 'FMTP_GUARDED')
    assert.ok(refused.length > 0)
    silent.close()
  })

  it('that name each other are a ring, which is cut', async () => {
    const [left, right] = ['left.example', 'right.example'] as const
    const { port } = await serveBehind(network, left, {})
    const two = await serve(right, { parents: [left], children: [left], mayDial: [left] })
    await linked(two, left)
    await network.stop(left)
    const one = await serve(left, { parents: [right], children: [right], mayDial: [right], port })
    await linked(one, right)
    await linked(two, left, 2)
    network.hand(home)
    const startMs = Date.now()
    for (const server of [one, two]) {
      const { outcome, code } = await ask(await clientOf(server), seek(10))
      assert.deepEqual([outcome, code], ['unreachable', 'FMTP_LOOP'])
    }
    assert.ok(Date.now() - startMs < 5000)
  })

  it('take no more of the cache than it has, the least recently used going first', async () => {
    const all = [0, 1, 2].map(() => seek(400 * kib))
    const large = seek(1100 * kib)
    await playedBy(home, frame => {
      const found = [...all, large].find(({ blob }) => blob === frame.blob)
      return found === undefined ? { outcome: 'absent' } : give(found.bytes, frame)
    })
    const poe = await serve(hq, { limits: { cacheBytes: mib }, children: ['*.poe.net'], mayDial: [home] })
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const client = await clientOf(child)
    for (const each of all) {
      assert.ok((await fetchAll(client, each)).equals(each.bytes))
      network.clock.advance(minuteMs)
    }
    const { database } = poe.running.store
    await waitUntil('there is room again', () => database.head(listOf.cache).bytes <= mib)
    const files = (): boolean[] => all.map(({ blob }) => existsSync(blobFile(poe, blob)))
    await waitUntil('its file is gone', () => files()[0] === false)
    assert.deepEqual(files(), [false, true, true])
    assert.deepEqual(await rowsOf(poe, 'loose'), [])
    const [first] = all
    assert.ok(first !== undefined && (await fetchAll(client, first)).equals(first.bytes))
    await ask(client, large)
    assert.ok(!existsSync(blobFile(poe, large.blob)))
    assert.equal(partialBytes(poe), 0)
    // What an object named that has gone is kept as long as it is in the cache.
    const kept = await rowsOf(poe, 'carried')
    assert.ok(kept.length > 0)
    await database.commit([{ puts: kept.map(([key]) => [keyOf.loose(key.split(' ')[1] ?? ''), '0']) }])
    await poe.running.upkeep.once()
    assert.deepEqual(await rowsOf(poe, 'loose'), [])
    assert.equal((await rowsOf(poe, 'blob')).length, kept.length)
    assert.ok(existsSync(blobFile(poe, first.blob)))
  })

  it('are asked for a few at a time by one who waits', async () => {
    const poe = await serve(hq, { children: ['*.poe.net'] })
    const hand = network.hand('raven.example')
    const asking: RawEnd[] = []
    for (const { name, signer } of [network.hand('child.poe.net'), hand, hand]) {
      const end = await rawTls(poe.address, poe.port, hq)
      ends.push(end)
      assert.equal((await end.hello(hq, { as: name, signer })).verb, 'hello')
      asking.push(end)
    }
    const [below, ...ravens] = asking
    assert.ok(below !== undefined)
    // Four over each connection; the child never answers.
    for (const end of ravens)
      for (let n = 1; n <= 4; n++) {
        const { bytes: _, ...sought } = seek(10, 'usher@child.poe.net')
        end.sendFrame({ verb: 'request', n, ...sought })
      }
    const refused = (): number =>
      ravens.flatMap(({ frames }) => frames).filter(({ code }) => code === 'FMTP_RATE').length
    await waitUntil('too many are refused', () => refused() >= 4)
    await waitUntil('the others are asked for', () => below.frames.length >= limits.piecesPerPeer)
    assert.equal(refused(), 4)
    assert.equal(below.frames.length, limits.piecesPerPeer)
  })

  it('go behind an object, also when the parent was away', async () => {
    const lenore = handDomain(home)
    network.zone.set(`fmtpkey.${home}`, 'TXT', [lenore.record])
    const sought = seek(2 * piece)
    const parent = await playedBy(hq, frame => give(sought.bytes, frame))
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const alice = await enrol(child, `alice@${region}`)
    const lost = handUser(lenore, `lost@${home}`)
    const attachment = { ...attachmentOf(sought.bytes), secret: sought.secret }
    let n = 0
    const handOver = async (): Promise<string> => {
      const object = handMessage(lost, [alice.address], { attachments: [attachment] })
      const end = await rawTls(child.address, child.port, region)
      await end.hello(region, { as: home, signer: lenore.signer })
      const answer = await end.ask({ verb: 'describe', n: ++n, object, for: [alice.address] })
      assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
      end.close()
      return object.id
    }
    const isPulled = (id: string) => async (): Promise<boolean> =>
      child.running.store.database.get(keyOf.pulled(sought.blob, id)) !== undefined
    // It says no, which is a miss: the blob waits like that of a home that can not be reached.
    parent.answer = () => ({ outcome: 'absent', code: 'FMTP_ABSENT' })
    const id = await handOver()
    await waitUntil('it is away', () => child.log.some(({ event }) => event === 'pull.unreachable'))
    assert.ok(!child.log.some(({ event }) => event === 'pull.failed'))
    parent.answer = frame => give(sought.bytes, frame)
    // Its hello ends the waiting.
    parent.cut()
    await linked(child, hq, 2)
    await waitUntil('the blob came', isPulled(id), 10_000)
    for (const word of ['away', 'pull'] as const)
      await waitUntil(`no ${word} is left`, async () => (await rowsOf(child, word)).length === 0)
    const asked = parent.frames.find(frame => frame.blob === sought.blob && frame.effort === 'lookup')
    assert.deepEqual([asked?.for, asked?.hops, asked?.secret], [[alice.address], [region], sought.secret])
  })

  it('go on where the parent was killed', async () => {
    const sought = seek(40 * mib)
    await playedBy(home, frame => give(sought.bytes, frame))
    const choices = {
      children: ['*.poe.net'],
      allow: [`${network.addressOf(home)}/32`],
    }
    let poe = await startProcess(network, hq, choices)
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    const client = await clientOf(child)
    const site: Site = poe
    let isOver = false
    const asking = (async () => {
      for (;;) {
        const answer = await ask(client, sought)
        if (answer.outcome === 'found') return answer
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    })().finally(() => {
      isOver = true
    })
    for (let times = 1; times <= 2; times++) {
      await waitUntil('some of it came', () => partialBytes(site) > times * 5 * mib, 20_000)
      assert.ok(!isOver)
      await poe.kill()
      assert.ok(!existsSync(blobFile(site, sought.blob)), 'it came too fast')
      // Where the child still looks for it.
      poe = await startProcess(network, hq, { ...choices, port: poe.port })
      const links = (): number => child.log.filter(({ event }) => event === 'parent.linked').length
      await waitUntil('it is linked again', () => links() > times, 30_000)
    }
    const answer = await asking
    assert.equal(answer.bytes, sought.bytes.subarray(0, piece).toString('base64'))
    assert.ok(readFileSync(blobFile(site, sought.blob)).equals(sought.bytes))
    assert.equal(partialBytes(site), 0)
    await poe.stop()
    assert.deepEqual(await findFaults(site), [])
  })

  it('have rows that verify holds against each other, and mends', async () => {
    const sought = seek(1000)
    await playedBy(home, frame => give(sought.bytes, frame))
    const poe = await serve(hq, { children: ['*.poe.net'], mayDial: [home] })
    const child = await serve(region, { parents: [hq], mayDial: [hq] })
    await linked(child, hq)
    await fetchAll(await clientOf(child), sought)
    await network.stop(hq)
    const ports = { onProgress: () => undefined, signal: new AbortController().signal }
    const { blob } = sought
    const carried = keyOf.carried(blob, home)
    const rows = async () => {
      await using core = await openCore(poe.config)
      const found = await core.database.scan(rangeOf('idle'), { limit: 10 })
      return found.map(([key]) => key)
    }
    type Tampered = readonly (readonly [key: string, value: string | undefined])[]
    const tampered = (idle: string): Tampered => [
      [carried, JSON.stringify({ bytes: 999, usedAtMs: 5 })],
      [carried, '{'],
      [keyOf.carried(blob, 'no_domain'), JSON.stringify({ bytes: 1000, usedAtMs: 5 })],
      [keyOf.carried(sought.secret, home), JSON.stringify({ bytes: 1000, usedAtMs: 5 })],
      [idle, undefined],
      [idle, 'x'],
      [keyOf.idle(7, blob, home), ''],
      [keyOf.head(listOf.cache), '0 999'],
      [keyOf.blob(blob), '{'],
    ]
    for (let at = 0; at < tampered('').length; at++) {
      const [idle = ''] = await rows()
      const [key = '', value] = tampered(idle)[at] ?? []
      const what = `${key} ${value}`
      await using core = await openCore(poe.config)
      await core.database.commit([value === undefined ? { dels: [key] } : { puts: [[key, value]] }])
      const { found } = await verifyStore(core, ports)
      assert.ok(found.length > 0, what)
      await core[Symbol.asyncDispose]()
      assert.deepEqual((await repair(poe.config.file, ports)).found, [], what)
      // What the store does not know to be here goes, and comes again for who asks.
      assert.equal((await rows()).length, key.startsWith('blob ') ? 0 : 1, what)
    }
  })
})
