/** `fmtp post`, and how `fmtp list` shows objects of each kind. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { coreMembers } from '../../../../schemas/kinds/kinds.ts'
import type { FmtpObject } from '../../../../schemas/object.ts'
import { line as show } from '../../../../server/cli/people/list.ts'
import { CommandLine, linksOf } from '../../../support/command.ts'
import { ownAddress } from '../../../support/loopback.ts'

const address = ownAddress(201)

describe('fmtp post', function () {
  this.timeout(30_000)

  it('publishes what list public shows, with its tags, and answers', async () => {
    await using line = new CommandLine()
    const file = line.writeIsland(address)
    const free = readFileSync(file, 'utf8').replaceAll(':3687"', ':0"').replaceAll(':8080"', ':0"')
    writeFileSync(file, free.replace(/originUrl = .*/, ''))
    const server = await line.serve('--user', 'edgar@localhost')
    await line.run('login', linksOf(server.output())[0] ?? '')
    const id = (
      await line.run('post', 'The Raven', 'Once upon a', 'midnight', '--tag', 'poems', '--tag', 'poems')
    ).trim()
    assert.match(id, /^\d+-[a-z2-7]{12}\.edgar@localhost$/)
    const answer = (await line.run('post', '', 'Nevermore', '--reply', id)).trim()
    const diary = (await line.run('post', 'Diary', 'Quiet', '--private')).trim()
    assert.match(await line.fail('post', 'The Raven'), /usage: fmtp post TITLE TEXT/)

    const shown = await line.run('list', 'public')
    assert.match(shown, / edgar@localhost {3}The Raven: Once upon a midnight {2}#poems\n/)
    assert.ok(shown.includes(` edgar@localhost ↳ ${id}  Nevermore\n`), shown)
    assert.ok(!shown.includes('Diary'))
    assert.match(await line.run('list', 'box'), /Diary: Quiet/)
    const thread = await line.run('list', 'thread', '--top', id, '--json')
    assert.deepEqual(
      thread
        .trim()
        .split('\n')
        .map(text => (JSON.parse(text) as FmtpObject).id),
      [id, answer],
    )
    const ids = async (...args: string[]) =>
      (await line.run('list', 'box', '--json', ...args))
        .trim()
        .split('\n')
        .map(text => (JSON.parse(text) as FmtpObject).id)
    assert.deepEqual(await ids('--newest', '--kind', 'post', '--limit', '2'), [diary, answer])
    assert.equal((await ids('--kind', 'post')).length, 3)
    assert.match(await line.fail('list', '--limit', 'x'), /--limit x/)
  })
})

describe('fmtp list', () => {
  const vectors = new URL('../../../../../test/vectors/objects-valid.json', import.meta.url)
  const objects = (JSON.parse(readFileSync(vectors, 'utf8')) as { object?: FmtpObject }[]).flatMap(
    ({ object }) => object ?? [],
  )

  it('shows objects of every kind in one line each', () => {
    for (const object of objects) {
      const text = show(object, false)
      assert.match(text, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\S+@?\S+ [^\n]+\n$/)
      assert.ok(!text.includes('undefined'), text)
    }
    for (const kind of Object.keys(coreMembers)) assert.ok(objects.some(object => object.kind === kind))
  })

  it('shows what a kind is about', () => {
    const [mark, file, report] = ['mark', 'file', 'report'].map(kind =>
      objects.find(object => object.kind === kind && object.deleted !== true),
    )
    assert.match(show(mark ?? {}, false), /\(mark\) \S+edgar@poe\.net: read, kept\n$/)
    assert.match(show(file ?? {}, false), /\(file\) raven\.png, image\/png, 48211 bytes\n$/)
    assert.match(show(report ?? {}, false), /\(report\) delayed lost@lenore\.org FMTP_UNREACHABLE \S+\n$/)
  })

  it('shows kinds that it does not know by their recipients and id', () => {
    const riddle = { ...objects[0], kind: 'riddle', to: ['lost@lenore.org'] }
    assert.match(show(riddle, false), / → lost@lenore\.org {2}\(riddle\) user\.edgar@poe\.net\n$/)
  })

  it('lets nothing speak to the terminal', () => {
    const post = objects.find(object => object.kind === 'post' && object.deleted !== true)
    const text = show({ ...post, title: 'a\u001b[31mb', tags: ['x\u202ey'] }, false)
    assert.ok(!text.includes('\u001b') && !text.includes('\u202e'))
  })
})
