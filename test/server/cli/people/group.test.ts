/** `fmtp group`, and `fmtp post` to a forum. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

describe('fmtp group', function () {
  this.timeout(30_000)

  it('makes forums and rooms, and says who belongs to them', async () => {
    await using line = new CommandLine()
    const file = line.writeIsland(ownAddress(201))
    const free = readFileSync(file, 'utf8').replaceAll(':3687"', ':0"').replaceAll(':8080"', ':0"')
    writeFileSync(file, free.replace(/originUrl = .*/, ''))
    const server = await line.serve('--user', 'edgar@localhost')
    await line.run('login', linksOf(server.output())[0] ?? '')
    const forum = 'ravens@localhost  forum  Ravens\n  moderator  edgar@localhost\n'
    assert.equal(await line.run('group', 'make', 'ravens@localhost', '--title', 'Ravens'), forum)
    assert.equal(await line.run('group', 'show', 'ravens@localhost'), forum)
    const lines = await line.run('post', 'Raven', 'Once', '--group', 'ravens@localhost')
    const [id = '', result] = lines.split('\n')
    assert.match(String(result), /^ {2}ravens@localhost {2}stored$/)
    const [, comment] = (await line.run('post', '', 'Nevermore', '--reply', id)).split('\n')
    assert.match(String(comment), /^ {2}ravens@localhost {2}stored$/, 'in the same forum')
    const shown = await line.run('list', 'public', '--owner', 'ravens@localhost')
    assert.match(shown, / edgar@localhost → ravens@localhost {2}Raven: Once\n/)

    await line.run('group', 'make', 'attic@localhost', '--private', '--member', 'ada@lenore.org')
    const added = await line.run('group', 'add', 'attic@localhost', 'lost@lenore.org', 'ada@lenore.org')
    assert.match(
      added,
      /^attic@localhost {2}room\n {2}moderator .*\n {2}member {5}ada@.*\n {2}member {5}lost@.*\n$/,
    )
    const removed = await line.run('group', 'remove', 'attic@localhost', 'ada@lenore.org')
    assert.ok(!removed.includes('ada@lenore.org') && removed.includes('lost@lenore.org'), removed)
    assert.match(await line.fail('group', 'add', 'attic@localhost'), /usage: fmtp group/)
    assert.match(await line.fail('group', 'make', 'edgar@localhost'), /FMTP_BAD_NAME|not an address/)
    assert.match(await line.fail('post', 'Raven', 'Once', '--group', 'attic@localhost'), /refused/)
  })
})
