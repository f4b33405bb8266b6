/** What limits refused (protocol §12.2), counted in bounded memory, and `fmtp stats`, which shows it. */
import assert from 'node:assert/strict'
import { hostOf } from '../../../../server/limits/rates.ts'
import { Refusals } from '../../../../server/limits/refusals.ts'
import { MovableClock } from '../../../support/clock.ts'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

describe('Refusals', () => {
  let clock: MovableClock
  let lines: Readonly<Record<string, unknown>>[]
  let refusals: Refusals

  beforeEach(() => {
    clock = new MovableClock()
    lines = []
    refusals = new Refusals({ clock, onEvent: (_, record) => lines.push(record) })
  })

  it('know who is refused most, however many others are refused once', () => {
    for (let at = 0; at < 20_000; at++) {
      refusals.note('peerObjects', `${at}.example`)
      if (at % 20 === 0) refusals.note('peerObjects', 'raven.example')
    }
    refusals.note('tries', '192.0.2.1')
    const [objects, tries, ...others] = refusals.report()
    assert.deepEqual(others, [])
    assert.equal(objects?.refused, 21_000)
    assert.equal(objects?.top.length, 10)
    assert.equal(objects?.top[0]?.who, 'raven.example')
    assert.ok(Number(objects?.top[0]?.refused) >= 1000)
    assert.deepEqual(tries?.top, [{ who: '192.0.2.1', refused: 1 }])
  })

  it('never count too few of those whom they show', () => {
    for (let at = 0; at < 50 * 300; at++) refusals.note('peerObjects', `${at % 300}.example`)
    for (const { refused } of refusals.report()[0]?.top ?? []) assert.ok(refused >= 50, `${refused}`)
  })

  it('are one line a minute for each limit and who, which tells how many there were', () => {
    for (let at = 0; at < 100; at++) refusals.note('peerObjects', 'raven.example')
    refusals.note('peerObjects', 'poe.net')
    refusals.note('peerSessions', 'raven.example')
    clock.advance(60_000)
    refusals.note('peerObjects', 'raven.example')
    assert.deepEqual(
      lines.map(({ limit, who, refused }) => [limit, who, refused]),
      [
        ['peerObjects', 'raven.example', 1],
        ['peerObjects', 'poe.net', 1],
        ['peerSessions', 'raven.example', 1],
        ['peerObjects', 'raven.example', 100],
      ],
    )
  })

  it('take a /64 of IPv6 for one host, and an IPv4 address in whatever clothes', () => {
    assert.equal(hostOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
    assert.equal(hostOf('2001:db8:1:2::9'), hostOf('2001:db8:1:2:ffff::1'))
    assert.notEqual(hostOf('2001:db8:1:3::9'), hostOf('2001:db8:1:2::9'))
    assert.equal(hostOf('::ffff:192.0.2.7'), '192.0.2.7')
    assert.equal(hostOf('192.0.2.7'), '192.0.2.7')
    for (const strange of ['', 'unknown', 'x'.repeat(300)]) assert.equal(hostOf(strange), strange)
  })
})

describe('fmtp stats', function () {
  this.timeout(30_000)

  let line: CommandLine

  beforeEach(() => {
    line = new CommandLine()
    line.writeIsland(ownAddress(201), '[limits]\nnewRecipientsPerDay = 1\n')
  })

  afterEach(() => line[Symbol.asyncDispose]())

  it('shows what the limits of the running server refused, as a table and as JSON', async () => {
    const users = ['edgar', 'lost', 'alice'].flatMap(name => ['--user', `${name}@localhost`])
    const server = await line.serve(...users)
    await line.run('login', linksOf(server.output())[0] ?? '')
    assert.match(await line.run('stats'), /^no limit refused anything since \d{4}-/)
    await line.run('send', 'lost@localhost', 'Nevermore')
    assert.match(await line.fail('send', 'alice@localhost', 'Nevermore'), /FMTP_RATE/)
    await line.run('send', 'lost@localhost', 'Evermore')
    const told = await line.run('stats')
    assert.match(told, /^refused since \d{4}-/)
    assert.match(told, /^ {9}1 {2}newRecipients +first-time recipients/m)
    assert.match(told, /^ {9}1 {4}edgar@localhost$/m)
    const { limits, heldBack } = JSON.parse(await line.run('stats', '--json'))
    assert.deepEqual(heldBack, [])
    assert.equal(limits.length, 1)
    assert.deepEqual(limits[0].top, [{ who: 'edgar@localhost', refused: 1 }])
    server.child.kill('SIGTERM')
    await server.ended
    assert.match(await line.fail('stats'), /no server runs/)
  })
})
