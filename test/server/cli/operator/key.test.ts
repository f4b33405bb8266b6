/** `fmtp key` and `fmtp device` beside a running server, and without one. */
import assert from 'node:assert/strict'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

interface Key {
  readonly domain: string
  readonly selector: string
  readonly state: string
}

describe('fmtp key and device', function () {
  this.timeout(30_000)

  let line: CommandLine

  beforeEach(() => {
    line = new CommandLine()
    line.writeIsland(ownAddress(201))
  })

  afterEach(() => line[Symbol.asyncDispose]())

  const keysOf = (text: string): Key[] => (JSON.parse(text) as { keys: Key[] }).keys
  const states = (text: string): string[] =>
    keysOf(text)
      .map(({ state }) => state)
      .sort()

  it('change the key under a running server, whose clients stay logged in', async () => {
    const server = await line.serve('--user', 'edgar@localhost')
    await line.run('login', linksOf(server.output())[0] ?? '')
    assert.deepEqual(states(await line.run('key', 'list', '--json')), ['current'])
    assert.match(await line.run('key', 'rotate'), /signs for localhost now/)
    const listed = await line.run('key', 'list', '--json')
    assert.deepEqual(states(listed), ['current', 'old'])
    await line.run('send', 'edgar@localhost', 'Nevermore')
    const old = keysOf(listed).find(({ state }) => state === 'old')?.selector ?? ''
    const current = keysOf(listed).find(({ state }) => state === 'current')?.selector ?? ''
    assert.match(await line.fail('key', 'retire', current), /signs for/)
    assert.match(await line.fail('key', 'retire', old), /may live until/)
    assert.match(await line.run('key', 'retire', old, '--force'), /take its record out of DNS/)
    assert.match(await line.fail('key', 'retire', 'raven'), /no|0 domains/)
    // The new key is pinned: this does not go over the old one any more.
    await line.run('send', 'edgar@localhost', 'Evermore')
    assert.match(await line.run('list'), /Evermore/)
    server.child.kill('SIGTERM')
    await server.ended
    assert.match(server.output(), /key\.switched/)
    assert.deepEqual(states(await line.run('key', 'list', '--json')), ['current'])
    assert.match(await line.run('key', 'list'), /current, needs no DNS/)
  })

  it('take a lost device away, which its user finds out', async () => {
    const server = await line.serve('--user', 'edgar@localhost')
    await line.run('login', linksOf(server.output())[0] ?? '')
    await line.run('send', 'edgar@localhost', 'Nevermore')
    const listed = await line.run('device', 'list', 'edgar@localhost', '--json')
    const { devices } = JSON.parse(listed) as { devices: { thumbprint: string }[] }
    assert.equal(devices.length, 1)
    const [{ thumbprint } = { thumbprint: '' }] = devices
    assert.match(await line.run('device', 'list', 'edgar@localhost'), new RegExp(`${thumbprint} {2}since`))
    assert.match(await line.run('device', 'revoke', 'edgar@localhost', thumbprint), /no device of edgar/)
    assert.match(await line.fail('list'), /FMTP_REVOKED/)
    assert.match(await line.fail('device', 'revoke', 'edgar@localhost', thumbprint), /has no device/)
    assert.match(await line.fail('device', 'list', 'lost@localhost'), /no user/)
    assert.match(await line.run('device', 'list', 'edgar@localhost'), /has no device/)
  })
})
