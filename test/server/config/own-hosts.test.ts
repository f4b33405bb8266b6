/** Hosts that a WebSocket may be bound to (protocol §5.3), and the links that are printed: one and the same. */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { isLoopback } from '../../../routing/ip.ts'
import { originOf, ownHosts } from '../../../server/config/own-hosts.ts'
import { webSocketUrl } from '../../../server/transports/dial.ts'
import { CommandLine, linksOf } from '../../support/command.ts'
import { parseConfig } from '../../support/config.ts'
import { ownAddress } from '../../support/loopback.ts'

describe('own hosts', () => {
  const poe = [{ name: 'poe.net' }]
  const island = [{ name: 'localhost' }]
  const tls = { certificate: 'cert.pem', key: 'key.pem' }
  const table: readonly (readonly [what: string, config: object, origin: string])[] = [
    ['an island', { domain: island }, 'http://localhost:8080'],
    [
      'an island elsewhere on loopback',
      { domain: island, listen: { http: ['127.77.31.1:0'] } },
      'http://127.77.31.1:8080',
    ],
    ['an island on IPv6', { domain: island, listen: { http: ['[::1]:0'] } }, 'http://localhost:8080'],
    ['an origin', { domain: poe, http: { originUrl: 'https://chat.poe.net' } }, 'https://chat.poe.net'],
    [
      'an origin with a port',
      { domain: poe, http: { originUrl: 'http://127.0.0.1:81' } },
      'http://127.0.0.1:81',
    ],
    ['an origin on IPv6', { domain: poe, http: { originUrl: 'http://[::1]:81' } }, 'http://[::1]:81'],
    ['plain HTTP on loopback', { domain: poe }, 'http://127.0.0.1:8080'],
    ['plain HTTP on IPv6', { domain: poe, listen: { http: ['[0:0::1]:0'] } }, 'http://[::1]:8080'],
    ['a host of its own', { domain: poe, listen: { hosts: ['chat.poe.net'] } }, 'http://chat.poe.net:8080'],
    [
      'an address of its own',
      { domain: poe, listen: { hosts: ['2001:DB8::0:1'] } },
      'http://[2001:db8::1]:8080',
    ],
    [
      'TLS on all addresses',
      { domain: poe, http: tls, listen: { http: ['0.0.0.0:0'] } },
      'https://poe.net:8080',
    ],
    [
      'a proxy in front',
      { domain: poe, http: { behindProxy: true }, listen: { http: ['0.0.0.0:0'] } },
      'https://poe.net',
    ],
  ]
  for (const [what, config, origin] of table) {
    it(`with ${what} have that of the links`, () => {
      const parsed = { ...parseConfig(config), file: '' }
      assert.equal(originOf(parsed, 8080), origin)
      assert.ok(ownHosts(parsed).includes(new URL(origin).hostname), ownHosts(parsed).join())
    })
  }

  it('have no address of loopback where others can come', () => {
    for (const http of [{ behindProxy: true }, tls]) {
      const parsed = { ...parseConfig({ domain: poe, http }), file: '' }
      assert.deepEqual(ownHosts(parsed).filter(isLoopback), [])
    }
  })

  it('stand in a hello as in the URL that is dialled, IPv6 in brackets', () => {
    assert.equal(webSocketUrl('0:0:0:0:0:0:0:1', 3687).hostname, '[::1]')
    assert.equal(webSocketUrl('127.0.0.1', 443).hostname, '127.0.0.1')
    assert.equal(webSocketUrl('chat.poe.net', 443).hostname, 'chat.poe.net')
  })

  it('make a printed link work that names only http.originUrl', async function () {
    this.timeout(20_000)
    await using line = new CommandLine()
    const address = ownAddress(201)
    const file = line.writeIsland(address)
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^hosts = .*\n/m, ''))
    const server = await line.serve('--user', 'edgar@localhost')
    const [link = ''] = linksOf(server.output())
    assert.match(await line.run('login', link), /logged in as edgar@localhost/)
  })
})
