/** The commands of README.md, in their order, against a server of this test's own: what two people read must work. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { islandConfig } from '../server/config/load.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const main = join(root, 'dist/server/main.js')

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
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-readme-'))
  const config = join(folder, 'fmtp.conf')
  const children: ChildProcess[] = []
  const commands = commandsOf(readFileSync(join(root, 'README.md'), 'utf8'))
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }

  function start(args: readonly string[]): { child: ChildProcess; output: () => string } {
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, FMTP_HOME: join(folder, 'people') },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.push(child)
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (text += String(chunk)))
    return { child, output: () => text }
  }

  async function run(args: readonly string[]): Promise<string> {
    const { child, output } = start(args)
    const status = await new Promise(resolve => child.once('close', resolve))
    assert.equal(status, 0, `fmtp ${args.join(' ')}: ${output()}`)
    return output()
  }

  async function until(isTrue: () => boolean, what: string): Promise<void> {
    for (let tries = 0; !isTrue(); tries++) {
      assert.ok(tries < 500, what)
      await sleep(20)
    }
  }

  before(() => {
    const address = '127.77.10.1'
    const own = islandConfig('localhost').replaceAll('127.0.0.1', address)
    writeFileSync(
      config,
      own.replace('[listen]', `[listen]\nhosts = ["${address}"]`) +
        `\n[http]\noriginUrl = "http://${address}:8080"\n`,
    )
  })

  after(async () => {
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(
      children.map(child => child.exitCode ?? new Promise(resolve => child.once('close', resolve))),
    )
    rmSync(folder, { recursive: true })
  })

  it('has the two commands that do all the set-up, in its first screen', () => {
    const screen = readFileSync(join(root, 'README.md'), 'utf8').split('\n').slice(0, 24)
    assert.ok(screen.some(line => line.startsWith('    npm ci && npm start ')))
    assert.ok(screen.some(line => line.startsWith('    npm ci && npm test ')))
  })

  it('names only scripts that package.json has', () => {
    for (const command of commands) {
      const [, script] =
        /npm (?:run )?(?:-s )?(start|test|demo|[a-z]+)\b/.exec(command.replace(/^npm ci(?: && )?/, '')) ?? []
      if (script !== undefined && command.includes('npm ')) assert.ok(script in scripts, command)
    }
  })

  it('leads two people to two clients that talk', async () => {
    const links: string[] = []
    let followed: (() => string) | undefined
    let isSent = false
    for (const command of commands) {
      const [program, name = '', ...words] = wordsOf(command)
      if (program === 'npm' && name === 'start' && words.length > 2) {
        const { output } = start(['serve', '--config', config, ...words.slice(1)])
        await until(() => output().includes('"ready"'), output())
        links.push(...[...output().matchAll(/link +(\S+)/g)].map(([, link]) => link ?? ''))
        assert.equal(links.length, 2)
      } else if (program === 'npx' && words[0] === 'login') {
        for (const link of links)
          assert.match(await run(['login', link]), /^logged in as (edgar|lost)@localhost/)
      } else if (program === 'npx' && words[0] === 'follow') {
        followed = start(words).output
      } else if (program === 'npx') {
        const output = await run(words)
        if (words[0] === 'send') {
          assert.match(output, /lost@localhost {2}stored/)
          isSent = true
        }
        if (words[0] === 'list') assert.match(output, /edgar@localhost → lost@localhost {2}Nevermore/)
        if (words[0] === 'get')
          assert.equal((JSON.parse(output) as { owner: string }).owner, 'edgar@localhost')
      }
    }
    assert.ok(isSent)
    await until(() => followed?.().includes('Nevermore') === true, 'follow shows nothing')
  })

  it('has a server that says when another runs on the same store', async () => {
    const { output } = start(['serve', '--config', config])
    await until(() => output().length > 0, 'no word of a second server on the same store')
    assert.match(output(), /is another server running on it\?/)
  })
})
