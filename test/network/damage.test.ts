/**
 * Damaged files under a real server: it serves what is intact and tells what is not, or it refuses to start and says what
 * to do; it never gives out other bytes than were sealed. `DAMAGE_ROUNDS=100` flips more bytes, `SEED` the same.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mintId } from '../../objects/id.ts'
import { type Address, parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { Command, ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logIn, type MemoryDevice } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'
import { createRandom } from '../support/random.ts'

const edgar = parseAddress('edgar@localhost')
const lost = parseAddress('lost@localhost')
const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]

[limits]
exempt = ["127.0.0.0/8"]
`
const messages = 400
const advice = /fmtp (restore|verify)/

describe('damaged files', function () {
  this.timeout(600_000)
  let whole: string
  let folder: string
  let device: MemoryDevice
  /** Bodies by id. */
  const sent = new Map<string, string>()

  const start = (within: string, users: readonly Address[] = []): ServerProcess =>
    new ServerProcess({ folder: within, name: 'server', config, users })

  before(async () => {
    whole = mkdtempSync(join(tmpdir(), 'fmtp-whole-'))
    {
      await using server = start(whole, [edgar, lost])
      const { origin, links } = await server.ready()
      const link = links.get(edgar)
      assert.ok(link)
      device = await enrol(origin, link)
      const connection = await logIn(origin, device)
      const publish = async (at: number): Promise<void> => {
        const id = mintId(edgar, Date.now())
        // Nothing that can be packed, so that most of a file is what was said.
        const body = `${at} ${randomBytes(9_000).toString('base64')}`
        const { outcome } = await connection.describe({
          object: { id, kind: 'message', format: 'text/plain', body, to: [lost] },
        })
        assert.equal(outcome, 'stored')
        sent.set(id, body)
      }
      for (let at = 0; at < messages; at += 20)
        await Promise.all(Array.from({ length: 20 }, (_, more) => publish(at + more)))
      await server.end('SIGKILL')
    }
    // Most of the log becomes tables when it is opened; the last few stay in it.
    await using server = start(whole)
    const { origin } = await server.ready()
    const connection = await logIn(origin, device)
    for (let at = 0; at < 10; at++) {
      const id = mintId(edgar, Date.now())
      const object = { id, kind: 'message', format: 'text/plain', body: `late ${at}`, to: [lost] }
      assert.equal((await connection.describe({ object })).outcome, 'stored')
      sent.set(id, `late ${at}`)
    }
    await server.end('SIGKILL')
  })

  after(() => rmSync(whole, { recursive: true, force: true }))

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-damage-'))
    cpSync(whole, folder, { recursive: true, filter: path => !path.endsWith('.sock') })
    writeFileSync(join(folder, 'server.log'), '')
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const filesOf = (pattern: RegExp): string[] =>
    readdirSync(join(folder, 'server.data', 'store'))
      .filter(name => pattern.test(name))
      .map(name => join(folder, 'server.data', 'store', name))
      .sort((left, right) => statSync(right).size - statSync(left).size)

  function flip(file: string, at: number, bits = 1): void {
    const bytes = readFileSync(file)
    bytes.writeUInt8(bytes.readUInt8(at) ^ bits, at)
    writeFileSync(file, bytes)
  }

  const logText = (): string => readFileSync(join(folder, 'server.log'), 'utf8')

  interface Outcome {
    /** False: it refused to start. */
    readonly isServing: boolean
    /** Messages that it did not give. */
    readonly missing: number
    /** Something was logged, or answered as a failure. */
    readonly isTold: boolean
    readonly isAborted?: true
  }

  /**
   * True where LevelDB itself ended the process: it looks at no sums when it merges tables, and at an order of keys that can
   * not be it gives up. It says so.
   */
  async function isAborted(command: Command): Promise<boolean> {
    await waitUntil('it has ended or not', () => !command.isRunning, 300).catch(() => undefined)
    return !command.isRunning && /leveldb.*Assertion/s.test(command.logTail)
  }

  /** Starts the server and reads all that it gives. @throws where anything given is not what was sent */
  async function serve(): Promise<Outcome> {
    await using server = start(folder)
    let origin: string
    try {
      origin = (await server.ready()).origin
    } catch {
      if (await isAborted(server))
        return { isServing: false, missing: sent.size, isTold: true, isAborted: true }
      assert.ok(!server.isRunning, 'it neither serves nor ends')
      assert.match(logText(), advice, 'it says what to do')
      return { isServing: false, missing: sent.size, isTold: true }
    }
    const seen = new Set<string>()
    let hasFailed = false
    try {
      const connection = await logIn(origin, device)
      for (let after: string | undefined; ; ) {
        const list = { of: 'box', limit: 100, ...(after === undefined ? {} : { after }) } as const
        const { answer, describes } = await connection.request({ list })
        for (const { object } of describes) {
          const { id, body } = object as { id: string; body?: string }
          if (body !== undefined && sent.has(id)) assert.equal(body, sent.get(id), `${id} is another`)
          seen.add(id)
        }
        if (answer.outcome !== 'found') hasFailed = true
        after = answer.cursor
        if (answer.complete === true || hasFailed) break
      }
      for (const id of sent.keys()) {
        if (seen.has(id)) continue
        const { answer, describes } = await connection.request({ id })
        const [found] = describes as readonly { object: { body?: string } }[]
        if (answer.outcome === 'found') assert.equal(found?.object.body, sent.get(id))
      }
      connection.close()
    } catch (thrown) {
      if (thrown instanceof assert.AssertionError) throw thrown
      hasFailed = true
    }
    const health = await fetch(`${origin}/healthz`).catch(() => undefined)
    if (await isAborted(server))
      return { isServing: false, missing: sent.size, isTold: true, isAborted: true }
    assert.ok(server.isRunning && health?.status === 200, `it ended, ${server.ending}: ${server.logTail}`)
    await server.end('SIGTERM')
    if (await isAborted(server))
      return { isServing: false, missing: sent.size, isTold: true, isAborted: true }
    const isTold = hasFailed || /"(store|object|index)\.damage|answer\.failed|"failed"/.test(logText())
    const missing = [...sent.keys()].filter(id => !seen.has(id)).length
    return { isServing: true, missing, isTold }
  }

  async function verify(...more: string[]): Promise<{ isGood: boolean; output: string; log: string }> {
    const args = ['verify', '--config', 'server.conf', '--json', ...more]
    await using command = new Command({ folder, name: 'verify', args })
    await waitUntil('it ends', () => !command.isRunning, 60_000)
    await command.closed()
    const log = readFileSync(join(folder, 'verify.log'), 'utf8')
    rmSync(join(folder, 'verify.log'))
    const isGood = command.output !== '' && JSON.parse(command.output).findings === 0
    assert.ok(command.output !== '' || advice.test(log) || /leveldb.*Assertion/s.test(log), log)
    return { isGood, output: command.output, log }
  }

  /** What was lost stays told; all else is mended, and a server serves it. */
  async function assertMended(): Promise<void> {
    const { output, log } = await verify('--repair')
    // LevelDB ends the process where what it reads can not be.
    if (/leveldb.*Assertion/s.test(log)) return assert.match(log, /gave up.*fmtp restore/s)
    assert.notEqual(output, '', log)
    const { codes } = JSON.parse(output) as { codes: Record<string, number> }
    const left = Object.keys(codes).filter(
      code => !['object-aside', 'account-damaged', 'blob-missing', 'entry-missing'].includes(code),
    )
    assert.deepEqual(left, [], output.slice(0, 2000))
    writeFileSync(join(folder, 'server.log'), '')
    const { isServing } = await serve()
    assert.ok(isServing, logText())
  }

  it('is as it should be before', async () => {
    assert.deepEqual(await serve(), { isServing: true, missing: 0, isTold: false })
    assert.ok((await verify()).isGood)
    assert.ok(filesOf(/\.ldb$/).length > 0)
  })

  it('in the log: a flipped byte', async () => {
    const [log = ''] = filesOf(/\.log$/)
    flip(log, Math.floor(statSync(log).size / 2))
    const { isServing, isTold } = await serve()
    assert.ok(isServing && isTold)
    assert.match(logText(), /"store\.damage"/)
    await assertMended()
  })

  it('in the log: its end is cut off, which is the store of a moment before', async () => {
    const [log = ''] = filesOf(/\.log$/)
    truncateSync(log, Math.floor(statSync(log).size / 2))
    const { isServing, missing } = await serve()
    assert.ok(isServing)
    assert.ok(missing > 0 && missing <= 10)
    assert.ok((await verify()).isGood)
  })

  it('in a table: flipped bytes', async () => {
    const [table = ''] = filesOf(/\.ldb$/)
    const { size } = statSync(table)
    for (let at = 1; at < 12; at++) flip(table, Math.floor((size / 12) * at))
    const { isServing, missing, isTold } = await serve()
    if (isServing) {
      const { isGood } = await verify()
      assert.ok(!isGood, `missing ${missing}, told ${isTold}`)
    }
    await assertMended()
  })

  it('in the MANIFEST: a flipped byte', async () => {
    const [manifest = ''] = filesOf(/^MANIFEST/)
    flip(manifest, 20)
    const { isServing, isTold } = await serve()
    assert.ok(!isServing || isTold)
    await assertMended()
  })

  it('without a table: it refuses to start, and the rest is saved', async () => {
    const [table = ''] = filesOf(/\.ldb$/)
    rmSync(table)
    assert.deepEqual((await serve()).isServing, false)
    assert.match((await verify()).log, /verify --repair/)
    await assertMended()
  })

  it('without CURRENT: it refuses to begin anew, and nothing is lost', async () => {
    rmSync(join(folder, 'server.data', 'store', 'CURRENT'))
    assert.deepEqual((await serve()).isServing, false)
    await assertMended()
    const { missing } = await serve()
    assert.equal(missing, 0)
  })

  it('anywhere, by chance', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    const rounds = Number(process.env.DAMAGE_ROUNDS ?? 6)
    process.stdout.write(`      ${rounds} rounds with seed ${seed}\n`)
    const random = createRandom(seed)
    const counts: Record<string, number> = {}
    for (let round = 1; round <= rounds; round++) {
      rmSync(folder, { recursive: true, force: true })
      cpSync(whole, folder, { recursive: true, filter: path => !path.endsWith('.sock') })
      writeFileSync(join(folder, 'server.log'), '')
      const patterns = [/\.ldb$/, /\.ldb$/, /\.ldb$/, /\.log$/, /^MANIFEST/, /^CURRENT/]
      const files = filesOf(patterns[random.below(patterns.length)] ?? /\.ldb$/)
      const file = files[random.below(files.length)] ?? ''
      const flips = 1 + random.below(20)
      for (let at = 0; at < flips; at++) flip(file, random.below(statSync(file).size), 1 << random.below(8))
      const told = `round ${round} of seed ${seed}, ${flips} flips in ${file}`
      try {
        const outcome = await serve()
        const { isGood } = outcome.isServing ? await verify() : { isGood: false }
        const isTold = outcome.isTold || !isGood
        assert.ok(
          outcome.missing === 0 || isTold,
          `${outcome.missing} messages are missing, and nobody says so`,
        )
        const word =
          outcome.isAborted === true
            ? 'aborted'
            : !outcome.isServing
              ? 'refused'
              : isTold
                ? 'told'
                : 'unharmed'
        counts[word] = (counts[word] ?? 0) + 1
      } catch (thrown) {
        throw new Error(`${told}: ${thrown instanceof Error ? thrown.message : thrown}`, { cause: thrown })
      }
    }
    process.stdout.write(`      ${JSON.stringify(counts)}\n`)
  })
})
