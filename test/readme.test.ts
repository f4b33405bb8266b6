/** The commands of README.md, in their order, against a server of this test's own: what two people read must work. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandLine, linksOf, root, until } from './support/command.ts'
import { ownAddress } from './support/loopback.ts'

/** The indented lines that are commands, without their comments. */
function commandsOf(text: string): string[] {
  return text
    .split('\n')
    .filter(line => /^ {4}np[mx] /.test(line))
    .map(line => line.replace(/ {2,}#.*$/, '').trim())
}

/** Words of a command; double quotes hold one together. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}

describe('README.md', function () {
  this.timeout(30_000)
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const commands = commandsOf(text)

  it('has the two commands that do all the set-up, in its first screen', () => {
    const screen = text.split('\n').slice(0, 24)
    assert.ok(screen.some(line => line.startsWith('    npm ci && npm start ')))
    assert.ok(screen.some(line => line.startsWith('    npm ci && npm test ')))
  })

  it('names only scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const named = commands.flatMap(command =>
      [...command.matchAll(/npm (?:run )?(?!ci\b)([a-z]+)/g)].map(([, name]) => name ?? ''),
    )
    assert.deepEqual(
      named.filter(name => !Object.hasOwn(scripts, name)),
      [],
    )
    assert.ok(named.includes('demo'))
  })

  it('leads two people to two clients that talk', async () => {
    await using line = new CommandLine()
    line.writeIsland(ownAddress(201))
    let links: string[] = []
    let followed = (): string => ''
    const done = new Set<string>()
    for (const command of commands) {
      const [program, name = '', ...words] = wordsOf(command)
      if (program === 'npm' && name === 'start' && words.length > 2) {
        links = linksOf((await line.serve(...words.slice(1))).output())
        assert.equal(links.length, 2)
      }
      if (program !== 'npx') continue
      const [verb = '', ...rest] = words
      done.add(verb)
      if (verb === 'login') {
        for (const link of links)
          assert.match(await line.run('login', link), /^logged in as (edgar|lost)@localhost/)
      } else if (verb === 'follow') {
        followed = line.start('follow', ...rest).output
      } else {
        const output = await line.run(verb, ...rest)
        if (verb === 'send') assert.match(output, /lost@localhost {2}stored/)
        if (verb === 'list') assert.match(output, /edgar@localhost → lost@localhost {2}Nevermore/)
        if (verb === 'get') assert.equal((JSON.parse(output) as { owner: string }).owner, 'edgar@localhost')
      }
    }
    assert.deepEqual([...done].sort(), ['follow', 'get', 'help', 'list', 'login', 'send'])
    await until(
      () => followed().includes('Nevermore'),
      () => `follow shows: ${followed()}`,
    )
  })
})
