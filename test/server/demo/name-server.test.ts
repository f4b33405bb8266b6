import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createResolver } from '../../../routing/dns/client.ts'
import type { Resolver } from '../../../routing/dns/resolver.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { serveZone, type Zone, type ZoneQuery } from '../../../server/demo/name-server.ts'
import { parseZone } from '../../../server/demo/zone-text.ts'
import { ownAddress } from '../../support/loopback.ts'
import { wireName } from '../../support/name-server.ts'

const failsWith =
  (code: string, part = '') =>
  (error: unknown) => {
    assert.ok(error instanceof FmtpError, String(error))
    assert.equal(error.code, code, error.message)
    assert.ok(error.message.includes(part), error.message)
    return true
  }

interface QueryParts {
  readonly flags?: number
  readonly type?: number
  readonly questions?: number
  readonly tail?: Buffer
}

function createQuery(
  name: string,
  { flags = 0x0100, type = 16, questions = 1, tail }: QueryParts = {},
): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0x4d2)
  head.writeUInt16BE(flags, 2)
  head.writeUInt16BE(questions, 4)
  return Buffer.concat([head, wireName(name), Buffer.from([0, type, 0, 1]), tail ?? Buffer.alloc(0)])
}

describe('zone', () => {
  let zone: Zone
  let queries: ZoneQuery[]
  let resolver: Resolver & AsyncDisposable

  beforeEach(async () => {
    queries = []
    zone = await serveZone({
      address: ownAddress(201),
      port: 0,
      records: parseZone('poe.net TXT nevermore\npoe.net A 192.0.2.1\nlarge.poe.net TXT small'),
      origins: ['poe.net', 'lenore.org'],
      onQuery: query => queries.push(query),
    })
    resolver = createResolver({ servers: [zone.server], timeoutMs: 300 })
  })
  afterEach(async () => {
    await resolver[Symbol.asyncDispose]()
    await zone[Symbol.asyncDispose]()
  })

  /** The first answer to a datagram; `undefined` after a while of silence. */
  const ask = async (message: Buffer): Promise<Buffer | undefined> => {
    const socket = createSocket('udp4')
    try {
      socket.send(message, zone.port, zone.address)
      const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(30) })
      return answer
    } catch {
      return undefined
    } finally {
      socket.close()
    }
  }

  it('answers by UDP and TCP on one port', async () => {
    assert.deepEqual((await resolver.txt('poe.net')).records, ['nevermore'])
    zone.fail('poe.net', 'TXT', 'truncate')
    assert.deepEqual((await resolver.txt('poe.net', { fresh: true })).records, ['nevermore'])
    assert.deepEqual(queries, [
      { name: 'poe.net', type: 'TXT', from: 'udp' },
      { name: 'poe.net', type: 'TXT', from: 'udp' },
      { name: 'poe.net', type: 'TXT', from: 'tcp' },
    ])
  })

  it('changes its records while it runs', async () => {
    zone.set('Lenore.org', 'MX', ['10 mx.lenore.org', '20 MX.poe.net.'], 60)
    assert.deepEqual((await resolver.mx('lenore.org')).records, [
      { host: 'mx.lenore.org', preference: 10 },
      { host: 'mx.poe.net', preference: 20 },
    ])
    zone.set('lenore.org', 'MX', [])
    assert.equal((await resolver.mx('lenore.org', { fresh: true })).exists, false)
    assert.throws(() => zone.set('poe.net', 'A', ['192.0.2.300']), failsWith('FMTP_CONFIG', '192.0.2.300'))
    assert.deepEqual((await resolver.addresses('poe.net')).records, ['192.0.2.1'])
  })

  it('writes addresses of all spellings', async () => {
    const values = ['2001:db8::1', '::ffff:192.0.2.1', '::', '1::', '::1', '1:2:3:4:5:6:7:8', '1:0:0:2::3']
    zone.set('six.poe.net', 'AAAA', values)
    assert.deepEqual((await resolver.addresses('six.poe.net')).records, [
      '2001:db8::1',
      '::ffff:c000:201',
      '::',
      '1::',
      '::1',
      '1:2:3:4:5:6:7:8',
      '1:0:0:2::3',
    ])
  })

  it('refuses what is not its own', async () => {
    await assert.rejects(resolver.txt('raven.org'), failsWith('FMTP_DNS_FAILED', 'REFUSED'))
    await assert.rejects(resolver.txt('notpoe.net'), failsWith('FMTP_DNS_FAILED', 'REFUSED'))
    assert.equal((await resolver.txt('raven.lenore.org')).exists, false)
  })

  it('sets TC over 512 octets without EDNS0 and keeps to the size that EDNS0 names', async () => {
    zone.set('large.poe.net', 'TXT', ['x'.repeat(700)])
    const plain = await ask(createQuery('large.poe.net'))
    assert.equal((plain?.readUInt8(2) ?? 0) & 0x02, 0x02)
    assert.equal(plain?.readUInt16BE(6), 0)
    await resolver.txt('large.poe.net')
    assert.equal(queries.at(-1)?.from, 'udp')
  })

  it('answers neither answers, nor several questions, nor none, nor oversize', async () => {
    const good = createQuery('poe.net')
    assert.ok(await ask(good))
    const dropped: Readonly<Record<string, Buffer>> = {
      'an answer': createQuery('poe.net', { flags: 0x8100 }),
      'no question': createQuery('poe.net', { questions: 0 }),
      'two questions': createQuery('poe.net', { questions: 2, tail: createQuery('poe.net').subarray(12) }),
      'a bare header': good.subarray(0, 12),
      'a cut question': good.subarray(0, -1),
      oversize: Buffer.concat([good, Buffer.alloc(1300)]),
      nothing: Buffer.alloc(0),
    }
    const answers = await Promise.all(Object.values(dropped).map(ask))
    assert.deepEqual(
      Object.keys(dropped).filter((_, index) => answers[index] !== undefined),
      [],
    )
    assert.ok(await ask(good))
  })

  it('says NOTIMP to other opcodes and to ANY', async () => {
    for (const query of [createQuery('poe.net', { flags: 0x2800 }), createQuery('poe.net', { type: 255 })]) {
      assert.equal(((await ask(query))?.readUInt8(3) ?? 0) & 0x0f, 4)
    }
  })

  it('survives garbage by UDP and TCP', async () => {
    const socket = createSocket('udp4')
    const good = createQuery('poe.net')
    for (let index = 0; index < 300; index++) {
      const garbage = index % 2 === 0 ? randomBytes(index) : Buffer.from(good)
      if (index % 2 === 1) garbage.writeUInt8(index % 256, index % garbage.length)
      await new Promise(done => socket.send(garbage, zone.port, zone.address, done))
    }
    socket.close()
    for (const garbage of [
      randomBytes(400),
      Buffer.from([0xff, 0xff, 1]),
      Buffer.from([0, 0, 0, 0]),
      Buffer.from([0]),
    ]) {
      const stream = connect(zone.port, zone.address)
      stream.on('error', () => undefined)
      await once(stream, 'connect')
      stream.end(garbage)
      stream.resume()
      await Promise.race([once(stream, 'close'), new Promise(done => setTimeout(done, 10))])
      stream.destroy()
    }
    assert.deepEqual((await resolver.txt('poe.net')).records, ['nevermore'])
  })

  it('is not blocked by a long chain of pointers', async () => {
    const chain = Buffer.alloc(1180)
    for (let at = 0; at < chain.length; at += 2) chain.writeUInt16BE(0xc000 | (12 + Math.max(0, at - 2)), at)
    const head = createQuery('poe.net').subarray(0, 12)
    const startedAt = performance.now()
    await ask(Buffer.concat([head, chain, Buffer.from([0, 16, 0, 1])]))
    assert.ok(performance.now() - startedAt < 200)
    assert.equal(queries.length, 0)
  })

  it('survives a listener that throws', async () => {
    await using other = await serveZone({
      address: ownAddress(202),
      port: 0,
      records: parseZone('poe.net A 192.0.2.1'),
      onQuery: () => {
        throw new Error('not my day')
      },
    })
    await using one = createResolver({ servers: [other.server], timeoutMs: 30 })
    await assert.rejects(one.addresses('poe.net'), failsWith('FMTP_DNS_FAILED'))
    assert.equal(other.server, `${ownAddress(202)}:${other.port}`)
  })

  it('closes while an answer is late', async () => {
    zone.fail('poe.net', 'TXT', 'late')
    await ask(createQuery('poe.net'))
    await zone[Symbol.asyncDispose]()
    await zone[Symbol.asyncDispose]()
  })

  it('fails to start at a port that is taken', async () => {
    await assert.rejects(serveZone({ address: zone.address, port: zone.port, records: [] }), {
      code: 'EADDRINUSE',
    })
  })
})

describe('parseZone', () => {
  it('reads names, TTLs, types and values between comments', () => {
    assert.deepEqual(
      parseZone(`
        ; the domain of Edgar
        Poe.net. 60 IN A 192.0.2.1   # his house
        poe.net  MX  10 Mx.Poe.Net.
        _fmtp._tcp.poe.net srv 0 5 3687 fmtp.poe.net;the server
        fmtpkey.poe.net TXT "v=FMTP1; k=ed25519; p=" "a\\"b#c" ; the key
        poe.net TXT bare#word
        poe.net TXT ""
        www.poe.net CNAME poe.net
        poe.net MX 0 .
      `),
      [
        { name: 'poe.net', type: 'A', ttlSeconds: 60, value: '192.0.2.1' },
        { name: 'poe.net', type: 'MX', ttlSeconds: 300, value: '10 mx.poe.net' },
        { name: '_fmtp._tcp.poe.net', type: 'SRV', ttlSeconds: 300, value: '0 5 3687 fmtp.poe.net' },
        { name: 'fmtpkey.poe.net', type: 'TXT', ttlSeconds: 300, value: 'v=FMTP1; k=ed25519; p=a"b#c' },
        { name: 'poe.net', type: 'TXT', ttlSeconds: 300, value: 'bare#word' },
        { name: 'poe.net', type: 'TXT', ttlSeconds: 300, value: '' },
        { name: 'www.poe.net', type: 'CNAME', ttlSeconds: 300, value: 'poe.net' },
        { name: 'poe.net', type: 'MX', ttlSeconds: 300, value: '0 .' },
      ],
    )
  })

  for (const line of [
    'poe.net',
    'poe.net A',
    'poe.net A 192.0.2.256',
    'poe.net AAAA 192.0.2.1',
    'poe.net AAAA fe80::1%eth0',
    'poe.net MX mx.poe.net',
    'poe.net MX 65536 mx.poe.net',
    'poe.net MX 10 mx.poe.net again',
    'poe.net SRV 0 0 mx.poe.net',
    'poe.net NS ns.poe.net',
    'pöe.net A 192.0.2.1',
    'poe.net MX 10 mx..net',
    'poe.net TXT "open',
    'poe.net TXT a"b',
    'poe.net 4294967296 A 192.0.2.1',
  ]) {
    it(`refuses ${JSON.stringify(line)} with its line`, () => {
      assert.throws(() => parseZone(`; first\n${line}\n`), failsWith('FMTP_CONFIG', 'zone line 2'))
    })
  }
})
