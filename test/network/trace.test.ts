/**
 * The way to somebody, climbed by a running server and by a guest: every fault of DNS, of the network and of the other side has
 * its outcome and its code in the trail, within its limit. Real servers, real DNS packets, real TLS.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net'
import { createServer as createTls, type TLSSocket } from 'node:tls'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import type { Step } from '../../routing/ladder.ts'
import type { FailureCode } from '../../schemas/failures.ts'
import { traceAsGuest } from '../../server/cli/operator/trace.ts'
import { runAction } from '../../server/control/client.ts'
import type { TraceResult } from '../../server/operator/tracer.ts'
import { composeHello } from '../../wire/hello.ts'
import { CommandLine } from '../support/command.ts'
import { assertCode } from '../support/conditions.ts'
import { type HandDomain, handProfile, handUser, randomNonce } from '../support/hand.ts'
import { type HandServer, handServer, knowsNobody } from '../support/hand-server.ts'
import { ownAddress } from '../support/loopback.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'

const portsOf = () => ({ onProgress: () => undefined, signal: new AbortController().signal })
const lateMs = 300

/** What a climb must come to. Times are for machines that do something else too. */
interface Expected {
  readonly outcome: TraceResult['lookup']['outcome']
  readonly code?: FailureCode
  /** The step that says why. */
  readonly step: { readonly what: string; readonly outcome: Step['outcome'] }
  readonly leastMs?: number
  readonly mostMs: number
  /** The domain proves that it is there, and fails afterwards. */
  readonly isReached?: true
}

interface Fault extends Expected {
  readonly name: string
  /** Makes the domain that is traced. */
  arrange(domain: string): unknown
}

describe('fmtp trace', function () {
  this.timeout(60_000)

  let network: Network
  let lenore: TestServer
  let raven: HandServer
  let tls: { cert: string; key: string }
  const closing: (() => void)[] = []
  const traces = new Map<string, Promise<TraceResult>>()

  /** A domain whose key the test holds, at this address and port. */
  function place(domain: string, port: number, address = ownAddress(200)): HandDomain {
    const hand = network.hand(domain)
    network.publish({ domain, address }, hand.record, port)
    return hand
  }

  async function listen(server: Server, address = ownAddress(200)): Promise<number> {
    const sockets = new Set<Socket>()
    server.on('connection', (socket: Socket) => {
      sockets.add(socket.on('error', () => undefined))
    })
    closing.push(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    server.listen(0, address)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  const listenTls = (onSocket: (socket: TLSSocket) => void, address?: string): Promise<number> =>
    listen(
      createTls({ ...tls, ALPNProtocols: ['fmtp/1'], minVersion: 'TLSv1.3' }, socket =>
        onSocket(socket.on('error', () => undefined)),
      ),
      address,
    )

  const byServer = (who: string): Promise<TraceResult> =>
    runAction(lenore.config.file, 'trace', { address: who }, portsOf()) as Promise<TraceResult>
  const byGuest = (who: string): Promise<TraceResult> =>
    traceAsGuest(lenore.config, { dns: [], sought: { address: who } }, portsOf())

  const faults: readonly Fault[] = [
    {
      name: 'no SRV, no MX, no address',
      arrange: domain => network.hand(domain),
      ...{ outcome: 'unreachable', code: 'FMTP_NO_HOST', mostMs: 2000 },
      step: { what: 'hosts', outcome: 'FMTP_NO_HOST' },
    },
    {
      name: 'a null MX',
      arrange(domain) {
        network.hand(domain)
        network.zone.set(domain, 'MX', ['0 .'])
      },
      ...{ outcome: 'unreachable', code: 'FMTP_NO_HOST', mostMs: 2000 },
      step: { what: 'mx', outcome: 'FMTP_NO_HOST' },
    },
    {
      name: 'no key record',
      arrange(domain) {
        place(domain, 3687)
        network.zone.set(`fmtpkey.${domain}`, 'TXT', [])
      },
      ...{ outcome: 'unreachable', code: 'FMTP_NO_KEY', mostMs: 2000 },
      step: { what: 'key', outcome: 'FMTP_NO_KEY' },
    },
    {
      name: 'another key than the one in DNS',
      async arrange(domain) {
        const other = await handServer(
          network,
          { name: domain, address: ownAddress(201), ...tls },
          () => knowsNobody,
        )
        closing.push(() => void other[Symbol.asyncDispose]())
        network.hand(domain)
      },
      ...{ outcome: 'unreachable', code: 'FMTP_PROOF', mostMs: 2000 },
      step: { what: 'hello', outcome: 'FMTP_PROOF' },
    },
    {
      name: 'a host that refuses',
      arrange: domain => place(domain, 3687),
      ...{ outcome: 'unreachable', code: 'FMTP_CONNECT_FAILED', mostMs: 2000 },
      step: { what: 'connect', outcome: 'FMTP_CONNECT_FAILED' },
    },
    {
      name: 'a host inside a network that is not ours to dial',
      arrange: domain => place(domain, 3687, '10.1.2.3'),
      ...{ outcome: 'unreachable', code: 'FMTP_GUARDED', mostMs: 2000 },
      step: { what: 'dial', outcome: 'FMTP_GUARDED' },
    },
    {
      name: 'a host that accepts and says nothing',
      arrange: async domain => place(domain, await listen(createTcp())),
      ...{ outcome: 'unreachable', code: 'FMTP_CONNECT_FAILED', leastMs: 9000, mostMs: 15_000 },
      step: { what: 'tls', outcome: 'FMTP_CONNECT_FAILED' },
    },
    {
      name: 'a host that hangs before its hello',
      arrange: async domain => place(domain, await listenTls(socket => socket.resume())),
      ...{ outcome: 'unreachable', code: 'FMTP_HELLO_TIMEOUT', leastMs: 9000, mostMs: 15_000 },
      step: { what: 'hello', outcome: 'FMTP_HELLO_TIMEOUT' },
    },
    {
      name: 'a host that speaks no TLS',
      arrange: async domain =>
        place(domain, await listen(createTcp(socket => socket.end('220 mail.raven.example ESMTP\r\n')))),
      ...{ outcome: 'unreachable', code: 'FMTP_CONNECT_FAILED', mostMs: 2000 },
      step: { what: 'tls', outcome: 'FMTP_CONNECT_FAILED' },
    },
    {
      name: 'records that lead to another domain',
      arrange(domain) {
        const srv = network.zone
        network.hand(domain)
        srv.set(`_fmtp._tcp.${domain}`, 'SRV', [`0 5 ${lenore.port} fmtp.lenore.org`])
      },
      ...{ outcome: 'unreachable', code: 'FMTP_NOT_MINE', mostMs: 2000 },
      step: { what: 'hello', outcome: 'FMTP_NOT_MINE' },
    },
    {
      name: 'another domain that answers in its place',
      async arrange(domain) {
        const as = raven.domain
        const port = await listenTls(socket => answerHello(socket, as.name, as, { hasNothing: true }))
        place(domain, port)
      },
      ...{ outcome: 'unreachable', code: 'FMTP_WRONG_PEER', mostMs: 2000 },
      step: { what: 'front', outcome: 'FMTP_WRONG_PEER' },
    },
    {
      name: 'a hello that is cut in the middle',
      async arrange(domain) {
        place(domain, await listenTls(socket => socket.end('{"verb":"hello","vers')))
      },
      ...{ outcome: 'unreachable', code: 'FMTP_DISCONNECTED', mostMs: 2000 },
      step: { what: 'hello', outcome: 'FMTP_DISCONNECTED' },
    },
    {
      name: 'an answer that is cut in the middle',
      async arrange(domain) {
        const cut = await handServer(
          network,
          { name: domain, address: ownAddress(202), ...tls },
          (_, socket) => {
            socket.end('{"verb":"answer","re":1,"outc')
            return undefined
          },
        )
        closing.push(() => void cut[Symbol.asyncDispose]())
      },
      ...{ outcome: 'unreachable', code: 'FMTP_DISCONNECTED', mostMs: 2000, isReached: true },
      step: { what: 'request', outcome: 'FMTP_DISCONNECTED' },
    },
    {
      name: 'a name server that is silent',
      arrange(domain) {
        place(domain, 3687)
        network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'silence')
      },
      ...{ outcome: 'unreachable', code: 'FMTP_DNS_FAILED', leastMs: 4000, mostMs: 8000 },
      step: { what: 'key', outcome: 'FMTP_DNS_FAILED' },
    },
    {
      name: 'a name server that answers late',
      async arrange(domain) {
        await serveNobody(domain, ownAddress(203))
        network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'late')
      },
      ...{ outcome: 'absent', leastMs: lateMs, mostMs: 4000 },
      step: { what: 'key', outcome: 'ok' },
    },
    {
      name: 'forged answers with a wrong id, a wrong question and from elsewhere',
      async arrange(domain) {
        await serveNobody(domain, ownAddress(204))
        network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'spoof')
        network.zone.fail(`_fmtp._tcp.${domain}`, 'SRV', 'spoof')
        network.zone.fail(`fmtp.${domain}`, 'A', 'spoof')
      },
      ...{ outcome: 'absent', mostMs: 3000 },
      step: { what: 'request', outcome: 'miss' },
    },
    {
      name: 'answers that are cut to a datagram',
      async arrange(domain) {
        await serveNobody(domain, ownAddress(205))
        network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'truncate')
      },
      ...{ outcome: 'absent', mostMs: 3000 },
      step: { what: 'key', outcome: 'ok' },
    },
  ]

  async function serveNobody(name: string, address: string): Promise<void> {
    const served = await handServer(network, { name, address, ...tls }, () => knowsNobody)
    closing.push(() => void served[Symbol.asyncDispose]())
  }

  before(async () => {
    network = await Network.start({ lateMs })
    const { cert, key } = await makeCertificate('raven.example', Date.now())
    tls = { cert, key }
    lenore = await network.serve('lenore.org')
    raven = await handServer(
      network,
      { name: 'raven.example', address: ownAddress(210), ...tls },
      () => knowsNobody,
    )
    // All at once: some take the ten seconds that they may.
    for (const [index, fault] of faults.entries()) {
      const who = `fault${index}.example`
      await fault.arrange(who)
      traces.set(`${fault.name} server`, byServerInTurn(who))
      traces.set(`${fault.name} guest`, byGuest(who))
    }
    for (const tracing of traces.values()) tracing.catch(() => undefined)
  })

  /** The control socket takes a few commands at once. */
  let turns: Promise<unknown>[] = []
  async function byServerInTurn(who: string): Promise<TraceResult> {
    while (turns.length >= 6) await Promise.race(turns)
    const turn = byServer(who)
    const mine = turn
      .catch(() => undefined)
      .then(() => {
        turns = turns.filter(other => other !== mine)
      })
    turns.push(mine)
    return turn
  }

  after(async () => {
    for (const close of closing) close()
    await raven[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  for (const by of ['server', 'guest'])
    for (const fault of faults)
      it(`tells a ${by} of ${fault.name}`, async () => {
        const result = await (traces.get(`${fault.name} ${by}`) as Promise<TraceResult>)
        assertShape(result)
        assert.equal(result.isServer, by === 'server')
        assert.equal(result.as, by === 'server' ? 'lenore.org' : undefined)
        const { lookup, contact } = result
        const told = JSON.stringify(lookup, undefined, 1)
        assert.deepEqual([lookup.outcome, lookup.failed?.code], [fault.outcome, fault.code], told)
        const step = lookup.steps.find(
          ({ what, outcome }) => what === fault.step.what && outcome === fault.step.outcome,
        )
        assert.ok(step !== undefined, told)
        assert.ok(result.ms <= fault.mostMs && result.ms >= (fault.leastMs ?? 0), `${result.ms} ms`)
        // The second ladder does not go the same way again.
        if (fault.outcome === 'unreachable')
          assert.equal(contact?.failed?.code, fault.isReached ? undefined : fault.code)
      })

  it('dials nothing where there is no key, and no host', async () => {
    for (const name of ['no key record', 'no SRV, no MX, no address']) {
      const { lookup } = await (traces.get(`${name} server`) as Promise<TraceResult>)
      assert.deepEqual(
        lookup.steps.filter(({ what }) => what === 'dial'),
        [],
      )
    }
  })

  it('shows each question with its answer and the name server that gave it', async () => {
    const { lookup } = await byServer('raven.example')
    const srv = lookup.steps.find(({ what }) => what === 'srv')
    assert.equal(srv?.outcome, 'ok')
    assert.match(String(srv?.detail.answers), /^0 5 \d+ fmtp\.raven\.example$/)
    assert.equal(srv?.detail.server, network.zone.server)
    const none = await (traces.get('no SRV, no MX, no address guest') as Promise<TraceResult>)
    const asked = none.lookup.steps.filter(({ outcome }) => outcome === 'miss').map(({ what }) => what)
    assert.deepEqual(asked, ['cache', 'srv', 'mx', 'address'])
  })

  it('shows the dial that lost the race beside the one that won', async () => {
    const port = await listen(createTcp(), ownAddress(206))
    await serveNobody('two.example', ownAddress(207))
    const other = (await byServer('two.example')).lookup.steps.find(({ what }) => what === 'dial')?.detail
      .port
    network.zone.set('slow.two.example', 'A', [ownAddress(206)])
    network.zone.set('_fmtp._tcp.two.example', 'SRV', [
      `0 5 ${port} slow.two.example`,
      `1 5 ${other} fmtp.two.example`,
    ])
    const { lookup } = await byServer('two.example')
    assert.equal(lookup.outcome, 'absent')
    const dials = lookup.steps.filter(({ what }) => what === 'dial')
    const shortly = dials.map(({ outcome, detail }) => [outcome, detail.host, detail.address, detail.port])
    assert.deepEqual(shortly.sort(), [
      ['ok', 'fmtp.two.example', ownAddress(207), other],
      ['unneeded', 'slow.two.example', ownAddress(206), port],
    ])
    const [lost] = dials.filter(({ outcome }) => outcome === 'unneeded')
    assert.ok((lost?.ms ?? 0) >= 200, `${lost?.ms} ms`)
  })

  it('really climbs, whatever the cache holds, and says how old that is', async () => {
    const alice = handUser(raven.domain, 'alice@raven.example')
    const profile = handProfile(alice)
    raven.answer = (frame, socket) => {
      socket.write(`${JSON.stringify({ verb: 'describe', re: frame.n, object: profile })}\n`)
      return { outcome: 'found' }
    }
    const before = raven.frames.length
    const first = await byServer('alice@raven.example')
    assert.deepEqual(
      [first.lookup.outcome, first.lookup.rung, first.lookup.id],
      ['found', 'domain', profile.id],
    )
    assert.equal(first.lookup.steps[0]?.outcome, 'miss')
    // What a trace finds is not kept.
    assert.equal(lenore.running.store.findObject(profile.id), undefined)
    const edgar = await enrol(lenore, 'edgar@lenore.org')
    const client = await connectAs(lenore, edgar)
    await client.request({ address: 'alice@raven.example', effort: 'lookup' })
    client.close()
    network.clock.advance(60_000)
    const asked = raven.frames.length
    assert.equal(asked, before + 2)
    const second = await byServer('alice@raven.example')
    assert.equal(raven.frames.length, asked + 1)
    assert.equal(second.lookup.steps[0]?.outcome, 'ok')
    const ageMs = Number(second.lookup.steps[0]?.detail.ageMs)
    assert.ok(ageMs >= 60_000 && ageMs < 120_000, `${ageMs} ms`)
    assert.equal(second.lookup.rung, 'domain')
  })

  it('calls each recommended contact and describes nothing to it', async () => {
    const alice = handUser(raven.domain, 'alice@raven.example')
    let frames = 0
    const device = await listenTls(socket => {
      answerHello(socket, alice.address, alice, { credential: alice.credential })
      socket.on('data', text => {
        frames += String(text).split('"verb":"describe"').length - 1
      })
    }, ownAddress(211))
    const mallory = await listenTls(
      socket => answerHello(socket, 'raven.example', { signer: alice.signer }),
      ownAddress(212),
    )
    const contacts = [
      { protocol: 'tcp', host: ownAddress(212), port: mallory, priority: 1 },
      { protocol: 'tcp', host: ownAddress(211), port: device, priority: 2 },
      { protocol: 'udp', host: ownAddress(211), port: device, priority: 3 },
    ] as const
    const profile = handProfile(alice, { contacts: [...contacts] })
    raven.answer = (frame, socket) => {
      socket.write(`${JSON.stringify({ verb: 'describe', re: frame.n, object: profile })}\n`)
      return { outcome: 'found' }
    }
    const { contact } = await byServer('alice@raven.example')
    const told = JSON.stringify(contact, undefined, 1)
    assert.deepEqual(
      [contact?.outcome, contact?.rung, contact?.name],
      ['reached', 'recommended', alice.address],
      told,
    )
    assert.equal(contact?.host, `${ownAddress(211)}:${device}`)
    const called = contact.steps.filter(({ rung, what }) => rung === 'recommended' && what === 'hello')
    assert.deepEqual(
      called.map(({ outcome }) => outcome),
      ['FMTP_PROOF', 'ok'],
      told,
    )
    assert.ok(
      contact.steps.some(({ outcome }) => outcome === 'FMTP_NOT_OFFERED'),
      told,
    )
    assert.ok(
      contact.steps.some(
        ({ rung, what, outcome }) => rung === 'domain' && what === 'again' && outcome === 'ok',
      ),
    )
    assert.equal(frames, 0)
  })

  it('leaves no connection open, here and there', async () => {
    let open = 0
    const port = await listenTls(socket => {
      open++
      socket.on('close', () => open--)
      answerHello(socket, 'raven.example', raven.domain)
    }, ownAddress(213))
    network.zone.set('_fmtp._tcp.raven.example', 'SRV', [`0 5 ${port} brief.raven.example`])
    network.zone.set('brief.raven.example', 'A', [ownAddress(213)])
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error('enough')), 500)
    await assert.rejects(
      traceAsGuest(
        lenore.config,
        { dns: [], sought: { address: 'raven.example' } },
        { ...portsOf(), signal: controller.signal },
      ),
      /enough/,
    )
    for (const endMs = Date.now() + 3000; open > 0 && Date.now() < endMs; ) await new Promise(setImmediate)
    assert.equal(open, 0)
  })

  it('finds who is here without asking anybody', async () => {
    await enrol(lenore, 'lost@lenore.org')
    const here = await byServer('lost@lenore.org')
    assert.deepEqual([here.lookup.outcome, here.lookup.rung, here.contact], ['found', 'local', undefined])
    const nobody = await byServer('nobody@lenore.org')
    assert.deepEqual([nobody.lookup.outcome, nobody.lookup.rung], ['absent', 'local'])
    const guest = await byGuest('lost@lenore.org')
    assert.deepEqual(
      [guest.lookup.outcome, guest.lookup.rung, guest.contact?.outcome],
      ['found', 'domain', 'reached'],
    )
  })

  it('climbs in the name of the own domain where no server runs', async () => {
    const { config } = await network.serve('usher.example')
    await network.stop('usher.example')
    const result = (await runAction(
      config.file,
      'trace',
      { address: 'lenore.org' },
      portsOf(),
    )) as TraceResult
    assertShape(result)
    assert.deepEqual([result.isServer, result.as, result.lookup.outcome], [false, 'usher.example', 'found'])
    const greeted = lenore.log
      .filter(({ event }) => event === 'hello.verified')
      .map(({ record }) => record.as)
    assert.ok(greeted.includes('usher.example'))
    const other = { address: 'lenore.org', as: 'raven.example' }
    await assertCode('FMTP_BAD_NAME', () => runAction(config.file, 'trace', other, portsOf()))
  })

  it('as a command ends with a status of its own for each outcome, and with JSON for programs', async () => {
    await using line = new CommandLine()
    await enrol(lenore, 'usher@lenore.org')
    const config = ['--config', lenore.config.file]
    network.hand('nowhere.example')
    const table: readonly [number, string[], RegExp][] = [
      [0, ['usher@lenore.org', ...config], /^found: user\.usher@lenore\.org, user, of .*, by local$/m],
      [
        0,
        ['usher@lenore.org', '--guest', ...config],
        /^ 2 {2}domain +srv +\d+ ms {2}_fmtp\._tcp\.lenore\.org = 0 5/m,
      ],
      [1, ['nobody@lenore.org', '--guest', ...config], /^absent: domain says that there is none$/m],
      [
        3,
        ['alice@nowhere.example', ...config],
        /^unreachable: .* \(FMTP_NO_HOST\)\n {2}.*\n {2}Its operator publishes SRV _fmtp\._tcp\.nowhere\.example/m,
      ],
      [
        3,
        ['lenore.org', '--dns', network.zone.server],
        /FMTP_GUARDED 127\.77\.\d+\.\d+ port \d+: not a public address/,
      ],
      [2, [], /^usage: fmtp trace/m],
      [2, ['a@b@c'], /^usage: fmtp trace/m],
      [2, ['poe.net', '--dns', network.zone.server, '--as', 'lenore.org'], /^usage: fmtp trace/m],
      [2, ['poe.net', '--config', 'nevermore.conf'], /no such file/],
    ]
    for (const [status, args, says] of table) {
      const { ended, output } = line.start('trace', ...args)
      assert.equal(await ended, status, `fmtp trace ${args.join(' ')}:\n${output()}`)
      assert.match(output(), says)
      assert.ok(!output().includes('\u001b'), 'colours in a pipe')
    }
    const json = line.start('trace', 'lenore.org', '--guest', '--json', ...config)
    assert.equal(await json.ended, 0)
    const result = JSON.parse(json.output()) as TraceResult
    assertShape(result)
    assert.equal(result.lookup.id, 'server.lenore.org')
  })

  it('says that a domain is held back, and dials it all the same', async () => {
    place('down.example', 3687)
    const client = await connectAs(lenore, await enrol(lenore, 'annabel@lenore.org'))
    for (let times = 0; times < 5; times++)
      await client.request({ address: 'down.example', effort: 'lookup' })
    client.close()
    const result = await byServer('down.example')
    assert.equal(result.lookup.steps[0]?.what, 'held')
    assert.equal(result.lookup.steps[0]?.outcome, 'FMTP_RESTING')
    assert.ok(
      result.lookup.steps.some(
        ({ what, outcome }) => what === 'connect' && outcome === 'FMTP_CONNECT_FAILED',
      ),
    )
  })
})

/** Reads the first line and answers it with a hello in this name. */
function answerHello(
  socket: TLSSocket,
  as: string,
  { signer }: Pick<HandDomain, 'signer'>,
  { hasNothing = false, ...more }: { readonly credential?: string; readonly hasNothing?: boolean } = {},
): void {
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.includes('\n')) {
      if (!hasNothing) return
      const { n } = JSON.parse(chunk) as { n: number }
      socket.write(`${JSON.stringify({ verb: 'answer', re: n, outcome: 'absent', code: 'FMTP_ABSENT' })}\n`)
      return
    }
    text += chunk
    if (!text.includes('\n')) return
    const frame = JSON.parse(text.slice(0, text.indexOf('\n'))) as { as?: string; nonce: string }
    const binding = socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
    const hello = {
      role: 'answers' as const,
      ...{
        as,
        nonce: randomNonce(),
        peerNonce: frame.nonce,
        binding: binding.toString('base64url'),
        ...more,
      },
      ...(frame.as === undefined ? {} : { to: frame.as }),
    }
    socket.write(`${JSON.stringify(composeHello(hello, signer))}\n`)
  })
}

/** What `--json` promises to programs. */
function assertShape(result: TraceResult): void {
  assert.equal(typeof result.about, 'string')
  assert.ok(!Number.isNaN(Date.parse(result.at)))
  for (const part of [result.lookup, result.contact]) {
    if (part === undefined) continue
    assert.ok(part.outcome.length > 0)
    if (part.failed !== undefined)
      assert.deepEqual(Object.keys(part.failed).sort(), ['code', 'reason', 'text'])
    for (const step of part.steps) {
      assert.deepEqual(Object.keys(step).sort(), ['detail', 'ms', 'outcome', 'rung', 'what'])
      assert.match(step.outcome, /^(ok|miss|unneeded|FMTP_[A-Z_]+)$/)
      assert.ok(Number.isFinite(step.ms) && step.ms >= 0)
    }
  }
}
