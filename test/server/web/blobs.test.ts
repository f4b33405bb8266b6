/** Blobs (protocol §9.8) by real HTTP: kept by their hash, counted, given to who may have them, and gone with the last object. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Connection } from '../../../client/connection.ts'
import { listOf } from '../../../objects/store/layout.ts'
import { proveHttp } from '../../../wire/http-proof.ts'
import { waitUntil } from '../../support/conditions.ts'
import { type HandDomain, handMessage, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

const nameOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url')
const dayMs = 86_400_000

describe('blobs', () => {
  let network: Network
  let server: TestServer
  let poe: HandDomain
  let lost: Person
  let alice: Person
  let client: Connection

  beforeEach(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org', { limits: { blobBytes: 200_000, userBlobBytes: 500_000 } })
    poe = network.hand('poe.net')
    lost = await enrol(server, 'lost@lenore.org')
    alice = await enrol(server, 'alice@lenore.org')
    client = await connectAs(server, lost)
  })

  afterEach(async () => {
    client.close()
    await network[Symbol.asyncDispose]()
  })

  const proof = (person: Person, method: string, path: string, atMs = network.clock.now()): string =>
    proveHttp({ as: person.address as never, method, path, atMs }, person.signer)

  /** Status and code of an upload. */
  async function put(person: Person, bytes: Uint8Array, name = nameOf(bytes)) {
    const path = `/blobs/${name}`
    const headers = { Authorization: proof(person, 'PUT', path) }
    const response = await fetch(server.origin + path, {
      method: 'PUT',
      headers,
      body: new Uint8Array(bytes),
    })
    return [response.status, ((await response.json()) as { code?: string }).code]
  }

  const get = (
    name: string,
    { query = '', as, ...headers }: { query?: string; as?: Person; Range?: string } = {},
  ) =>
    fetch(`${server.origin}/blobs/${name}${query}`, {
      headers: {
        ...headers,
        ...(as === undefined ? {} : { Authorization: proof(as, 'GET', `/blobs/${name}`) }),
      },
    })

  async function statusOf(...args: Parameters<typeof get>): Promise<number> {
    const response = await get(...args)
    await response.arrayBuffer()
    return response.status
  }

  async function codeOf(...args: Parameters<typeof get>): Promise<string | undefined> {
    return ((await (await get(...args)).json()) as { code?: string }).code
  }

  const attachment = (bytes: Uint8Array, more: object = {}) => ({
    name: 'raven.png',
    format: 'image/png',
    bytes: bytes.length,
    sha256: nameOf(bytes),
    ...more,
  })

  async function publish(id: string, members: object, from = client): Promise<string> {
    const message = { kind: 'message', format: 'text/plain', body: 'See', to: ['alice@lenore.org'] }
    const { outcome, code } = await from.describe({ object: { ...message, id, ...members } })
    return String(code ?? outcome)
  }

  const fileOf = (name: string): string =>
    join(server.folder, 'data', 'blobs', name.slice(0, 2), name.slice(2))
  const bytesOf = ({ address }: Person): number =>
    server.running.store.database.head(listOf.blobs(address)).bytes

  it('are kept by their SHA-256, and given to everyone for the sake of a public object', async () => {
    const bytes = randomBytes(100_000)
    const name = nameOf(bytes)
    assert.deepEqual(await put(lost, bytes), [201, undefined])
    assert.deepEqual(await put(lost, bytes), [200, undefined])
    assert.deepEqual(readFileSync(fileOf(name)), bytes)
    assert.equal(await statusOf(name), 404, 'no object names it yet')
    assert.equal(
      await publish('1.lost@lenore.org', { public: true, attachments: [attachment(bytes)] }),
      'stored',
    )
    const response = await get(name)
    assert.equal(response.status, 200)
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes)
    const wanted = {
      'content-type': 'image/png',
      'content-disposition': "inline; filename*=UTF-8''raven.png",
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'cache-control': 'public, max-age=31536000, immutable',
      etag: `"${name}"`,
    }
    for (const [header, value] of Object.entries(wanted)) assert.equal(response.headers.get(header), value)
    assert.deepEqual(readdirSync(join(server.folder, 'data', 'blobs', 'drafts')), [])
  })

  it('that a browser would run are a download', async () => {
    for (const [at, format] of ['text/html', 'image/svg+xml', 'application/pdf'].entries()) {
      const bytes = Buffer.from(`<script>alert(${at})</script>`)
      await put(lost, bytes)
      const named = attachment(bytes, { format, name: '"; filename=x.html\r\n.html' })
      assert.equal(await publish(`${at}.lost@lenore.org`, { public: true, attachments: [named] }), 'stored')
      const { headers } = await get(nameOf(bytes))
      assert.equal(headers.get('content-type'), 'application/octet-stream')
      assert.match(
        headers.get('content-disposition') ?? '',
        /^attachment; filename\*=UTF-8''[A-Za-z0-9.%-]+$/,
      )
    }
  })

  it('come in ranges', async () => {
    const bytes = randomBytes(1000)
    await put(lost, bytes)
    await publish('1.lost@lenore.org', { public: true, attachments: [attachment(bytes)] })
    for (const [Range, start, end] of [
      ['bytes=0-99', 0, 99],
      ['bytes=900-', 900, 999],
      ['bytes=-10', 990, 999],
      ['bytes=990-5000', 990, 999],
    ] as const) {
      const response = await get(nameOf(bytes), { Range })
      assert.equal(response.status, 206)
      assert.equal(response.headers.get('content-range'), `bytes ${start}-${end}/1000`)
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes.subarray(start, end + 1))
    }
    for (const Range of ['bytes=1000-', 'bytes=5-2'])
      assert.equal(await statusOf(nameOf(bytes), { Range }), 416)
    for (const Range of ['lines=1-2', 'bytes=a-b'])
      assert.equal(await statusOf(nameOf(bytes), { Range }), 200)
    const empty = Buffer.alloc(0)
    await put(lost, empty)
    await publish('2.lost@lenore.org', { public: true, attachments: [attachment(empty)] })
    assert.equal(await statusOf(nameOf(empty)), 200)
  })

  it('of a private object are for who has the secret, or may see it and proves who they are', async () => {
    const bytes = randomBytes(1000)
    const name = nameOf(bytes)
    const secret = randomBytes(16).toString('base64url')
    await put(lost, bytes)
    assert.equal(
      await publish('1.lost@lenore.org', { attachments: [attachment(bytes, { secret })] }),
      'stored',
    )
    const bob = await enrol(server, 'bob@lenore.org')
    const asked = [
      {},
      { query: '?s=' },
      { query: `?s=${secret}x` },
      { as: bob },
      { query: `?s=${secret}` },
      { as: alice },
      { as: lost },
    ]
    const statuses = []
    for (const each of asked) statuses.push(await statusOf(name, each))
    assert.deepEqual(statuses, [404, 404, 404, 404, 200, 200, 200])
    assert.match((await get(name, { query: `?s=${secret}` })).headers.get('cache-control') ?? '', /^private/)
  })

  it('that others put here are not had by naming them', async () => {
    const bytes = randomBytes(1000)
    const name = nameOf(bytes)
    await put(lost, bytes)
    const secret = randomBytes(16).toString('base64url')
    await publish('1.lost@lenore.org', { to: ['bob@poe.net'], attachments: [attachment(bytes, { secret })] })
    const other = await connectAs(server, alice)
    const claim = (more: object) =>
      publish(
        '1.alice@lenore.org',
        { to: ['bob@poe.net'], public: true, attachments: [attachment(bytes, more)] },
        other,
      )
    assert.equal(await claim({}), 'FMTP_NO_BLOB')
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: poe.name, signer: poe.signer })
    const object = handMessage(handUser(poe, 'edgar@poe.net'), [alice.address], {
      public: true,
      attachments: [attachment(bytes)],
    })
    assert.equal((await end.ask({ verb: 'describe', n: 1, object, for: [alice.address] })).outcome, 'stored')
    // Its home says nothing more: it would be waited for.
    end.close()
    // Whoever has the message may have the blob from there, which names no host.
    assert.deepEqual([await codeOf(name), await codeOf(name, { as: alice })], ['FMTP_ABSENT', 'FMTP_NO_HOST'])
    // Who was told the secret may pass it on.
    assert.equal(await claim({ secret }), 'stored')
    assert.equal(await statusOf(name), 200)
    other.close()
  })

  it('an object that names what is not here is refused', async () => {
    assert.equal(
      await publish('1.lost@lenore.org', { attachments: [attachment(randomBytes(10))] }),
      'FMTP_NO_BLOB',
    )
    assert.equal((await client.request({ id: '1.lost@lenore.org' })).answer.outcome, 'absent')
  })

  it('go with the last object that names them, and so does what they took of the room', async () => {
    const bytes = randomBytes(1000)
    const name = nameOf(bytes)
    await put(lost, bytes)
    for (const id of ['1.lost@lenore.org', '2.lost@lenore.org'])
      await publish(id, { public: true, attachments: [attachment(bytes)] })
    assert.equal(bytesOf(lost), 1000)
    await client.describe({ object: { id: '1.lost@lenore.org', kind: 'message', deleted: true } })
    await server.running.upkeep.once()
    assert.equal(await statusOf(name), 200)
    await publish('2.lost@lenore.org', { public: true, body: 'Gone' })
    assert.equal(await statusOf(name), 404)
    assert.equal((await server.running.upkeep.once()).blobs, 1)
    assert.ok(!existsSync(fileOf(name)))
    assert.equal(bytesOf(lost), 0)
    const rows = await server.running.store.database.scan({ gt: '', lt: '~' }, { limit: 10_000 })
    assert.deepEqual(
      rows.filter(([key]) => key.includes(name)),
      [],
    )
  })

  it('that no object names in a day go; one that is named meanwhile stays', async () => {
    const [idle, named] = [randomBytes(1000), randomBytes(1000)]
    for (const bytes of [idle, named]) await put(lost, bytes)
    await server.running.upkeep.once()
    assert.ok(existsSync(fileOf(nameOf(idle))))
    await publish('1.lost@lenore.org', { attachments: [attachment(named)] })
    network.clock.advance(dayMs + 1)
    await server.running.upkeep.once()
    assert.deepEqual([existsSync(fileOf(nameOf(idle))), existsSync(fileOf(nameOf(named)))], [false, true])
    assert.equal(bytesOf(lost), 1000)
  })

  it('stay whole while they are put, named and swept at once', async () => {
    for (let round = 0; round < 30; round++) {
      const bytes = randomBytes(500)
      await put(lost, bytes)
      network.clock.advance(dayMs + 1)
      const [named] = await Promise.all([
        publish(`${round}.lost@lenore.org`, { public: true, attachments: [attachment(bytes)] }),
        server.running.upkeep.once(),
        round % 2 === 0 ? put(alice, bytes) : undefined,
      ])
      assert.ok(named === 'stored' || named === 'FMTP_NO_BLOB', named)
      assert.equal(await statusOf(nameOf(bytes)), named === 'stored' ? 200 : 404)
    }
  })

  it('over a limit, or of another hash, leave nothing', async () => {
    assert.deepEqual(await put(lost, randomBytes(200_001)), [413, 'FMTP_BLOB_TOO_LARGE'])
    assert.deepEqual(await put(lost, randomBytes(10), nameOf(randomBytes(10))), [400, 'FMTP_BLOB_HASH'])
    for (const bytes of [randomBytes(200_000), randomBytes(200_000)]) await put(lost, bytes)
    assert.deepEqual(await put(lost, randomBytes(200_000)), [507, 'FMTP_NO_ROOM'])
    assert.equal(bytesOf(lost), 400_000)
    assert.deepEqual(await put(alice, randomBytes(200_000)), [201, undefined])
    // Without a length that could be looked at first.
    const bytes = randomBytes(300_000)
    const path = `/blobs/${nameOf(bytes)}`
    const { hostname, port } = new URL(server.origin)
    const status = await new Promise<number | undefined>(resolve => {
      const sending = request({
        hostname,
        port,
        path,
        method: 'PUT',
        headers: { Authorization: proof(bob(), 'PUT', path), 'Transfer-Encoding': 'chunked' },
      })
      sending.on('response', response => resolve(response.statusCode)).on('error', () => resolve(undefined))
      sending.end(bytes)
    })
    assert.ok(status === 413 || status === undefined, String(status))
    assert.deepEqual(readdirSync(join(server.folder, 'data', 'blobs', 'drafts')), [])
    assert.ok(!existsSync(fileOf(nameOf(bytes))))
  })
  const bob = (): Person => alice

  it('are put by one user four at a time', async () => {
    const { hostname, port } = new URL(server.origin)
    const sockets = Array.from({ length: 4 }, () => {
      const path = `/blobs/${nameOf(randomBytes(10))}`
      const socket = connect(Number(port), hostname)
      socket.write(
        `PUT ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${proof(lost, 'PUT', path)}\r\nContent-Length: 10\r\n\r\n12345`,
      )
      return socket
    })
    const drafts = join(server.folder, 'data', 'blobs', 'drafts')
    await waitUntil('they are being written', () => readdirSync(drafts).length === 4)
    assert.deepEqual(await put(lost, randomBytes(10)), [429, 'FMTP_RATE'])
    assert.deepEqual(await put(alice, randomBytes(10)), [201, undefined])
    for (const socket of sockets) socket.destroy()
    await waitUntil('they are gone', () => readdirSync(drafts).length === 0)
    assert.deepEqual(await put(lost, randomBytes(10)), [201, undefined])
  })

  it('that break off leave nothing', async () => {
    const bytes = randomBytes(100_000)
    const path = `/blobs/${nameOf(bytes)}`
    const { hostname, port } = new URL(server.origin)
    const socket = connect(Number(port), hostname)
    socket.write(
      `PUT ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${proof(lost, 'PUT', path)}\r\nContent-Length: 100000\r\n\r\n`,
    )
    socket.write(bytes.subarray(0, 50_000))
    const drafts = join(server.folder, 'data', 'blobs', 'drafts')
    await waitUntil('it is being written', () => readdirSync(drafts).length === 1)
    socket.destroy()
    await waitUntil('it is gone', () => readdirSync(drafts).length === 0)
    assert.ok(!existsSync(fileOf(nameOf(bytes))))
    assert.equal(bytesOf(lost), 0)
  })

  it('are put by who proves to be a user of ours, for this very request, now', async () => {
    const bytes = randomBytes(10)
    const path = `/blobs/${nameOf(bytes)}`
    const nowMs = network.clock.now()
    const stranger = { ...lost, ...handUser(poe, 'edgar@poe.net') } as unknown as Person
    const headers = [
      '',
      'Bearer abc',
      'FMTP a.b.c',
      proof(lost, 'GET', path),
      proof(lost, 'PUT', `${path}x`),
      proof(lost, 'PUT', path, nowMs - 301_000),
      proof(lost, 'PUT', path, nowMs + 302_000),
      proof({ ...lost, address: alice.address }, 'PUT', path),
      proof(stranger, 'PUT', path),
      proof(lost, 'PUT', path).replace(/.(?=.{20}$)/, char => (char === 'A' ? 'B' : 'A')),
    ]
    for (const Authorization of headers) {
      const response = await fetch(server.origin + path, {
        method: 'PUT',
        headers: Authorization === '' ? {} : { Authorization },
        body: new Uint8Array(bytes),
      })
      assert.equal(response.status, 401, String(headers.indexOf(Authorization)))
      assert.equal(((await response.json()) as { code: string }).code, 'FMTP_UNAUTHORIZED')
    }
    for (const bad of ['/blobs/x', `/blobs/${'a'.repeat(44)}`, '/blobs/..%2f..%2fstore'])
      assert.equal((await fetch(server.origin + bad)).status, 400, bad)
  })

  it('whose bytes are not those of their name are never given out', async () => {
    const bytes = randomBytes(1000)
    const name = nameOf(bytes)
    await put(lost, bytes)
    await publish('1.lost@lenore.org', { public: true, attachments: [attachment(bytes)] })
    assert.equal(await statusOf(name), 200)
    const damaged = Buffer.from(bytes)
    damaged[500] = (damaged[500] ?? 0) ^ 1
    writeFileSync(fileOf(name), damaged)
    assert.equal(await statusOf(name), 404)
    assert.ok(existsSync(join(server.folder, 'data', 'blobs', 'damaged', name)))
    assert.ok(server.log.some(({ event, level }) => event === 'blob.damaged' && level === 'error'))
    // Whoever has them may bring them again.
    assert.deepEqual(await put(lost, bytes), [200, undefined])
    assert.equal(await statusOf(name), 200)
  })

  it('half written ones of a killed server go at the start', async () => {
    const drafts = join(server.folder, 'data', 'blobs', 'drafts')
    await network.stop('lenore.org')
    mkdirSync(drafts, { recursive: true })
    writeFileSync(join(drafts, 'half'), 'x')
    server = await network.serve('lenore.org')
    assert.deepEqual(readdirSync(drafts), [])
    client = await connectAs(server, lost)
  })
})
