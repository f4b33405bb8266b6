/** The web side (protocol §9.7) by real HTTP, and what the WebSocket's path says to those who do not speak it (§4.2). */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import type { FmtpObject } from '../../../schemas/object.ts'
import { handProfile, handUser } from '../../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'
import { rawTls } from '../../support/raw.ts'

describe('the web side', () => {
  let network: Network
  let server: TestServer

  before(async () => {
    network = await Network.start()
    server = await network.serve('lenore.org')
    const lost = await enrol(server, 'lost@lenore.org')
    const hidden = await enrol(server, 'hidden@lenore.org')
    const message = { kind: 'message', format: 'text/plain', body: 'Nevermore', to: ['hidden@lenore.org'] }
    await publish(lost, { ...message, id: 'open.lost@lenore.org', public: true })
    await publish(lost, { ...message, id: 'private.lost@lenore.org' })
    await publish(lost, {
      kind: 'user',
      id: 'user.lost@lenore.org',
      public: true,
      blacklist: ['*@secret.example'],
    })
    await publish(hidden, { kind: 'user', id: 'user.hidden@lenore.org', public: false })
  })

  after(() => network[Symbol.asyncDispose]())

  async function publish(person: Person, object: object): Promise<void> {
    const client = await connectAs(server, person)
    assert.equal((await client.describe({ object })).outcome, 'stored')
    client.close()
  }

  const get = (path: string, init: RequestInit = {}) => fetch(server.origin + path, init)
  async function failureOf(path: string, init?: RequestInit) {
    const response = await get(path, init)
    const { code, ...rest } = (await response.json()) as { code: string; text: string }
    assert.deepEqual(Object.keys(rest), ['text'])
    assert.match(response.headers.get('Content-Type') ?? '', /^application\/json/)
    return [response.status, code]
  }

  it('gives a public object as JSON to whatever page asks', async () => {
    const response = await get('/objects/open.lost@lenore.org')
    assert.equal(response.status, 200)
    assert.match(response.headers.get('Content-Type') ?? '', /^application\/json/)
    assert.equal(response.headers.get('Cache-Control'), 'no-cache')
    assert.equal(response.headers.get('Access-Control-Allow-Origin'), '*')
    assert.equal(response.headers.get('X-Content-Type-Options'), 'nosniff')
    assert.equal(((await response.json()) as { body: string }).body, 'Nevermore')
  })

  it('gives everyone’s view of a user, however the address is written', async () => {
    for (const address of ['lost@lenore.org', 'lost%40lenore.org', '@lost@lenore.org', 'LOST%23lenore.org']) {
      const user = (await (await get(`/users/${address}`)).json()) as Record<string, unknown>
      assert.equal(user.view, 'everyone')
      assert.ok(!('blacklist' in user) && !('policy' in user))
    }
    const byId = (await (await get('/objects/user.lost@lenore.org')).json()) as Record<string, unknown>
    assert.equal(byId.view, 'everyone')
  })

  /** Without what fetch adds: that asks every cache on the way to be passed by. */
  async function getIfChanged(path: string, etag: string): Promise<readonly [status: number, etag: string]> {
    const { hostname, port } = new URL(server.origin)
    const asking = request({ hostname, port, path, headers: { 'If-None-Match': etag } })
    asking.end()
    const [response] = (await once(asking, 'response')) as [IncomingMessage]
    response.resume()
    return [response.statusCode ?? 0, response.headers.etag ?? '']
  }

  it('answers 304 to who has it, and gives it anew after an edit', async () => {
    const path = '/objects/edited.lost@lenore.org'
    const message = { kind: 'message', format: 'text/plain', to: ['hidden@lenore.org'], public: true }
    const lost = await enrol(server, 'lost@lenore.org')
    await publish(lost, { ...message, id: 'edited.lost@lenore.org', body: 'Nevermore' })
    const etag = (await get(path)).headers.get('ETag') ?? ''
    assert.match(etag, /^"[\w-]{22}"$/)
    assert.deepEqual(await getIfChanged(path, etag), [304, etag])
    assert.deepEqual(await getIfChanged(path, '"other"'), [200, etag])
    await publish(lost, { ...message, id: 'edited.lost@lenore.org', body: 'Evermore' })
    const [status, next] = await getIfChanged(path, etag)
    assert.equal(status, 200)
    assert.notEqual(next, etag)
  })

  it('answers HEAD as GET without a body', async () => {
    for (const [path, status] of [
      ['/objects/open.lost@lenore.org', 200],
      ['/users/nobody@lenore.org', 404],
      ['/healthz', 200],
    ] as const) {
      const [head, whole] = [await get(path, { method: 'HEAD' }), await get(path)]
      assert.deepEqual([head.status, await head.text()], [status, ''])
      for (const name of ['ETag', 'Content-Type', 'Content-Length'])
        assert.equal(head.headers.get(name), whole.headers.get(name), `${path} ${name}`)
    }
  })

  it('shows what may not be seen as it shows what is not there', async () => {
    const looks = []
    for (const path of [
      '/users/nobody@lenore.org',
      '/users/hidden@lenore.org',
      '/objects/user.hidden@lenore.org',
      '/objects/private.lost@lenore.org',
      '/objects/nothing.lost@lenore.org',
    ]) {
      const response = await get(path)
      const headers = [...response.headers].filter(([name]) => name !== 'date')
      looks.push(JSON.stringify([response.status, headers, await response.text()]))
    }
    assert.equal(new Set(looks).size, 1, looks.join('\n'))
    assert.deepEqual(await failureOf('/users/hidden@lenore.org'), [404, 'FMTP_ABSENT'])
  })

  it('says FMTP_NOT_HERE of others’ objects, unless one is here and public', async () => {
    assert.deepEqual(await failureOf('/users/edgar@poe.net'), [404, 'FMTP_NOT_HERE'])
    assert.deepEqual(await failureOf('/objects/1.edgar@poe.net'), [404, 'FMTP_NOT_HERE'])
    const poe = network.hand('poe.net')
    const profile = handProfile(handUser(poe, 'edgar@poe.net'))
    const end = await rawTls(server.address, server.port, 'lenore.org')
    await end.hello('lenore.org', { as: 'poe.net', ...poe })
    await end.ask({ verb: 'describe', n: 1, object: profile, for: ['lost@lenore.org'] })
    end.close()
    const here = (await (await get('/users/edgar@poe.net')).json()) as FmtpObject
    assert.equal(here.hash, profile.hash)
  })

  const unreadable = [
    '/objects/1',
    '/objects/nobody@lenore.org',
    '/objects/1.@lost@lenore.org',
    '/users/lost',
    '/users/a..b@lenore.org',
    `/users/${'x'.repeat(2000)}@lenore.org`,
    '/users/%',
    '/users/%E0%A4%A@lenore.org',
    '/objects/%ff',
  ]
  for (const path of unreadable) {
    it(`says FMTP_BAD_NAME to ${path.slice(0, 40)}`, async () => {
      assert.deepEqual(await failureOf(path), [400, 'FMTP_BAD_NAME'])
    })
  }

  for (const path of [
    '/',
    '/object/1',
    '/objects',
    '/objects/',
    '/Users/lost@lenore.org',
    '/users/a@b.c/',
    '/fmtp',
    '/%',
  ]) {
    it(`says FMTP_NOT_FOUND to ${path}`, async () => {
      assert.deepEqual(await failureOf(path), [404, 'FMTP_NOT_FOUND'])
    })
  }

  it('names the methods of a path to who uses another', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const path = '/users/lost@lenore.org'
      assert.deepEqual(await failureOf(path, { method }), [405, 'FMTP_NOT_OFFERED'])
      assert.match((await get(path, { method })).headers.get('Allow') ?? '', /HEAD, GET|GET, HEAD/)
    }
    const options = await get('/healthz', { method: 'OPTIONS' })
    assert.equal(options.status, 200)
  })

  it('is healthy', async () => {
    const response = await get('/healthz')
    assert.deepEqual([response.status, await response.text()], [200, 'ok\n'])
  })

  it('shows the log-in page without scripts, secrets or a place to send them', async () => {
    const response = await get('/login')
    const [text, policy] = [await response.text(), response.headers.get('Content-Security-Policy') ?? '']
    assert.match(response.headers.get('Content-Type') ?? '', /^text\/html/)
    assert.match(policy, /default-src 'none'/)
    assert.match(policy, /form-action 'none'/)
    assert.equal(response.headers.get('Referrer-Policy'), 'no-referrer')
    assert.equal(response.headers.get('Cache-Control'), 'no-store')
    assert.doesNotMatch(text, /<script|<form|<img|[A-Za-z0-9_-]{43}/)
  })

  /** The first line of the answer to an upgrade. */
  async function upgrade(path: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const { hostname, port } = new URL(server.origin)
    const socket = connect(Number(port), hostname)
    const fields = {
      Host: 'lenore.org',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
      ...headers,
    }
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    const [data] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return data.toString().split('\r\n')[0] ?? ''
  }

  it('takes a WebSocket at its path under its subprotocol only', async () => {
    const offer = { 'Sec-WebSocket-Protocol': 'chat, fmtp.1' }
    assert.match(await upgrade('/fmtp', offer), / 101 /)
    assert.match(await upgrade('/fmtp?x=1', offer), / 101 /)
    assert.match(await upgrade('/', offer), / 404 /)
    assert.match(await upgrade('/fmtp/', offer), / 404 /)
    assert.match(await upgrade('/fmtp', {}), / 400 /)
    assert.match(await upgrade('/fmtp', { 'Sec-WebSocket-Protocol': 'fmtp.2' }), / 400 /)
    assert.match(await upgrade('/fmtp', { ...offer, 'Sec-WebSocket-Version': '7' }), / 4\d\d /)
  })

  it('outlives requests that no client makes', async () => {
    for (const path of ['//', '/users/..%2f..%2fetc', '/objects/%00']) {
      const { hostname, port } = new URL(server.origin)
      const asking = request({ hostname, port, path })
      asking.end()
      const [response] = (await once(asking, 'response')) as [IncomingMessage]
      response.resume()
      assert.match(String(response.statusCode), /^4/, path)
    }
    assert.equal((await get('/healthz')).status, 200)
  })
})
