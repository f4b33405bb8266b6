/** The runner of the tests itself, on small checkouts: what it sums up, what it fails for, and what it runs beside what. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { listTests } from './runner/files.ts'
import { alone, heavy } from './runner/plan.ts'

const runner = fileURLToPath(new URL('run.js', import.meta.url))
const reporter = fileURLToPath(new URL('support/reporter.js', import.meta.url))
const startsServers = "import 'node:child_process'\n"
const passing = "it('passes', () => undefined)\n"

describe('npm test', function () {
  // It starts processes that start processes, beside other tests.
  this.timeout(60_000)
  let root: string

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'fmtp-runner-'))
    writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(root, '.mocharc.json'), '{ "timeout": 2000, "forbidOnly": true }')
  })

  afterEach(() => rmSync(root, { recursive: true, force: true }))

  function put(test: string, body: string, source = ''): void {
    for (const [file, content] of [
      [test, source],
      [join('dist', test.replace(/\.ts$/, '.js')), body],
    ] as const) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), content)
    }
  }

  /** A test that notes when it runs, for so long. */
  function putTimed(test: string, ms: number): void {
    const log = JSON.stringify(join(root, 'log'))
    put(
      test,
      `import { appendFileSync } from 'node:fs'
       it('takes a while', async () => {
         appendFileSync(${log}, 'begins ${test}\\n')
         await new Promise(resolve => setTimeout(resolve, ${ms}))
         appendFileSync(${log}, 'ends ${test}\\n')
       })`,
      startsServers,
    )
  }

  async function run(...args: readonly string[]): Promise<{ status: number | null; said: string }> {
    const all = [runner, '--reporter', reporter, ...args]
    const child = spawn(process.execPath, all, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    return { status: child.exitCode, said: `${error}${out}` }
  }

  const lastLine = (said: string): string | undefined => said.trimEnd().split('\n').at(-1)

  it('sums up all files', async () => {
    put('test/wire/a.test.ts', passing)
    put('test/network/b.test.ts', `${passing}it('passes too', () => undefined)`, startsServers)
    put('test/network/sync.test.ts', passing, startsServers)
    const { status, said } = await run()
    assert.equal(lastLine(said), '4 passed, 0 failed')
    assert.equal(status, 0)
  })

  it('runs no compiled test whose source has gone', async () => {
    put('test/a.test.ts', passing)
    put('test/b.test.ts', "it('fails', () => { throw new Error('gone') })")
    rmSync(join(root, 'test/b.test.ts'))
    assert.equal(lastLine((await run()).said), '1 passed, 0 failed')
  })

  const bad: readonly (readonly [what: string, body: string, named: RegExp, sum: string])[] = [
    ['fails', "it('is wrong', () => { throw new Error('so wrong') })", /so wrong/, '1 passed, 1 failed'],
    [
      'has a hook that fails',
      `before(() => { throw new Error('no') });${passing}`,
      /no$/m,
      '1 passed, 1 failed',
    ],
    ['can not be loaded', "throw new Error('no such thing')", /no such thing/, '1 passed, 1 failed'],
    [
      'hangs',
      "it('hangs', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))",
      /bad\.test\.ts.*it hangs/s,
      '1 passed, 1 failed',
    ],
    [
      'ends its process',
      "it('dies', () => process.exit(0))",
      /bad.*its process ended/s,
      '1 passed, 1 failed',
    ],
    [
      'is killed',
      "it('dies', () => process.kill(process.pid, 'SIGKILL'))",
      /signal SIGKILL/,
      '1 passed, 1 failed',
    ],
    ['has no tests', '', /it has no tests/, '1 passed, 1 failed'],
    ['is for itself alone', "it.only('is', () => undefined)", /only/, '1 passed, 1 failed'],
    ['keeps its process alive', `${passing}setInterval(() => undefined, 100)`, /alive/, '2 passed, 1 failed'],
  ]
  for (const [what, body, named, sum] of bad) {
    it(`fails where a file ${what}, names it, and runs the others`, async () => {
      put('test/bad.test.ts', body)
      put('test/network/good.test.ts', passing, startsServers)
      // Time enough for a file that is well, however busy the machine is.
      const { status, said } = await run('--file-limit', /hangs|alive/.test(what) ? '4' : '60')
      assert.equal(status, 1, said)
      assert.match(said, named)
      assert.equal(lastLine(said), sum)
    })
  }

  it('runs the other units in another process where one ends its own', async () => {
    put('test/a.test.ts', "it('dies', () => process.exit(0))")
    put('test/b.test.ts', passing)
    const { status, said } = await run('--jobs', '1')
    assert.deepEqual([status, lastLine(said)], [1, '1 passed, 1 failed'], said)
  })

  it('runs what is named: a file, a folder, a pattern, or tests by their names', async () => {
    put('test/wire/a.test.ts', passing)
    put('test/wire/ab.test.ts', `${passing}it('is other', () => undefined)`)
    put('test/network/b.test.ts', passing.repeat(4), startsServers)
    for (const [args, count] of [
      [['test/wire/a.test.ts'], 1],
      [['dist/test/network/b.test.js'], 4],
      [['test/wire'], 3],
      [['test/wire/a*.test.ts'], 3],
      [['test/**/*b.test.ts'], 6],
      [['-g', 'other$'], 1],
      [['-f', 'other', '-i'], 6],
    ] as const) {
      const { said } = await run(...args)
      assert.equal(lastLine(said), `${count} passed, 0 failed`, `${args.join(' ')}: ${said}`)
    }
  })

  it('misses a test that is not compiled', async () => {
    put('test/a.test.ts', passing)
    rmSync(join(root, 'dist/test/a.test.js'))
    const { status, said } = await run()
    assert.equal(status, 1)
    assert.match(said, /test\/a\.test\.ts is not compiled/)
  })

  it('gives each process a temporary folder, of which nothing is left', async () => {
    const log = join(root, 'log')
    const leaving = `import { appendFileSync, mkdtempSync } from 'node:fs'
       import { tmpdir } from 'node:os'
       it('leaves a folder', () => appendFileSync(${JSON.stringify(log)}, mkdtempSync(tmpdir() + '/left-') + '\\n'))`
    put('test/a.test.ts', leaving, startsServers)
    put('test/b.test.ts', leaving, startsServers)
    const { status, said } = await run()
    assert.equal(status, 0, said)
    const left = readFileSync(log, 'utf8').trimEnd().split('\n')
    assert.equal(new Set(left.map(path => dirname(path))).size, 2)
    assert.deepEqual(
      left.filter(path => existsSync(path)),
      [],
    )
  })

  it('knows by name only tests that there are', () => {
    const tests = listTests(process.cwd())
    assert.deepEqual(
      [...Object.keys(alone), ...heavy].filter(name => !tests.includes(name)),
      [],
    )
  })

  it('begins with the heaviest', async () => {
    const [first = '', second = ''] = heavy
    for (const test of ['test/a.test.ts', second, first]) putTimed(test, 10)
    assert.equal((await run('--jobs', '1')).status, 0)
    const began = readFileSync(join(root, 'log'), 'utf8').match(/(?<=begins )\S+/g)
    assert.deepEqual(began, [first, second, 'test/a.test.ts'])
  })

  it('fails where a test is skipped and none may be', async () => {
    put('test/a.test.ts', `${passing}it.skip('is skipped', () => undefined)`)
    const { status, said } = await run('--forbid-pending')
    assert.deepEqual([status, lastLine(said)], [1, '1 passed, 1 failed'])
  })

  it('fails where nothing is tested', async () => {
    put('test/a.test.ts', passing)
    const { status, said } = await run('--grep', 'nobody has this name')
    assert.equal(status, 1)
    assert.match(said, /nothing was tested/)
    assert.equal((await run('test/nobody.test.ts')).status, 1)
  })

  it('runs files side by side, the alone ones beside nothing and last', async () => {
    const [first = '', second = ''] = Object.keys(alone)
    putTimed('test/network/x.test.ts', 1500)
    putTimed('test/network/y.test.ts', 1500)
    putTimed(first, 200)
    putTimed(second, 200)
    const { status } = await run('--jobs', '2')
    assert.equal(status, 0)
    const log = readFileSync(join(root, 'log'), 'utf8').trimEnd().split('\n')
    assert.match(log.slice(0, 2).join(), /^begins \S+[xy]\S+,begins \S+[xy]/)
    assert.deepEqual(
      log.slice(4).map(line => line.split(' ')[0]),
      ['begins', 'ends', 'begins', 'ends'],
    )
    assert.deepEqual(
      log.slice(4).filter(line => !line.endsWith(first) && !line.endsWith(second)),
      [],
    )
  })

  it('ends all that it started when it is ended', async () => {
    const alive = join(root, 'alive')
    put(
      'test/a.test.ts',
      `import { spawn } from 'node:child_process'
       import { writeFileSync } from 'node:fs'
       it('starts a process', async () => {
         const child = spawn('sleep', ['60'])
         writeFileSync(${JSON.stringify(alive)}, String(child.pid))
         await new Promise(resolve => setTimeout(resolve, 1900))
       })`,
    )
    const child = spawn(process.execPath, [runner], { cwd: root, stdio: 'ignore' })
    while (!existsSync(alive)) await sleep(20)
    await sleep(50)
    child.kill('SIGTERM')
    await once(child, 'close')
    const pid = Number(readFileSync(alive, 'utf8'))
    // Ended by force, it is gone as soon as the kernel has had its turn.
    for (let tries = 0; tries < 100 && existsSync(`/proc/${pid}/fd/0`); tries++) await sleep(20)
    assert.equal(existsSync(`/proc/${pid}/fd/0`), false)
  })
})
