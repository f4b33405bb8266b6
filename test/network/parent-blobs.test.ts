/**
 * Blobs that go through parents (protocol §9.9, §10.7, §10.8): up for the servers of children, down to them for everybody, kept
 * in between, and given to nobody who could not have them from the home.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { sha256Text } from '../../objects/seals/keys.ts'
import type { Pulled } from '../../objects/store/attachments.ts'
import { keyOf, listOf, rangeOf } from '../../objects/store/layout.ts'
import { limits } from '../../schemas/limits.ts'
import { type Name, parseDomain } from '../../schemas/text/names.ts'
import { attachmentOf, blobFile, findFaults, putBlob } from '../support/blob.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked, serveBehind } from '../support/family.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { type RawEnd, type Received, rawTls } from '../support/raw.ts'

const kib = 1024
const piece = limits.blobPieceBytes
const [hq, region, first, second] = [
  'poe.net',
  'region.poe.net',
  'first.region.poe.net',
  'second.region.poe.net',
] as const

/** A blob and an object that names it. */
interface Given {
  readonly id: string
  readonly sha256: string
  readonly secret: string | undefined
  readonly bytes: Buffer
}

type Members = Readonly<Record<string, unknown>>

describe('blobs through parents', function () {
  this.timeout(60_000)
  let network: Network
  let poe: TestServer
  let regional: TestServer
  let one: TestServer
  let two: TestServer
  let lenore: TestServer
  let raven: TestServer
  let clients: Connection[]
  let ends: RawEnd[]
  const people = new Map<string, Person>()

  before(async () => {
    network = await Network.start()
    poe = await serveBehind(network, hq, { children: ['*.poe.net'], mayDial: ['lenore.org'] })
    lenore = await serveBehind(network, 'lenore.org', { mayDial: [hq] })
    raven = await serveBehind(network, 'raven.example', { mayDial: [hq] })
    regional = await serveBehind(network, region, {
      front: poe,
      parents: [hq],
      children: [`*.${region}`],
      mayDial: [hq],
    })
    one = await serveBehind(network, first, { front: poe, parents: [region], mayDial: [region] })
    two = await serveBehind(network, second, { front: poe, parents: [region], mayDial: [region] })
    await linked(regional, hq)
    await linked(one, region)
    await linked(two, region)
  })

  beforeEach(() => {
    clients = []
    ends = []
  })

  afterEach(() => {
    for (const each of [...clients, ...ends]) each.close()
  })

  after(async () => {
    const servers = [poe, regional, one, two, lenore, raven]
    for (const { domain } of servers) await network.stop(domain)
    for (const server of servers) assert.deepEqual(await findFaults(server), [], server.domain)
    await network[Symbol.asyncDispose]()
  })

  async function personOf(server: TestServer, local: string): Promise<Person> {
    const address = `${local}@${server.domain}`
    const person = people.get(address) ?? (await enrol(server, address))
    people.set(address, person)
    return person
  }

  async function clientOf(server: TestServer, local: string): Promise<Connection> {
    const client = await connectAs(server, await personOf(server, local))
    clients.push(client)
    return client
  }

  /** Somebody publishes an object with an attachment. */
  async function publish(server: TestServer, local: string, members: Members = {}, count = 100 * kib) {
    const person = await personOf(server, local)
    const bytes = randomBytes(count)
    const attachment = attachmentOf(bytes, members.public === true ? { secret: undefined as never } : {})
    if (attachment.secret === undefined) delete (attachment as { secret?: string }).secret
    await putBlob(server, person, bytes, network.clock.now())
    const id = mintId(person.address as Name, Date.now())
    const kind = members.public === true ? 'post' : 'message'
    const object = { id, kind, format: 'text/plain', body: 'See', attachments: [attachment], ...members }
    const client = await clientOf(server, local)
    const { outcome, code } = await client.describe({ object })
    assert.equal(outcome, 'stored', code)
    return { id, sha256: attachment.sha256, secret: attachment.secret, bytes } satisfies Given
  }

  const told = ({ id, sha256: blob }: Given, members: Members = {}) => ({ id, blob, ...members })

  /** All of a blob, piece by piece. */
  async function fetchAll(client: Connection, given: Given, members: Members = {}): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let at = 0, total = 1; at < total; at += piece) {
      const range = [at, at + piece - 1]
      const { answer } = await client.request({ ...told(given), range, effort: 'lookup', ...members })
      assert.equal(answer.outcome, 'found', JSON.stringify(answer))
      total = Number(answer.total)
      pieces.push(Buffer.from(answer.bytes ?? '', 'base64'))
    }
    return Buffer.concat(pieces)
  }

  /** What a client is told of the first piece. */
  async function outcomeOf(client: Connection, given: Given, members: Members = {}) {
    const { answer } = await client.request({ ...told(given), effort: 'lookup', ...members })
    return answer.outcome === 'found' ? Buffer.from(answer.bytes ?? '', 'base64') : answer.code
  }

  /** A connection that proves to be a server's domain, or nobody. */
  async function as(server: TestServer | undefined, at: TestServer): Promise<RawEnd> {
    const own = server?.running.domains.get(parseDomain(server.domain))?.current.signer
    const end = await rawTls(at.address, at.port, at.domain)
    ends.push(end)
    const who = own === undefined ? {} : { as: String(server?.domain), signer: own }
    assert.equal((await end.hello(at.domain, who)).verb, 'hello')
    return end
  }

  let n = 0
  /** What is answered to a request that is made by hand, without its number. */
  async function asked(server: TestServer | undefined, at: TestServer, members: Members) {
    const end = await as(server, at)
    const { re: _, ...answer } = await end.ask({ verb: 'request', n: ++n, ...members })
    end.close()
    return answer
  }

  const codeOf = ({ outcome, code }: Received): unknown => code ?? outcome

  /** Pieces of a blob of more than a byte that a server was given on one rung, since a place in its log. */
  const piecesOf = (server: TestServer, given: Given, rung: string, since = 0): number =>
    answersOf(server, given, rung, since).filter(isPiece => isPiece).length

  /** What a server was given on one rung: true for a piece, false for a byte. */
  function answersOf(server: TestServer, { sha256 }: Given, rung: string, since = 0): readonly boolean[] {
    return server.log.slice(since).flatMap(({ event, record }) => {
      const {
        rung: on,
        what,
        outcome,
        detail,
      } = record as {
        rung?: string
        what?: string
        outcome?: string
        detail?: { blob?: string; range?: readonly [number, number] }
      }
      const isGiven = event === 'route' && what === 'request' && outcome === 'ok' && on === rung
      const [from = 0, to = 0] = detail?.range ?? []
      return isGiven && detail?.blob === sha256 ? [to > from] : []
    })
  }

  const isKept = (server: TestServer, { sha256 }: Given, domain: string): boolean =>
    server.running.store.database.get(keyOf.carried(sha256, domain)) !== undefined

  describe('up', () => {
    it('come from outside byte for byte, and to the next department from the cache of the parent', async () => {
      const given = await publish(lenore, 'lost', { to: ['bob@lenore.org'] }, 2 * piece + 7)
      const { secret } = given
      const alice = await clientOf(one, 'alice')
      assert.ok((await fetchAll(alice, given, { secret })).equals(given.bytes))
      assert.equal(piecesOf(poe, given, 'domain'), 3)
      for (const server of [poe, regional]) {
        assert.ok(isKept(server, given, 'lenore.org'), server.domain)
        assert.ok(existsSync(blobFile(server, given.sha256)))
      }
      const since = [poe, regional].map(({ log }) => log.length)
      const dupin = await clientOf(two, 'dupin')
      assert.ok((await fetchAll(dupin, given, { secret })).equals(given.bytes))
      assert.equal(piecesOf(poe, given, 'domain', since[0]), 0)
      assert.equal(piecesOf(regional, given, 'parent lookup', since[1]), 0)
      assert.equal(piecesOf(two, given, 'parent lookup'), 3)
      // A user of the parent itself has it from there too.
      const top = await clientOf(poe, 'prospero')
      assert.ok((await fetchAll(top, given, { secret })).equals(given.bytes))
      assert.equal(piecesOf(poe, given, 'domain', since[0]), 0)
    })

    it('are for who may see the object, also where they are in the cache', async () => {
      const given = await publish(lenore, 'lost', { to: [`alice@${first}`] })
      const [alice, annie, dupin, top] = [
        await clientOf(one, 'alice'),
        await clientOf(one, 'annie'),
        await clientOf(two, 'dupin'),
        await clientOf(poe, 'prospero'),
      ]
      assert.equal(await outcomeOf(annie, given), 'FMTP_GUARDED')
      assert.ok(!isKept(poe, given, 'lenore.org'), 'nothing comes for who may not have it')
      assert.deepEqual(await outcomeOf(alice, given), given.bytes)
      assert.ok(isKept(poe, given, 'lenore.org') && isKept(regional, given, 'lenore.org'))
      for (const client of [annie, dupin]) {
        assert.equal(await outcomeOf(client, given), 'FMTP_GUARDED')
        assert.equal(await outcomeOf(client, given, { secret: `${given.secret}x` }), 'FMTP_GUARDED')
        assert.deepEqual(await outcomeOf(client, given, { secret: given.secret }), given.bytes)
      }
      assert.equal(await outcomeOf(top, given), 'FMTP_ABSENT')
    })

    it('are for everybody where the object is public', async () => {
      const given = await publish(lenore, 'lost', { public: true })
      for (const server of [one, two])
        assert.deepEqual(await outcomeOf(await clientOf(server, 'alice'), given), given.bytes)
      assert.equal(piecesOf(poe, given, 'domain'), 1)
    })

    it('are given without a question by who has the object, to who may see that', async () => {
      const top = await clientOf(poe, 'prospero')
      const open = await publish(lenore, 'lost', { public: true })
      assert.equal((await top.request({ id: open.id, effort: 'lookup' })).answer.outcome, 'found')
      const given = await publish(lenore, 'lost', { to: ['prospero@poe.net', `alice@${first}`] })
      await waitUntil('it is delivered', () => poe.running.store.findObject(given.id) !== undefined)
      const [alice, dupin] = [await clientOf(one, 'alice'), await clientOf(two, 'dupin')]
      for (const each of [open, given]) {
        assert.deepEqual(await outcomeOf(alice, each), each.bytes)
        const since = poe.log.length
        const told = each.secret === undefined ? {} : { secret: each.secret }
        assert.deepEqual(await outcomeOf(dupin, each, told), each.bytes)
        assert.deepEqual(answersOf(poe, each, 'domain', since), [])
      }
      assert.equal(await outcomeOf(dupin, given), 'FMTP_GUARDED')
    })

    it('come once, whoever waits for them at the same time', async () => {
      const given = await publish(lenore, 'lost', { to: ['bob@lenore.org'] }, 8 * piece)
      const asking = [
        await clientOf(one, 'alice'),
        await clientOf(one, 'annie'),
        await clientOf(two, 'dupin'),
        await clientOf(two, 'legrand'),
      ]
      const found = await Promise.all(asking.map(client => fetchAll(client, given, { secret: given.secret })))
      assert.ok(found.every(bytes => bytes.equals(given.bytes)))
      assert.equal(piecesOf(poe, given, 'domain'), 8)
      assert.equal(piecesOf(regional, given, 'parent lookup'), 8)
    })

    it('of nothing come too', async () => {
      const given = await publish(lenore, 'lost', { public: true }, 0)
      const client = await clientOf(one, 'alice')
      for (const _ of [1, 2]) assert.deepEqual(await outcomeOf(client, given), Buffer.alloc(0))
      assert.ok(isKept(regional, given, 'lenore.org'))
    })

    it('come behind an object that a user there has, and count as that user has room', async () => {
      const given = await publish(lenore, 'lost', { to: [`alice@${first}`] }, 3 * piece)
      const client = await clientOf(one, 'alice')
      assert.ok((await fetchAll(client, given)).equals(given.bytes))
      const { database } = one.running.store
      const pulled = keyOf.pulled(given.sha256, given.id)
      await waitUntil('it is alice’s', () => database.get(pulled) !== undefined)
      const { address, bytes } = JSON.parse(database.get(pulled) ?? '') as Pulled
      assert.deepEqual([address, bytes], [`alice@${first}`, given.bytes.length])
      assert.ok(database.head(listOf.blobs(address)).bytes >= given.bytes.length)
      assert.deepEqual(await database.scan(rangeOf('carried', given.sha256), { limit: 10 }), [])
    })
  })

  describe('down', () => {
    it('come from a department to outside, once, for who has the secret or the object', async () => {
      const given = await publish(one, 'alice', { to: ['lost@lenore.org'] }, piece + 9)
      const [lost, bob] = [await clientOf(lenore, 'lost'), await clientOf(lenore, 'bob')]
      assert.equal(await outcomeOf(bob, given), 'FMTP_ABSENT')
      assert.ok((await fetchAll(lost, given)).equals(given.bytes))
      assert.ok(isKept(poe, given, first) && isKept(regional, given, first))
      const since = poe.log.length
      assert.equal(await outcomeOf(bob, given), 'FMTP_ABSENT')
      assert.equal(await outcomeOf(bob, given, { secret: `${given.secret}x` }), 'FMTP_ABSENT')
      assert.ok((await fetchAll(bob, given, { secret: given.secret })).equals(given.bytes))
      assert.ok((await fetchAll(lost, given)).equals(given.bytes))
      assert.equal(piecesOf(poe, given, 'below', since), 0)
      // To a sibling, and to the top.
      for (const server of [two, poe])
        assert.ok(
          (await fetchAll(await clientOf(server, 'usher'), given, { secret: given.secret })).equals(
            given.bytes,
          ),
        )
      assert.equal(piecesOf(poe, given, 'below', since), 0)
    })

    it('come to everybody where the object is public, also to guests', async () => {
      const given = await publish(one, 'alice', { public: true })
      const answers = [await asked(undefined, poe, told(given)), await asked(raven, poe, told(given))]
      for (const answer of answers) assert.equal(answer.bytes, given.bytes.toString('base64'))
      assert.equal(piecesOf(poe, given, 'below'), 1)
    })

    it('are not had without a proof, which looks as if there were none', async () => {
      const given = await publish(one, 'alice', { to: ['lost@lenore.org'] })
      const nothing = { ...given, id: mintId(`alice@${first}` as Name, Date.now()), sha256: sha256Text('no') }
      const viewers: readonly (readonly string[])[] = [
        [],
        ['lost@lenore.org'],
        [`alice@${first}`],
        [`alice@${region}`],
        ['usher@raven.example'],
      ]
      const lookLike = async (): Promise<void> => {
        for (const each of viewers) {
          const members = each.length === 0 ? {} : { for: each }
          const [is, isNot] = [
            await asked(raven, poe, told(given, members)),
            await asked(raven, poe, told(nothing, members)),
          ]
          assert.deepEqual(is, isNot)
          assert.equal(is.outcome, 'absent', `${each}`)
        }
        // The secret proves it, but not for a guest.
        assert.equal(
          codeOf(await asked(undefined, poe, told(given, { secret: given.secret }))),
          'FMTP_ABSENT',
        )
      }
      await lookLike()
      assert.deepEqual(await outcomeOf(await clientOf(lenore, 'lost'), given), given.bytes)
      await lookLike()
      const own = await asked(raven, poe, told(given, { secret: given.secret }))
      assert.equal(own.bytes, given.bytes.toString('base64'))
    })

    it('are asked for others by a configured parent, and by nobody else', async () => {
      const given = await publish(one, 'alice', { to: ['lost@lenore.org', `carol@${first}`] })
      const members = (viewer: string) => told(given, { for: [viewer] })
      assert.equal(codeOf(await asked(regional, one, members('lost@lenore.org'))), 'found')
      assert.equal(codeOf(await asked(regional, one, members('bob@lenore.org'))), 'FMTP_ABSENT')
      // Of its own users a home knows itself.
      assert.equal(codeOf(await asked(regional, one, members(`carol@${first}`))), 'FMTP_ABSENT')
      // Who stands above the parent is not its parent, and neither is anybody else.
      for (const server of [poe, raven])
        assert.equal(codeOf(await asked(server, one, members('lost@lenore.org'))), 'FMTP_ABSENT')
      const above = await publish(regional, 'ligeia', { to: [`alice@${first}`] })
      const asChild = told(above, { for: [`alice@${first}`] })
      assert.equal(codeOf(await asked(one, regional, asChild)), 'found')
      assert.equal(codeOf(await asked(raven, regional, asChild)), 'FMTP_ABSENT')
    })
  })

  describe('are not for strangers', () => {
    it('who ask a parent for what is neither its own nor of a child', async () => {
      const given = await publish(lenore, 'lost', { to: [`alice@${first}`] })
      const open = await publish(lenore, 'lost', { public: true })
      const inCache = async (): Promise<void> => {
        for (const who of [undefined, raven, lenore])
          for (const effort of ['own', 'cache', 'lookup']) {
            const secret = { secret: given.secret }
            for (const members of [told(given, { effort, ...secret }), told(open, { effort })])
              assert.equal(
                codeOf(await asked(who, poe, members)),
                'FMTP_NOT_HERE',
                `${who?.domain} ${effort}`,
              )
          }
      }
      await inCache()
      const alice = await clientOf(one, 'alice')
      for (const each of [given, open]) assert.deepEqual(await outcomeOf(alice, each), each.bytes)
      assert.ok(isKept(poe, given, 'lenore.org') && isKept(poe, open, 'lenore.org'))
      await inCache()
    })

    it('nor for children on behalf of others than they stand for', async () => {
      const given = await publish(lenore, 'lost', { to: [`alice@${first}`, 'usher@raven.example'] })
      const members = (viewer: string) => told(given, { for: [viewer], effort: 'lookup' })
      assert.equal(codeOf(await asked(regional, poe, members('usher@raven.example'))), 'FMTP_ABSENT')
      assert.equal(codeOf(await asked(regional, poe, members(`alice@${first}`))), 'found')
      assert.equal(codeOf(await asked(regional, poe, members('usher@raven.example'))), 'FMTP_ABSENT')
    })

    it('nor in a ring, nor from too far', async () => {
      const given = await publish(lenore, 'lost', { public: true })
      const hops = (...names: string[]) => told(given, { effort: 'lookup', hops: names })
      assert.equal(codeOf(await asked(regional, poe, hops(hq, region))), 'FMTP_LOOP')
      const far = Array.from({ length: limits.parentsDeep + 1 }, (_, at) => `d${at}.example`)
      assert.equal(codeOf(await asked(regional, poe, hops(...far))), 'FMTP_TOO_FAR')
      assert.equal(codeOf(await asked(regional, poe, hops('d0.example'))), 'found')
    })
  })
})
