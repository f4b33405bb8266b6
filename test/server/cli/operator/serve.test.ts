/** `fmtp serve`: what a first and a second start make and print, and what stops a start. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { CommandLine, linksOf, type Running } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

const address = ownAddress(201)
const tokenLink = new RegExp(
  String.raw`^http://${address}:8080/login#edgar@localhost\.[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}$`,
)

async function stop({ child, ended }: Running): Promise<number | null> {
  child.kill('SIGTERM')
  return ended
}

describe('fmtp serve', function () {
  this.timeout(20_000)

  it('prints a link until a device is enrolled, and then only when asked', async () => {
    await using line = new CommandLine()
    line.writeIsland(address)
    const first = await line.serve('--user', 'edgar@localhost')
    assert.ok(first.output().includes(`tcp   ${address}:3687`), first.output())
    assert.match(linksOf(first.output())[0] ?? '', tokenLink)
    assert.equal(await stop(first), 0)

    const second = await line.serve()
    const [link = ''] = linksOf(second.output())
    assert.match(link, tokenLink)
    assert.match(await line.run('login', link), /logged in as edgar@localhost/)
    assert.match(await line.fail('login', link), /FMTP_TOKEN/)
    assert.equal(await stop(second), 0)

    const third = await line.serve()
    assert.match(third.output(), /user {2}edgar@localhost/)
    assert.deepEqual(linksOf(third.output()), [])
    assert.equal(await stop(third), 0)

    const fourth = await line.serve('--link')
    assert.equal(linksOf(fourth.output()).length, 1)
  })

  it('keeps keys for their owner alone', async () => {
    await using line = new CommandLine()
    line.writeIsland(address)
    const server = await line.serve('--user', 'edgar@localhost')
    await line.run('login', linksOf(server.output())[0] ?? '')
    const mode = (...path: string[]): string =>
      (statSync(join(line.folder, ...path)).mode & 0o777).toString(8)
    assert.equal(mode('people', 'edgar@localhost.json'), '600')
    assert.equal(mode('data'), '700')
    const [key = ''] = readdirSync(join(line.folder, 'data/keys/localhost'))
    assert.equal(mode('data/keys/localhost', key), '600')
  })

  it('says that another server has the store', async () => {
    await using line = new CommandLine()
    line.writeIsland(address)
    await line.serve('--user', 'edgar@localhost')
    assert.match(await line.fail('serve'), /is another server running on it\?/)
  })

  it('names the key to change when a port is taken', async () => {
    await using line = new CommandLine()
    line.writeIsland(ownAddress(202))
    const other = createServer()
    await new Promise<void>(resolve => other.listen(3687, ownAddress(202), resolve))
    try {
      const said = await line.fail('serve')
      const advice = 'is taken by another program. Change listen.tcp'
      assert.ok(said.includes(`${ownAddress(202)}:3687 ${advice}`), said)
    } finally {
      other.close()
    }
  })

  it('stops at a config with file, line, key and what was expected', async () => {
    await using line = new CommandLine()
    const file = line.writeIsland(address, 'behindProxy = "yes"\nbehindPoxy = true\n')
    const output = await line.fail('serve')
    assert.match(output, /fmtp\.conf:\d+: http\.behindProxy: expected true or false, found "yes"/)
    assert.match(output, /fmtp\.conf:\d+: http\.behindPoxy: unknown key.*did you mean behindProxy\?/)
    assert.ok(output.includes(file))
  })

  it('says why its store can not be opened', async () => {
    await using line = new CommandLine()
    line.writeIsland(address)
    mkdirSync(join(line.folder, 'data'))
    writeFileSync(join(line.folder, 'data/store'), 'no folder')
    assert.match(await line.fail('serve'), /data\/store can not be opened: EEXIST.*\(FMTP_STORE\)/s)
  })

  it('says what is wrong with a command', async () => {
    await using line = new CommandLine()
    assert.match(
      await line.fail('send', 'lost@localhost', 'hello'),
      /nobody is logged in here; run: fmtp login LINK/,
    )
    assert.match(await line.fail('login', 'http://localhost:8080/'), /not a log-in link/)
  })
})
