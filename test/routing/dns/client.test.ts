import assert from 'node:assert/strict'
import { getServers, setServers } from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import type { Clock } from '../../../objects/clock.ts'
import { createResolver, systemServers } from '../../../routing/dns/client.ts'
import type { Resolver } from '../../../routing/dns/resolver.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { serveZone, type Zone, type ZoneQuery, zoneAbsentSeconds } from '../../../server/demo/name-server.ts'
import { parseZone } from '../../../server/demo/zone-text.ts'
import { MovableClock } from '../../support/clock.ts'
import { ownAddress } from '../../support/loopback.ts'
import { questionOf, record, reply, serveBytes, text, wireName } from '../../support/name-server.ts'

const key = 'v=FMTP1; k=ed25519; s=a; p=MCowBQYDK2VwAyEA'
const zoneText = `
  fmtpkey.poe.net       600  TXT   "${key}"
  poe.net               MX    10 mx.poe.net
  _fmtp._tcp.poe.net    SRV   1 2 3687 fmtp.poe.net
  mx.poe.net       120  A     192.0.2.1
  mx.poe.net       60   AAAA  2001:db8::1
  www.poe.net      30   CNAME mx.poe.net
  lost.poe.net          CNAME nowhere.poe.net
`
const type = { a: 1, ns: 2, cname: 5, txt: 16 } as const

const failsWith = (code: string) => (error: unknown) => {
  assert.ok(error instanceof FmtpError, String(error))
  assert.equal(error.code, code, error.message)
  return true
}

describe('dns', () => {
  let zone: Zone
  let second: Zone
  let queries: ZoneQuery[]
  const open: AsyncDisposable[] = []

  const resolve = (servers: readonly string[], timeoutMs = 600, clock?: Clock): Resolver => {
    const resolver = createResolver({ servers, timeoutMs, attemptMs: 50, ...(clock && { clock }) })
    open.push(resolver)
    return resolver
  }

  beforeEach(async () => {
    queries = []
    const records = parseZone(zoneText)
    zone = await serveZone({
      address: ownAddress(201),
      port: 0,
      records,
      lateMs: 80,
      onQuery: query => queries.push(query),
    })
    second = await serveZone({ address: ownAddress(202), port: 0, records })
    open.push(zone, second)
  })
  afterEach(async () => {
    // Resolvers were opened last and close first.
    for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
  })

  it('gives the four kinds of records with TTL and server', async () => {
    const resolver = resolve([zone.server])
    const about = { exists: true, isSecure: false, server: zone.server }
    assert.deepEqual(await resolver.txt('fmtpkey.poe.net'), { records: [key], ttlMs: 600_000, ...about })
    assert.deepEqual(await resolver.mx('poe.net'), {
      records: [{ host: 'mx.poe.net', preference: 10 }],
      ttlMs: 300_000,
      ...about,
    })
    assert.deepEqual(await resolver.srv('_fmtp._tcp.poe.net'), {
      records: [{ host: 'fmtp.poe.net', port: 3687, priority: 1, weight: 2 }],
      ttlMs: 300_000,
      ...about,
    })
    assert.deepEqual(await resolver.addresses('MX.poe.net'), {
      records: ['192.0.2.1', '2001:db8::1'],
      ttlMs: 60_000,
      ...about,
    })
  })

  it('tells NXDOMAIN from NODATA, each for the time that the SOA says', async () => {
    const resolver = resolve([zone.server])
    const nxdomain = await resolver.txt('raven.poe.net')
    assert.deepEqual(
      [nxdomain.records, nxdomain.exists, nxdomain.ttlMs],
      [[], false, zoneAbsentSeconds * 1000],
    )
    const nodata = await resolver.txt('poe.net')
    assert.deepEqual([nodata.records, nodata.exists, nodata.ttlMs], [[], true, zoneAbsentSeconds * 1000])
    assert.equal((await resolver.mx('_tcp.poe.net')).exists, true, 'a name between others exists')
  })

  it('keeps absence without SOA for a minute', async () => {
    await using server = await serveBytes(ownAddress(203), query => [reply(query)])
    const answer = await resolve([server.server]).mx('poe.net')
    assert.deepEqual([answer.records, answer.exists, answer.ttlMs], [[], true, 60_000])
  })

  for (const fault of ['servfail', 'refused', 'silence'] as const) {
    it(`asks the second server after ${fault} of the first`, async () => {
      zone.fail('fmtpkey.poe.net', 'TXT', fault)
      const answer = await resolve([zone.server, second.server]).txt('fmtpkey.poe.net')
      assert.deepEqual([answer.records, answer.server], [[key], second.server])
      assert.equal(queries.length, 1)
    })

    it(`fails when all answer with ${fault}, and does not keep that`, async () => {
      zone.fail('fmtpkey.poe.net', 'TXT', fault)
      second.fail('fmtpkey.poe.net', 'TXT', fault)
      const resolver = resolve([zone.server, second.server], 120)
      await assert.rejects(resolver.txt('fmtpkey.poe.net'), failsWith('FMTP_DNS_FAILED'))
      if (fault !== 'silence') assert.equal(queries.length, 1, 'who said no is not asked again')
      second.fail('fmtpkey.poe.net', 'TXT', undefined)
      assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, [key])
    })
  }

  it('asks the second server when nobody listens at the first', async () => {
    const gone = await serveZone({ address: ownAddress(204), port: 0, records: [] })
    await gone[Symbol.asyncDispose]()
    assert.equal((await resolve([gone.server, second.server]).mx('poe.net')).server, second.server)
  })

  it('does not ask the second server while the first answers', async () => {
    let asked = 0
    await using other = await serveZone({
      address: ownAddress(204),
      port: 0,
      records: [],
      onQuery: () => asked++,
    })
    await resolve([zone.server, other.server]).mx('poe.net')
    assert.equal(asked, 0)
  })

  it('asks a silent server again while time is left', async () => {
    let seen = 0
    await using server = await serveBytes(ownAddress(203), query => (++seen < 2 ? [] : [reply(query)]))
    assert.equal((await resolve([server.server]).mx('poe.net')).exists, true)
    assert.equal(seen, 2)
  })

  it('asks a server that was silent last the next time', async () => {
    zone.fail('poe.net', 'MX', 'silence')
    const resolver = resolve([zone.server, second.server])
    await resolver.mx('poe.net')
    assert.equal((await resolver.txt('fmtpkey.poe.net')).server, second.server)
    assert.equal(queries.length, 1)
  })

  it('takes at most its time when all are silent', async () => {
    for (const one of [zone, second]) one.fail('poe.net', 'MX', 'silence')
    const startedAt = performance.now()
    await assert.rejects(
      resolve([zone.server, second.server], 120).mx('poe.net'),
      failsWith('FMTP_DNS_FAILED'),
    )
    assert.ok(performance.now() - startedAt >= 110)
    assert.ok(performance.now() - startedAt < 400)
  })

  it('ignores forged answers and takes the true one after them', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'spoof')
    zone.fail('mx.poe.net', 'A', 'spoof')
    const resolver = resolve([zone.server])
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, [key])
    assert.deepEqual((await resolver.addresses('mx.poe.net')).records, ['192.0.2.1', '2001:db8::1'])
    assert.equal(
      queries.filter(({ name }) => name === 'fmtpkey.poe.net').length,
      1,
      'it waited for the true one',
    )
  })

  const forgeries: Readonly<Record<string, (query: Buffer) => Buffer>> = {
    'another id': query => {
      const forged = reply(query, { answers: [record(type.txt, text('forged'))] })
      forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1)
      return forged
    },
    'another name': query => {
      const question = questionOf(query)
      question.writeUInt8(question.readUInt8(1) ^ 1, 1)
      return reply(query, { question, answers: [record(type.txt, text('forged'))] })
    },
    'a dot inside a label': query => {
      // As text the same name: `fmtpkey.poe` in one label.
      const question = questionOf(query)
      question.writeUInt8(11, 0)
      question.write('.', 8)
      return reply(query, { question, answers: [record(type.txt, text('forged'))] })
    },
    'another type': query => {
      const question = questionOf(query)
      question.writeUInt16BE(type.a, question.length - 4)
      return reply(query, { question, answers: [record(type.txt, text('forged'))] })
    },
    'another class': query => {
      const question = questionOf(query)
      question.writeUInt16BE(3, question.length - 2)
      return reply(query, { question, answers: [record(type.txt, text('forged'))] })
    },
    'no QR bit': query => reply(query, { flags: 0x0180, answers: [record(type.txt, text('forged'))] }),
    'another opcode': query => reply(query, { flags: 0x8980, answers: [record(type.txt, text('forged'))] }),
    'no question': query => {
      const forged = reply(query, { question: Buffer.alloc(0) })
      forged.writeUInt16BE(0, 4)
      return forged
    },
    'only a header': query => reply(query).subarray(0, 12),
    'three octets': query => query.subarray(0, 3),
    nothing: () => Buffer.alloc(0),
    'more than a datagram should have': query =>
      reply(query, { answers: Array(20).fill(record(type.txt, text('x'.repeat(250)))) }),
    'a record that does not decode': query =>
      reply(query, { answers: [record(type.txt, Buffer.from([200, 1])), record(type.txt, text('forged'))] }),
    'a record past the end': query =>
      reply(query, { answers: [record(type.txt, text('forged')).subarray(0, -3)] }),
    'a pointer to itself': query =>
      reply(query, {
        answers: [record(type.txt, text('forged'), 300, Buffer.from([0xc0, questionOf(query).length + 12]))],
      }),
  }
  for (const [what, forge] of Object.entries(forgeries)) {
    it(`ignores ${what} until the time is over`, async () => {
      await using server = await serveBytes(ownAddress(203), query => [forge(query)])
      const resolver = createResolver({ servers: [server.server], timeoutMs: 40, attemptMs: 40 })
      await assert.rejects(resolver.txt('fmtpkey.poe.net'), failsWith('FMTP_DNS_FAILED'))
      await resolver[Symbol.asyncDispose]()
      assert.equal(server.queries.length, 1)
    })
  }

  it('takes the question in any case', async () => {
    await using server = await serveBytes(ownAddress(203), query => {
      const question = questionOf(query)
      question.write('FmTpKeY', 1)
      return [reply(query, { question, answers: [record(type.txt, text('true'))] })]
    })
    assert.deepEqual((await resolve([server.server]).txt('fmtpkey.poe.net')).records, ['true'])
  })

  it('does not take a late answer for that of another query', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'late')
    zone.set('fmtpkey.poe.net', 'TXT', ['late'])
    const resolver = resolve([zone.server, second.server])
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, [key])
    const deadline = performance.now() + 60
    while (performance.now() < deadline) {
      assert.deepEqual((await resolver.txt('fmtpkey.poe.net', { fresh: true })).records, [key])
    }
  })

  it('has another id and another port for each query', async () => {
    await using server = await serveBytes(ownAddress(203), query => [reply(query)])
    const resolver = resolve([server.server])
    for (let index = 0; index < 12; index++) await resolver.mx(`h${index}.poe.net`)
    assert.ok(new Set(server.queries.map(query => query.readUInt16BE(0))).size > 10)
  })

  it('offers 1232 octets by EDNS0 and asks for recursion and AD', async () => {
    await using server = await serveBytes(ownAddress(203), query => [reply(query)])
    await resolve([server.server]).mx('poe.net')
    const query = server.queries[0] ?? Buffer.alloc(12)
    assert.equal(query.readUInt16BE(2), 0x0120)
    assert.deepEqual([...query.subarray(-11)], [0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, 0])
  })

  it('asks without EDNS0 a server that does not know it', async () => {
    await using server = await serveBytes(ownAddress(203), query => [
      reply(query, { flags: query.readUInt16BE(10) === 0 ? 0x8180 : 0x8181 }),
    ])
    assert.equal((await resolve([server.server]).mx('poe.net')).exists, true)
  })

  it('asks again by TCP when the answer is truncated', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'truncate')
    assert.deepEqual((await resolve([zone.server]).txt('fmtpkey.poe.net')).records, [key])
    assert.deepEqual(
      queries.map(({ from }) => from),
      ['udp', 'tcp'],
    )
  })

  it('takes sets larger than a datagram by TCP', async () => {
    const values = Array.from({ length: 12 }, (_, index) => `${index} ${'x'.repeat(200)}`)
    zone.set('large.poe.net', 'TXT', values)
    assert.deepEqual((await resolve([zone.server]).txt('large.poe.net')).records, values)
    assert.equal(queries.at(-1)?.from, 'tcp')
  })

  const truncated = (query: Buffer): Buffer => reply(query, { flags: 0x8380 })
  const badStreams: Readonly<Record<string, (query: Buffer) => Buffer[]>> = {
    'another id': query => {
      const forged = reply(query)
      forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1)
      return [forged]
    },
    'more than 16 KiB': query => [
      reply(query, { answers: Array(80).fill(record(type.txt, text('x'.repeat(250)))) }),
    ],
    silence: () => [],
    'a truncated answer': query => [truncated(query)],
  }
  for (const [what, answer] of Object.entries(badStreams)) {
    it(`fails over after ${what} by TCP`, async () => {
      await using server = await serveBytes(ownAddress(203), (query, from) =>
        from === 'udp' ? [truncated(query)] : answer(query),
      )
      const { server: by } = await resolve([server.server, second.server]).txt('fmtpkey.poe.net')
      assert.equal(by, second.server)
    })
  }

  it('joins the strings of a TXT record of more than 255 octets', async () => {
    const long = `${key}${'A'.repeat(700)}${'ä'.repeat(200)}`
    zone.set('fmtpkey.poe.net', 'TXT', [long, 'short', ''])
    assert.deepEqual((await resolve([zone.server]).txt('fmtpkey.poe.net')).records, [long, 'short', ''])
  })

  it('follows aliases, for the smallest TTL on the way', async () => {
    const resolver = resolve([zone.server])
    const answer = await resolver.addresses('www.poe.net')
    assert.deepEqual([answer.records, answer.ttlMs], [['192.0.2.1', '2001:db8::1'], 30_000])
    assert.deepEqual([(await resolver.txt('www.poe.net')).exists, queries.length], [true, 3])
    assert.equal((await resolver.txt('lost.poe.net')).exists, false)
  })

  it('asks for the target when the answer ends at an alias', async () => {
    await using server = await serveBytes(ownAddress(203), query => {
      const isAlias = questionOf(query).includes('www')
      const target = record(type.cname, wireName('mx.poe.net'), 20)
      return [reply(query, { answers: [isAlias ? target : record(type.txt, text('true'))] })]
    })
    const answer = await resolve([server.server]).txt('www.poe.net')
    assert.deepEqual([answer.records, answer.ttlMs, server.queries.length], [['true'], 20_000, 2])
  })

  it('fails on aliases in a circle, inside one answer and across several', async () => {
    zone.set('a.poe.net', 'CNAME', ['b.poe.net'])
    zone.set('b.poe.net', 'CNAME', ['a.poe.net'])
    await assert.rejects(resolve([zone.server]).txt('a.poe.net'), failsWith('FMTP_DNS_FAILED'))
    await using server = await serveBytes(ownAddress(203), query => {
      const target = questionOf(query).includes('bob') ? 'alice.poe.net' : 'bob.poe.net'
      return [reply(query, { answers: [record(type.cname, wireName(target))] })]
    })
    await assert.rejects(resolve([server.server]).txt('alice.poe.net'), failsWith('FMTP_DNS_FAILED'))
    assert.ok(server.queries.length <= 10)
  })

  it('does not take a referral or records of other names for absence', async () => {
    const referral = record(type.ns, wireName('ns.poe.net'))
    const stray = record(type.txt, text('stray'), 300, wireName('lenore.org'))
    await using lame = await serveBytes(ownAddress(203), query => [
      reply(query, { flags: 0x8100, authorities: [referral] }),
    ])
    await using odd = await serveBytes(ownAddress(204), query => [reply(query, { answers: [stray] })])
    await assert.rejects(resolve([lame.server]).txt('poe.net'), failsWith('FMTP_DNS_FAILED'))
    await assert.rejects(resolve([odd.server]).txt('poe.net'), failsWith('FMTP_DNS_FAILED'))
    assert.equal((await resolve([lame.server, second.server]).txt('poe.net')).server, second.server)
  })

  it('gives the addresses of one family when the other fails, but never absence', async () => {
    zone.fail('mx.poe.net', 'AAAA', 'servfail')
    zone.fail('poe.net', 'AAAA', 'servfail')
    const resolver = resolve([zone.server])
    assert.deepEqual((await resolver.addresses('mx.poe.net')).records, ['192.0.2.1'])
    await assert.rejects(resolver.addresses('poe.net'), failsWith('FMTP_DNS_FAILED'))
  })

  it('believes AD of a resolver on loopback', async () => {
    await using server = await serveBytes(ownAddress(203), query => [reply(query, { flags: 0x81a0 })])
    assert.equal((await resolve([server.server]).mx('poe.net')).isSecure, true)
  })

  it('keeps answers and absence for their TTL, tells what is left, and asks anew when told', async () => {
    const clock = new MovableClock({ isStill: true })
    const resolver = resolve([zone.server], 600, clock)
    await resolver.txt('fmtpkey.poe.net')
    await resolver.txt('raven.poe.net')
    clock.advance(20_000)
    assert.equal((await resolver.txt('fmtpkey.poe.net')).ttlMs, 580_000)
    assert.equal((await resolver.txt('raven.poe.net')).exists, false)
    assert.equal(queries.length, 2)

    zone.set('fmtpkey.poe.net', 'TXT', ['new'], 0)
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, [key])
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net', { fresh: true })).records, ['new'])
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, ['new'])
    assert.equal(queries.length, 3, 'a TTL of 0 is kept for a second')
    clock.advance(1000)
    await resolver.txt('fmtpkey.poe.net')
    assert.equal(queries.length, 4)
    clock.advance(zoneAbsentSeconds * 1000)
    await resolver.txt('raven.poe.net')
    assert.equal(queries.length, 5)
  })

  it('keeps nothing for more than a day', async () => {
    const clock = new MovableClock({ isStill: true })
    const resolver = resolve([zone.server], 600, clock)
    zone.set('fmtpkey.poe.net', 'TXT', [key], 1_000_000)
    await resolver.txt('fmtpkey.poe.net')
    clock.advance(86_400_000 - 1)
    await resolver.txt('fmtpkey.poe.net')
    assert.equal(queries.length, 1)
    clock.advance(1)
    await resolver.txt('fmtpkey.poe.net')
    assert.equal(queries.length, 2)
  })

  it('asks once for those who ask at the same time', async () => {
    const resolver = resolve([zone.server])
    const answers = await Promise.all(Array.from({ length: 5 }, () => resolver.txt('fmtpkey.poe.net')))
    assert.equal(answers.length, 5)
    assert.equal(queries.length, 1)
  })

  it('asks for 500 names at the same time', async () => {
    // Nothing is late here but a machine that has much else to do.
    const resolver = createResolver({ servers: [zone.server], timeoutMs: 15_000, attemptMs: 5000 })
    open.push(resolver)
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, index) => resolver.mx(`h${index}.poe.net`)),
    )
    assert.ok(answers.every(({ exists }) => !exists))
  })

  it('ends the wait of the one whose signal aborts, not of the others', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'silence')
    const resolver = resolve([zone.server, second.server])
    const abort = new AbortController()
    const left = resolver.txt('fmtpkey.poe.net', { signal: abort.signal })
    const stays = resolver.txt('fmtpkey.poe.net')
    abort.abort(new Error('the reader left'))
    await assert.rejects(left, /the reader left/)
    assert.deepEqual((await stays).records, [key])
    await assert.rejects(resolver.txt('poe.net', { signal: abort.signal }), /the reader left/)
  })

  it('fails what runs and what comes when it is closed', async () => {
    zone.fail('fmtpkey.poe.net', 'TXT', 'silence')
    const resolver = createResolver({ servers: [zone.server], timeoutMs: 5000 })
    const running = assert.rejects(resolver.txt('fmtpkey.poe.net'), failsWith('FMTP_DNS_FAILED'))
    await new Promise(done => setImmediate(done))
    const startedAt = performance.now()
    await resolver[Symbol.asyncDispose]()
    await running
    assert.ok(performance.now() - startedAt < 500)
    await assert.rejects(resolver.txt('poe.net'), failsWith('FMTP_DNS_FAILED'))
  })

  it('asks servers with IPv6 addresses', async function () {
    const records = parseZone(zoneText)
    const local = await serveZone({ address: '::1', port: 0, records }).catch(() => undefined)
    if (local === undefined) return this.skip()
    open.push(local)
    const resolver = resolve([local.server])
    local.fail('fmtpkey.poe.net', 'TXT', 'truncate')
    assert.equal((await resolver.mx('poe.net')).server, `[::1]:${local.port}`)
    assert.deepEqual((await resolver.txt('fmtpkey.poe.net')).records, [key])
  })

  for (const name of [
    'pöe.net',
    'poe..net',
    '',
    '.',
    'poe.net.',
    '-poe.net',
    `${'a'.repeat(64)}.net`,
    'a.'.repeat(127),
  ]) {
    it(`refuses the name ${JSON.stringify(name.slice(0, 20))} without asking`, async () => {
      await assert.rejects(resolve([zone.server]).txt(name), failsWith('FMTP_BAD_NAME'))
      assert.equal(queries.length, 0)
    })
  }

  for (const servers of [[], ['poe.net'], ['127.0.0.1:0'], ['127.0.0.1:65536'], ['[::1'], ['[127.0.0.1']]) {
    it(`refuses the name servers ${JSON.stringify(servers)}`, () => {
      assert.throws(() => createResolver({ servers, timeoutMs: 100 }), failsWith('FMTP_CONFIG'))
    })
  }

  it('asks name servers by each way to write an address', async () => {
    const sixth = await serveZone({ address: '::1', port: 0, records: parseZone(zoneText) })
    open.push(sixth)
    for (const { server } of [zone, sixth])
      assert.equal((await resolve([server]).txt('fmtpkey.poe.net')).server, server)
    // Without a port they are asked at the port of DNS, where nobody of ours listens.
    for (const server of ['::1', '127.77.1.1', 'fe80::1%lo'])
      await assert.rejects(resolve([server], 100).txt('poe.net'), failsWith('FMTP_DNS_FAILED'), server)
  })

  it('takes the name servers of the system, as they are', async () => {
    const before = getServers()
    try {
      setServers([zone.server])
      syncBuiltinESMExports()
      assert.deepEqual((await resolve(systemServers()).txt('fmtpkey.poe.net')).records, [key])
    } finally {
      setServers(before)
      syncBuiltinESMExports()
    }
  })
})
