/** `fmtp send --attach` and `fmtp get --save` against a real server: the bytes that went come back. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

describe('attachments on the command line', () => {
  it('go with a message, and are saved by who got it', async function () {
    this.timeout(60_000)
    await using command = new CommandLine()
    command.writeIsland(ownAddress(201))
    const server = await command.serve('--user', 'edgar@localhost', '--user', 'lost@localhost')
    for (const link of linksOf(server.output())) await command.run('login', link)
    const bytes = randomBytes(3_000_000)
    writeFileSync(join(command.folder, 'raven.png'), bytes)
    const sent = await command.run(
      'send',
      '--as',
      'edgar@localhost',
      'lost@localhost',
      'Look',
      '--attach',
      'raven.png',
    )
    const id = sent.split('\n')[0] ?? ''
    await command.run('get', '--as', 'lost@localhost', '--id', id, '--save', 'got')
    assert.deepEqual(readdirSync(join(command.folder, 'got')), ['raven.png'])
    assert.deepEqual(readFileSync(join(command.folder, 'got', 'raven.png')), bytes)
    const again = await command.fail('get', '--as', 'lost@localhost', '--id', id, '--save', 'got')
    assert.match(again, /EEXIST/)
  })
})
