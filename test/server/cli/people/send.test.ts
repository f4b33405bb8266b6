/** `fmtp send` to all who take part, and how `fmtp list` shows what was forwarded. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

const [edgar, lost, alice] = ['edgar@localhost', 'lost@localhost', 'alice@localhost'] as const

describe('fmtp send --all', function () {
  this.timeout(40_000)

  it('answers everybody, and adds somebody, who is shown what was said before', async () => {
    await using line = new CommandLine()
    const file = line.writeIsland(ownAddress(201))
    const free = readFileSync(file, 'utf8').replaceAll(':3687"', ':0"').replaceAll(':8080"', ':0"')
    writeFileSync(file, free.replace(/originUrl = .*/, ''))
    const people = [edgar, lost, alice].flatMap(address => ['--user', address])
    const server = await line.serve(...people)
    for (const link of linksOf(server.output())) await line.run('login', link)
    const send = async (as: string, ...args: string[]) => {
      const [id = '', ...results] = (await line.run('send', '--as', as, ...args)).trim().split('\n')
      return { id, to: results.map(each => each.trim().split(/ +/)[0]) }
    }

    const top = await send(edgar, lost, 'Once upon a midnight')
    const answer = await send(lost, '--reply', top.id, '--all', 'dreary')
    assert.deepEqual(answer.to, [edgar])
    const added = await send(edgar, alice, 'Nevermore', '--reply', answer.id, '--all')
    assert.deepEqual(added.to, [lost, alice])
    const last = await send(alice, 'Evermore', '--reply', added.id, '--all')
    assert.deepEqual(last.to, [edgar, lost])

    const shown = await line.run('list', '--as', alice, '--kind', 'message')
    const forwarded = ` {2}\\(forwarded by ${edgar}\\)`
    assert.match(shown, new RegExp(` ${edgar} → ${lost} {2}Once upon a midnight${forwarded}\n`))
    assert.match(shown, new RegExp(` ${lost} → ${edgar} {2}dreary${forwarded}\n`))
    assert.match(shown, /Nevermore\n/)
    assert.ok(!(await line.run('list', '--as', lost)).includes('forwarded'))
    assert.match(await line.run('list', '--as', alice, '--limit', '9', '--newest'), /dreary {2}\(forwarded/)

    assert.match(
      await line.fail('send', '--as', lost, '--reply', last.id, '--all', 'a', 'b'),
      /FMTP_BAD_NAME/,
    )
  })

  it('says what is missing', async () => {
    await using line = new CommandLine()
    assert.match(await line.fail('send', lost, 'x', '--all'), /--all needs --reply/)
    assert.match(await line.fail('send', lost, '--all', '--reply', `1.${edgar}`), /the text is missing/)
    assert.match(await line.fail('send', '--all', '--reply', `1.${edgar}`), /usage: fmtp send/)
  })
})
