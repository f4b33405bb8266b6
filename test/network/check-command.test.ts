/**
 * `fmtp check` as monitoring runs it, beside `fmtp serve`: its exit status, its lines and its JSON, whatever hangs; and `fmtp zone`,
 * whose records are just those that it wants. All are processes of their own.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { checkCertificate } from '../../server/check/certificate.ts'
import type { CheckResult } from '../../server/check/run.ts'
import { loadConfig } from '../../server/config/load.ts'
import { serveZone, type Zone } from '../../server/demo/name-server.ts'
import { parseZone } from '../../server/demo/zone-text.ts'
import { Command, ServerProcess } from '../support/fmtp-process.ts'
import { ownAddress } from '../support/loopback.ts'
import { diskMark, isWithoutDisk, SmallDisk } from '../support/small-disk.ts'

const address = ownAddress(201)
const mib = 1024 * 1024
const dayMs = 86_400_000

describe('fmtp check as a command', function () {
  this.timeout(120_000)

  let folder: string
  let zone: Zone
  let server: ServerProcess | undefined

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-check-'))
    zone = await serveZone({ address, port: 0, records: [] })
  })

  afterEach(async () => {
    await server?.[Symbol.asyncDispose]()
    server = undefined
    await zone[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const configOf = (more = '', dns = zone.server): string => `
[[domain]]
name = "lenore.org"
[listen]
tcp = ["${address}:0"]
udp = ["${address}:0"]
http = ["${address}:0"]
hosts = ["chat.lenore.org"]
[dns]
servers = ["${dns}"]
[guard]
allow = ["127.77.0.0/16"]
${more}`

  async function serve(config: string, options: { readonly under?: readonly string[] } = {}): Promise<void> {
    server = new ServerProcess({ folder, name: 'lenore', config, users: [], ...options })
    await server.ready()
  }

  interface Ran {
    readonly status: number | null
    readonly output: string
    readonly log: string
    readonly ms: number
  }

  let runs = 0
  async function run(
    args: readonly string[],
    under: readonly string[] = [],
    config = 'lenore.conf',
  ): Promise<Ran> {
    const startMs = Date.now()
    const options = {
      folder,
      name: `run-${++runs}`,
      args: [...args, '--config', join(folder, config)],
    }
    await using command = new Command({ ...options, under })
    await command.closed()
    return { status: command.status, output: command.output, log: command.log, ms: Date.now() - startMs }
  }

  /** Publishes what `fmtp zone` prints, as an operator does who pastes it. */
  async function publish(): Promise<void> {
    const { status, output, log } = await run(['zone'])
    assert.equal(status, 0, log)
    const records = parseZone(output)
    for (const { name, type } of records) {
      const values = records
        .filter(each => each.name === name && each.type === type)
        .map(({ value }) => value)
      zone.set(name, type, values)
    }
  }

  it('ends with 0 where DNS has what fmtp zone prints, with 1 and 2 where it has not, and with 3 for nothing', async () => {
    await serve(configOf())
    await publish()
    const well = await run(['check'])
    assert.equal(well.status, 0, well.output + well.log)
    assert.match(well.output, /^ok {4}round-trip {3}lenore\.org: a stranger gets server\.lenore\.org from /m)
    assert.match(well.output, /^skip {2}clock {8}\(not checked: .*\)$/m)
    assert.match(well.output, /\nall is well: 13 ok, 4 not checked {2}\(\d\.\d s\)\n$/)
    assert.ok(!well.output.includes('\u001b'), 'colours in a pipe')
    const json = await run(['check', '--json'])
    const { config, outcome, at, ms, checks, ...rest } = JSON.parse(json.output) as CheckResult
    assert.deepEqual([json.status, outcome, rest], [0, 'ok', {}])
    assert.deepEqual([config, checks.length], [join(folder, 'lenore.conf'), 17])
    assert.ok(ms > 0 && Date.parse(at) > Date.now() - 60_000)

    zone.set('_fmtp._udp.lenore.org', 'SRV', [])
    const warned = await run(['check'])
    assert.equal(warned.status, 1)
    assert.match(
      warned.output,
      /^warn {2}udp {10}lenore\.org: listen\.udp is set, .*\n {19}Publish: _fmtp\._udp\.lenore\.org\. IN SRV 0 0 \d+ /m,
    )
    // What others publish is not obeyed by a terminal.
    zone.set('fmtpkey.lenore.org', 'TXT', ['v=FMTP1; \u001b[2J\u202e'])
    const failed = await run(['check'])
    assert.equal(failed.status, 2)
    assert.match(failed.output, /^fail {2}key {10}lenore\.org: the key \S+, which signs, is not among/m)
    assert.match(failed.output, /v=FMTP1; \?\[2J\?/)

    for (const [args, says] of [
      [['check', '--nevermore'], /Unknown option '--nevermore'[\s\S]*usage: fmtp check/],
      [['check', '--seen', 'poe.net'], /no change of keys of poe\.net/],
    ] as const) {
      const none = await run(args)
      assert.deepEqual([none.status, none.output], [3, ''], none.log)
      assert.match(none.log, says)
    }
    writeFileSync(join(folder, 'lenore.conf'), '[[domain]]\nname = 5\n')
    const broken = await run(['check'])
    assert.equal(broken.status, 2)
    assert.match(broken.output, /^fail {2}config {2}\S*.*name/m)
  })

  it('ends within a minute where the server hangs, its name server too, and where both are gone', async () => {
    await serve(configOf())
    await publish()
    const { pid = 0 } = server ?? {}
    const silent = createSocket('udp4').bind(0, address)
    await once(silent, 'listening')
    const config = configOf('', `${address}:${silent.address().port}`)
    writeFileSync(join(folder, 'silent.conf'), `data = "lenore.data"\n${config}`)
    process.kill(pid, 'SIGSTOP')
    try {
      const [frozen, both] = await Promise.all([run(['check']), run(['check'], [], 'silent.conf')])
      assert.equal(frozen.status, 2)
      assert.match(frozen.output, /^fail {2}server {7}not done within 10 s \(FMTP_TIMEOUT\)$/m)
      assert.match(frozen.output, /^fail {2}host /m)
      assert.match(frozen.output, /^ok {4}key {10}lenore\.org/m)
      assert.equal(both.status, 2)
      assert.match(both.output, /^fail {2}key .*FMTP_DNS_FAILED/m)
      for (const { ms } of [frozen, both]) assert.ok(ms < 60_000, `${ms} ms`)
    } finally {
      process.kill(pid, 'SIGCONT')
      silent.close()
    }
    await server?.end('SIGKILL')
    const killed = await run(['check'])
    assert.equal(killed.status, 2)
    assert.match(killed.output, /^fail {2}server {7}no server runs on \S+\n {19}.*fmtp serve --config/m)
    assert.match(killed.output, /^skip {2}queue {8}\(only a running server can say\)$/m)
    assert.match(killed.output, /^ok {4}key /m)
    // Nothing of a check stays in the way of the next start.
    await serve(configOf())
    await publish()
    assert.equal((await run(['check'])).status, 0)
  })

  it('looks at the certificate in the file, and at the one that the server shows', async () => {
    const [file, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const write = async (name: string, leftDays = 3650): Promise<void> => {
      const { cert, key } = await makeCertificate(name, Date.now() - (3650 - leftDays) * dayMs)
      writeFileSync(file, cert)
      writeFileSync(keyFile, key)
    }
    const config = configOf(`[http]\ncertificate = "${file}"\nkey = "${keyFile}"\n[tls]\nca = "${file}"\n`)
    await write('chat.lenore.org')
    await serve(config)
    await publish()
    const look = async (): Promise<readonly [number | null, string]> => {
      const { status, output } = await run(['check'])
      const lines = output.split('\n').filter(line => /^\w+ +(certificate|http) /.test(line))
      return [status, lines.join('\n')]
    }
    const [status, lines] = await look()
    assert.equal(status, 0, lines)
    assert.match(
      lines,
      /^ok {4}http .* answers\nok {4}certificate .* is good until 20\S+Z for chat\.lenore\.org$/,
    )

    await write('chat.lenore.org')
    const renewed = await look()
    assert.equal(renewed[0], 1)
    assert.match(renewed[1], /^warn {2}certificate +the server shows another certificate/m)

    const loaded = loadConfig(join(folder, 'lenore.conf'))
    for (const [name, days, outcome, says] of [
      ['chat.lenore.org', 13, 'warn', /the certificate ends in 12 days/],
      ['chat.lenore.org', -1, 'fail', /the certificate has ended/],
      ['mail.lenore.org', 3650, 'fail', /the certificate is not for chat\.lenore\.org/],
    ] as const) {
      await write(name, days)
      const now = { nowMs: Date.now(), signal: AbortSignal.timeout(5000) }
      const [verdict, ...more] = await checkCertificate(loaded, undefined, now)
      assert.deepEqual([verdict?.outcome, more], [outcome, []])
      assert.match(verdict?.says ?? '', says)
    }
    writeFileSync(keyFile, (await makeCertificate('chat.lenore.org', Date.now())).key)
    const [, other] = await look()
    assert.match(other, /^fail {2}certificate +\S+key\.pem is the key of another certificate$/m)

    await write('chat.lenore.org')
    await server?.end('SIGTERM')
    await serve(config.replace(/\[tls\][\s\S]*/, ''))
    await publish()
    const [code, distrusted] = await look()
    assert.equal(code, 1)
    assert.match(distrusted, /no browser believes the certificate: (DEPTH_ZERO_)?SELF_SIGNED_CERT/)
  })

  it('of an island says that nothing of DNS applies, and calls its own listener', async () => {
    const island = `
[[domain]]
name = "localhost"
[listen]
tcp = ["${address}:0"]
http = ["${address}:0"]
`
    await serve(island)
    const well = await run(['check'])
    assert.equal(well.status, 0, well.output)
    assert.match(well.output, /^skip {2}records {6}localhost: \(an island has neither DNS nor others\)$/m)
    assert.match(well.output, /^ok {4}round-trip {3}localhost: a stranger gets server\.localhost from 127/m)
    assert.match((await run(['zone'])).output, /^; localhost needs no DNS$/m)
    await server?.end('SIGKILL')
    assert.equal((await run(['check'])).status, 2)
  })

  it(`tells of a disk that is nearly full, and of one that is full${diskMark}`, async function () {
    if (isWithoutDisk) this.skip()
    await using disk = await SmallDisk.mount(join(folder, 'lenore.data'), 96 * mib)
    const { under } = disk
    await serve(configOf(`[limits]\nfreeBytes = ${16 * mib}\n`), { under })
    const records = await run(['zone'], under)
    for (const { name, type, value } of parseZone(records.output)) zone.set(name, type, [value])
    const check = async () => run(['check'], under)
    const roomy = await check()
    assert.equal(roomy.status, 0, roomy.output + roomy.log)
    disk.fill(24 * mib)
    const near = await check()
    assert.equal(near.status, 1)
    assert.match(near.output, /^warn {2}disk {9}only \d+ MiB are free/m)
    disk.fill(8 * mib)
    const low = await check()
    assert.equal(low.status, 2)
    assert.match(low.output, /^fail {2}disk {9}\d+ MiB are free, and below 16 MiB nothing new is taken/m)
    assert.deepEqual(low.output.match(/^(fail|warn) +\w+/gm), ['fail  disk'])
    disk.fill(0)
    assert.match((await check()).output, /^fail {2}data {9}\S+ takes nothing: ENOSPC/m)
    disk.free()
    await server?.end('SIGKILL')
    server = undefined
  })
})
