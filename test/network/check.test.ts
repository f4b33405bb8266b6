/**
 * `fmtp check` of a real server in a network of real ones: all is well, then one thing after the other is not, and just that is
 * told. Real DNS, TLS, disks, and the control socket of the running server.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mintId } from '../../objects/id.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { limits } from '../../schemas/limits.ts'
import { parseAddress, parseDomain } from '../../schemas/text/names.ts'
import type { Finding } from '../../server/check/finding.ts'
import { type CheckResult, runChecks } from '../../server/check/run.ts'
import { loadConfig } from '../../server/config/load.ts'
import { startServer } from '../../server/server.ts'
import { CommandLine } from '../support/command.ts'
import { waitUntil } from '../support/conditions.ts'
import { linked } from '../support/family.ts'
import { handDomain } from '../support/hand.ts'
import { ownAddress } from '../support/loopback.ts'
import { connectAs, enrol, Network, type ServerChoices, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const quiet = () => ({ onProgress: () => undefined, signal: new AbortController().signal })
const software = { name: 'fmtp-test', version: '0' }
const lenoreOrg = parseDomain('lenore.org')

describe('fmtp check', function () {
  this.timeout(90_000)

  let network: Network
  let lenore: TestServer
  const closing: (() => unknown)[] = []

  beforeEach(async () => {
    network = await Network.start()
    await serve()
  })

  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
    await network[Symbol.asyncDispose]()
  })

  async function serve(choices: ServerChoices = {}): Promise<void> {
    lenore = await network.serve('lenore.org', { udp: true, ...choices })
    const [udp] = lenore.running.udp
    if (udp !== undefined) srv('udp', `0 0 ${udp.port} fmtp.lenore.org`)
  }

  const srv = (protocol: 'tcp' | 'udp', ...values: string[]): void =>
    network.zone.set(`_fmtp._${protocol}.lenore.org`, 'SRV', values)
  const keyRecords = (...values: string[]): void => network.zone.set('fmtpkey.lenore.org', 'TXT', values)
  const own = () => {
    const domain = lenore.running.domains.get(lenoreOrg)
    assert.ok(domain !== undefined)
    return domain
  }

  const look = (server: TestServer = lenore): Promise<CheckResult> =>
    runChecks({ ...quiet(), file: server.config.file, software, clock: network.clock })

  /** What is not as it should be: outcome, check and what it is about. */
  const wrongIn = ({ checks }: CheckResult): string[] =>
    checks.filter(isWrong).map(({ outcome, check, about }) => `${outcome} ${check} ${about ?? ''}`.trim())
  const isWrong = ({ outcome }: Finding): boolean => outcome === 'warn' || outcome === 'fail'

  async function assertWrong(expected: readonly string[], says: RegExp): Promise<CheckResult> {
    const result = await look()
    const told = result.checks.filter(isWrong)
    assert.deepEqual(wrongIn(result).sort(), [...expected].sort(), JSON.stringify(told, null, 1))
    assert.match(told.map(each => each.says).join('\n'), says)
    for (const { todo } of told) assert.ok((todo ?? '').length > 10, 'says not what to do')
    assert.equal(result.outcome, expected.some(each => each.startsWith('fail')) ? 'fail' : 'warn')
    return result
  }

  const hostOf = (server: TestServer, port = server.port): string =>
    `lenore.org fmtp.${server.domain} (${server.address}:${port})`

  it('finds nothing wrong where all is well, and says what it did not check', async () => {
    const result = await look()
    assert.deepEqual(wrongIn(result), [], JSON.stringify(result.checks.filter(isWrong)))
    assert.equal(result.outcome, 'ok')
    const names = (outcome: Finding['outcome']): string[] =>
      result.checks.filter(each => each.outcome === outcome).map(({ check }) => check)
    assert.deepEqual(names('ok'), [
      ...['config', 'server', 'data', 'disk', 'store', 'queue', 'peer-keys', 'http'],
      ...['key', 'records', 'host', 'udp', 'round-trip'],
    ])
    assert.deepEqual(names('skip'), ['clock', 'parent', 'children', 'certificate'])
    assert.ok(result.ms < 10_000)
    const trip = result.checks.find(({ check }) => check === 'round-trip')
    assert.match(trip?.says ?? '', /gets server\.lenore\.org from fmtp\.lenore\.org:\d+ in \d+ ms, as it is/)
  })

  describe('tells of DNS', () => {
    it('a key record that is missing', async () => {
      network.zone.set('fmtpkey.lenore.org', 'TXT', [])
      await assertWrong(['fail key lenore.org', 'fail round-trip lenore.org'], /which signs, is not among/)
    })

    it('another key under the same selector', async () => {
      const { selector } = own().current
      keyRecords(handDomain('lenore.org').record.replace(/s=[^;]*/, `s=${selector}`))
      await assertWrong(
        ['fail key lenore.org', 'fail key lenore.org', 'fail round-trip lenore.org'],
        /another key under the selector/,
      )
    })

    it('a key beside ours that somebody else has', async () => {
      keyRecords(own().current.record, handDomain('lenore.org').record)
      await assertWrong(['fail key lenore.org'], /a key \S+ that this server does not have/)
    })

    it('a next key that is not there yet, an old one that is missing or left over, a deleted one', async () => {
      const { rotation } = lenore.running
      const old = own().current
      await rotation.rotate(lenoreOrg)
      await assertWrong(['warn key lenore.org'], /is to sign next, is not in DNS yet/)
      const next = own().next
      keyRecords(old.record, next?.record ?? '')
      network.clock.advance(61_000)
      await rotation.rotate(lenoreOrg, { isHurried: true })
      assert.equal(own().current.selector, next?.selector)
      assert.deepEqual(wrongIn(await look()), [])
      keyRecords(own().current.record)
      await assertWrong(['warn key lenore.org'], /the old key \S+ is not in DNS any more/)
      keyRecords(own().current.record, old.record)
      network.clock.advance(limits.credentialMs + 2 * limits.clockSkewMs)
      await assertWrong(['warn key lenore.org'], /the old key \S+ is left over/)
      rotation.retire(lenoreOrg, old.selector)
      await assertWrong(['warn key lenore.org'], /left over: that key was deleted/)
    })

    it('records that are no keys, and times to live that are too long', async () => {
      network.zone.set('fmtpkey.lenore.org', 'TXT', [own().current.record, 'v=FMTP1; k=rsa'], 200_000)
      network.zone.set('fmtp.lenore.org', 'A', [lenore.address], 200_000)
      await assertWrong(
        ['warn key lenore.org', 'warn key lenore.org', 'warn records lenore.org'],
        /can not be read as a key: v=FMTP1; k=rsa\n.*200000 s\n.*TTL of 200000 s/,
      )
    })

    it('name servers that do not answer', async () => {
      network.zone.fail('fmtpkey.lenore.org', 'TXT', 'servfail')
      network.zone.fail('_fmtp._udp.lenore.org', 'SRV', 'servfail')
      await assertWrong(
        ['fail key lenore.org', 'fail udp lenore.org', 'fail round-trip lenore.org'],
        /FMTP_DNS_FAILED/,
      )
    })

    it('no host at all, and one without address', async () => {
      srv('tcp')
      await assertWrong(['fail records lenore.org', 'fail round-trip lenore.org'], /FMTP_NO_HOST/)
      srv('tcp', `0 0 ${lenore.port} fmtp.lenore.org`, '0 0 3687 gone.lenore.org')
      await assertWrong(['fail records lenore.org'], /gone\.lenore\.org, which DNS names, has no address/)
    })

    it('MX that leads to another server', async () => {
      // Of MX the port is always the same: an address that no other run has at this time.
      for (let count = 0; count < process.pid % 200; count++) network.addressOf(`${count}.example`)
      const raven = await network.serve('raven.example', { port: 3687 })
      srv('tcp')
      network.zone.set('lenore.org', 'MX', ['10 fmtp.raven.example'])
      await assertWrong([`fail host ${hostOf(raven)}`, 'fail round-trip lenore.org'], /FMTP_NOT_MINE/)
    })

    it('an address that others do not dial, and a port', async () => {
      srv('tcp', `0 0 ${lenore.port} fmtp.lenore.org`, '5 0 3687 inside.lenore.org', '9 0 25 fmtp.lenore.org')
      network.zone.set('inside.lenore.org', 'A', ['10.1.2.3'])
      await assertWrong(
        [
          'fail host lenore.org inside.lenore.org (10.1.2.3:3687)',
          `fail host lenore.org fmtp.lenore.org (${lenore.address}:25)`,
        ],
        /FMTP_GUARDED/,
      )
    })
  })

  describe('tells of hosts', () => {
    it('one that takes the connection and says nothing, while the other goes on', async () => {
      const sockets = new Set<Socket>()
      const silent = createServer(socket => sockets.add(socket.on('error', () => undefined)))
      silent.listen(0, ownAddress(240))
      await once(silent, 'listening')
      closing.push(() => {
        silent.close()
        for (const socket of sockets) socket.destroy()
      })
      const { port } = silent.address() as AddressInfo
      network.zone.set('silent.lenore.org', 'A', [ownAddress(240)])
      srv('tcp', `0 0 ${lenore.port} fmtp.lenore.org`, `5 0 ${port} silent.lenore.org`)
      const result = await assertWrong(
        [`fail host lenore.org silent.lenore.org (${ownAddress(240)}:${port})`],
        /FMTP_CONNECT_FAILED/,
      )
      assert.ok(result.ms < 20_000, `${result.ms} ms`)
    })

    it('another server that has the keys of this one', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'fmtp-check-'))
      mkdirSync(join(folder, 'data'))
      for (const part of ['keys', 'tls'])
        cpSync(join(lenore.config.data, part), join(folder, 'data', part), { recursive: true })
      const text = readFileSync(lenore.config.file, 'utf8').replaceAll(lenore.address, ownAddress(241))
      writeFileSync(join(folder, 'fmtp.conf'), text)
      network.clock.advance(1000)
      const log = { debug: () => undefined, info: () => undefined, warn: () => undefined }
      const clone = await startServer(loadConfig(join(folder, 'fmtp.conf')), {
        log: { ...log, error: () => undefined, isDebug: false },
        software,
        clock: network.clock,
      })
      closing.push(async () => {
        await clone[Symbol.asyncDispose]()
        rmSync(folder, { recursive: true, force: true })
      })
      const port = clone.tcp[0]?.port ?? 0
      network.zone.set('old.lenore.org', 'A', [ownAddress(241)])
      srv('tcp', `0 0 ${port} old.lenore.org`)
      // Somebody else is connected to this one meanwhile.
      const guest = await rawTls(lenore.address, lenore.port, 'lenore.org')
      await guest.hello('lenore.org')
      await assertWrong(
        [`fail host lenore.org old.lenore.org (${ownAddress(241)}:${port})`, 'fail round-trip lenore.org'],
        /is another server than the one that runs here/,
      )
      guest.close()
      // It answers as if it were this one, and this one has gone.
      await network.stop('lenore.org')
      const says = /no server runs on .*\n(.*\n)*.*though no server runs on this data folder/
      const result = await assertWrong(
        [
          'fail server',
          `fail host lenore.org old.lenore.org (${ownAddress(241)}:${port})`,
          'fail round-trip lenore.org',
        ],
        says,
      )
      assert.ok(result.checks.some(({ check, outcome }) => check === 'queue' && outcome === 'skip'))
    })

    it('one that was stopped', async () => {
      await network.stop('lenore.org')
      await assertWrong(
        ['fail server', `fail host ${hostOf(lenore)}`, 'fail round-trip lenore.org'],
        /no server runs on .*\nconnect ECONNREFUSED 127\S+ \(FMTP_CONNECT_FAILED\)\n/,
      )
    })

    it('UDP that nobody is told of, that nobody answers, and that is told of without being there', async () => {
      srv('udp')
      await assertWrong(['warn udp lenore.org'], /_fmtp\._udp\.lenore\.org is not in DNS/)
      srv('udp', '0 0 9 fmtp.lenore.org', '1 0 3999 fmtp.lenore.org')
      await assertWrong(
        ['fail udp lenore.org', 'fail udp lenore.org'],
        /FMTP_GUARDED\)\n.*(FMTP_TIMEOUT|FMTP_CONNECT_FAILED)/,
      )
      await network.stop('lenore.org')
      await serve({ udp: false })
      await assertWrong(['fail udp lenore.org'], /but listen\.udp is not set/)
      srv('udp')
      assert.deepEqual(wrongIn(await look()), [])
    })
  })

  describe('tells of the server', () => {
    it('another version than that of the command', async () => {
      const file = lenore.config.file
      const result = await runChecks({ ...quiet(), file, software: { ...software, version: '1' } })
      assert.deepEqual(wrongIn(result), ['warn server'])
    })

    it('another config than the one in its file', async () => {
      network.site('lenore.org')
      await assertWrong(['warn server'], /another config than \S+ says now: it listens for udp at 127/)
      network.site('lenore.org', { udp: true, also: ['raven.example'] })
      const result = await look()
      assert.ok(wrongIn(result).includes('warn server'))
      assert.ok(wrongIn(result).includes('fail key raven.example'))
      assert.match(result.checks.find(isWrong)?.says ?? '', /it serves lenore\.org$/)
    })

    it('a disk with less room than it wants', async () => {
      await network.stop('lenore.org')
      // No disk has as much.
      await serve({ limits: { freeBytes: 2 ** 50 } })
      await assertWrong(['fail disk'], /below [\d,]+ MiB nothing new is taken/)
    })

    it('a data folder that is not there, and a config that is none', async () => {
      await network.stop('lenore.org')
      rmSync(lenore.config.data, { recursive: true })
      const result = await look()
      assert.ok(wrongIn(result).includes('fail data'), JSON.stringify(wrongIn(result)))
      assert.ok(wrongIn(result).includes('fail key lenore.org'))
      writeFileSync(lenore.config.file, '[[domain]]\nname = "lenore.org"\nnevermore = 1\n')
      const broken = await look()
      assert.deepEqual([wrongIn(broken), broken.checks.length], [['fail config'], 1])
      assert.match(broken.checks[0]?.says ?? '', /nevermore/)
    })

    it('a clock that was set back', async () => {
      await network.stop('lenore.org')
      const { store } = lenore.running
      assert.ok(store !== undefined)
      rmSync(join(lenore.config.data, 'store'), { recursive: true })
      network.clock.advance(86_400_000)
      await serve()
      network.clock.advance(-86_400_000)
      const result = await look()
      assert.ok(wrongIn(result).includes('fail clock'), JSON.stringify(wrongIn(result)))
    })

    it('what has waited for hours, and nothing before that', async () => {
      const client = await connectAs(lenore, await enrol(lenore, 'lost@lenore.org'))
      closing.push(() => client.close())
      const id = mintId(parseAddress('lost@lenore.org'), network.clock.now())
      const object = {
        id,
        kind: 'message',
        to: ['edgar@nowhere.example'],
        format: 'text/plain',
        body: 'Nevermore',
      }
      await client.describe({ object })
      assert.deepEqual(wrongIn(await look()), [])
      network.clock.advance(limits.lateMs)
      await assertWrong(['warn queue'], /for more than 4 h waits what is for nowhere\.example since/)
    })

    it('rows that were damaged on the disk', async () => {
      const { database } = lenore.running.store
      await database.commit([{ puts: [[keyOf.damaged('object 1.lost@lenore.org'), '{']] }])
      await assertWrong(['warn store'], /1 rows were damaged/)
    })

    it('a peer all of whose keys changed, until somebody has seen it', async () => {
      for (const poe of [handDomain('poe.net'), handDomain('poe.net')]) {
        network.zone.set('fmtpkey.poe.net', 'TXT', [poe.record])
        network.clock.advance(limits.keyMostMs)
        const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
        await end.hello('lenore.org', { as: 'poe.net', ...poe })
        end.close()
      }
      await waitUntil('it is told', () => lenore.log.some(({ event }) => event === 'key.changed'))
      await assertWrong(['warn peer-keys poe.net'], /all keys changed at once at .* last seen 20/)
      await using line = new CommandLine()
      const output = await line.run('check', '--seen', 'poe.net', '--config', lenore.config.file)
      assert.equal(output, 'acknowledged: poe.net\n')
      assert.deepEqual(wrongIn(await look()), [])
    })

    it('a parent that is away, that knows nothing of its child, and children that are there', async () => {
      const poe = await network.serve('poe.net', { children: ['*.poe.net'] })
      const region = await network.serve('region.poe.net', { parents: ['poe.net'] })
      await linked(region, 'poe.net')
      const well = await look(region)
      assert.deepEqual(wrongIn(well), [], JSON.stringify(well.checks.filter(isWrong)))
      const parent = well.checks.find(({ check }) => check === 'parent')
      assert.equal(parent?.says, 'is connected, and looks up for region.poe.net')
      const children = (await look(poe)).checks.find(({ check }) => check === 'children')
      assert.match(children?.says ?? '', /are connected: region\.poe\.net$/)

      await network.stop('poe.net')
      await waitUntil('it is lost', () => region.log.some(({ event }) => event === 'parent.lost'))
      assert.deepEqual(wrongIn(await look(region)), ['fail parent poe.net'])
      await network.serve('poe.net')
      network.clock.advance(limits.parentRestMs * 2)
      await linked(region, 'poe.net', 2)
      const stranger = await look(region)
      assert.deepEqual(wrongIn(stranger), ['fail parent poe.net'])
      assert.match(stranger.checks.find(isWrong)?.says ?? '', /does not look up for region\.poe\.net/)
    })

    it('a parent that answers for it, which is right', async () => {
      const poe = await network.serve('poe.net', { children: ['*.poe.net'] })
      const region = await network.serve('region.poe.net', { parents: ['poe.net'] })
      await linked(region, 'poe.net')
      network.zone.set('_fmtp._tcp.region.poe.net', 'SRV', [`0 0 ${poe.port} fmtp.poe.net`])
      const result = await look(region)
      assert.deepEqual(wrongIn(result), [], JSON.stringify(result.checks.filter(isWrong)))
      assert.equal(
        result.checks.find(({ check }) => check === 'host')?.says,
        'is the parent poe.net, which answers for it',
      )
    })
  })
})
