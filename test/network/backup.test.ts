/** Backup and restore with real servers: nothing acknowledged is missing, and nothing damaged is ever taken. */
import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { type Address, parseAddress } from '../../schemas/text/names.ts'
import { runAction } from '../../server/control/client.ts'
import type { ActionPorts } from '../../server/operator/action.ts'
import { waitUntil } from '../support/conditions.ts'
import { Command, ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logIn, type MemoryDevice } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'

const edgar = parseAddress('edgar@localhost')
const lost = parseAddress('lost@localhost')
const config = `# a comment that stays
[[domain]]
name = "localhost"

[listen]
tcp = ["${ownAddress(201)}:0"]
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]

[limits]
exempt = ["127.0.0.0/8"]
`

describe('backup', () => {
  let folder: string
  let file: string
  let target: string

  const start = (within = folder, users: readonly Address[] = [edgar, lost]): ServerProcess =>
    new ServerProcess({ folder: within, name: 'server', config, users })

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-backup-'))
    file = join(folder, 'server.conf')
    target = join(folder, 'saved')
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** Runs a command to its end: exit status and all that it said. */
  async function run(...args: string[]): Promise<{ isOk: boolean; output: string; log: string }> {
    const name = `run${readdirSync(folder).length}`
    await using command = new Command({ folder, name, args })
    await waitUntil('it ends', () => !command.isRunning, 15_000)
    await command.closed()
    const log = readFileSync(join(folder, `${name}.log`), 'utf8')
    rmSync(join(folder, `${name}.log`))
    return { isOk: log === '', output: command.output, log }
  }

  async function backUp(...more: string[]): Promise<string> {
    const { isOk, output, log } = await run('backup', 'saved', '--config', 'server.conf', ...more)
    assert.ok(isOk, log)
    return output
  }

  async function assertRefused(args: readonly string[], expected: RegExp): Promise<void> {
    const { isOk, log } = await run(...args)
    assert.ok(!isOk)
    assert.match(log, expected)
  }

  /** A server that was started once, and stopped, with some rows more. */
  async function makeData(rows = 0): Promise<void> {
    {
      await using server = start()
      await server.ready()
      await server.end('SIGTERM')
    }
    await using database = await openDatabase(
      join(folder, 'server.data'),
      () => undefined,
      () => '',
    )
    const writes = Array.from({ length: rows }, (_, at) => ({
      puts: [[`peer p${at}.example`, 'x'.repeat(200)] as const],
    }))
    await database.commit(writes)
  }

  async function describeOne(connection: Connection): Promise<string | undefined> {
    const id = mintId(edgar, Date.now())
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [lost] }
    const answer = await connection.describe({ object }).catch(() => undefined)
    return answer?.outcome === 'stored' ? id : undefined
  }

  async function readBox(connection: Connection): Promise<{ ids: Set<string>; cursor: string }> {
    const ids = new Set<string>()
    let after: string | undefined
    for (;;) {
      const { answer, describes } = await connection.request({
        list: { of: 'box', limit: 500, ...(after === undefined ? {} : { after }) },
      })
      for (const { object } of describes) ids.add((object as { id: string }).id)
      after = answer.cursor
      if (answer.complete === true) return { ids, cursor: after ?? '' }
    }
  }

  it('of a server to which clients write has all that was acknowledged before it, and serves elsewhere', async () => {
    const acknowledged: string[] = []
    let before: string[] = []
    const cursors: string[] = []
    let device: MemoryDevice | undefined
    {
      await using server = start()
      const { origin, links } = await server.ready()
      const link = links.get(edgar)
      assert.ok(link)
      device = await enrol(origin, link)
      const connection = await logIn(origin, device)
      let isWriting = true
      const write = async (): Promise<void> => {
        while (isWriting) {
          const id = await describeOne(connection)
          if (id !== undefined) acknowledged.push(id)
        }
      }
      const writing = Promise.all(Array.from({ length: 8 }, write))
      await waitUntil('some are acknowledged', () => acknowledged.length > 300)
      before = [...acknowledged]
      cursors.push((await readBox(connection)).cursor)
      const { records, files } = JSON.parse(await backUp('--json'))
      assert.ok(records > 1000)
      assert.ok(files >= 5)
      await waitUntil('it went on', () => acknowledged.length > before.length)
      isWriting = false
      await writing
      cursors.push((await readBox(connection)).cursor)
      connection.close()
      await server.end('SIGKILL')
    }
    const elsewhere = join(folder, 'elsewhere')
    mkdirSync(elsewhere)
    const { isOk, output, log } = await run('restore', 'saved', '--config', join(elsewhere, 'server.conf'))
    assert.ok(isOk, log)
    assert.match(output, /^restored [\d,]+ records of .* start it with: fmtp serve --config/)
    assert.equal(readFileSync(join(elsewhere, 'server.conf'), 'utf8'), readFileSync(file, 'utf8'))

    await using server = start(elsewhere)
    const { origin } = await server.ready()
    const connection = await logIn(origin, device)
    const { ids } = await readBox(connection)
    assert.deepEqual(
      before.filter(id => !ids.has(id)),
      [],
    )
    assert.ok(await describeOne(connection))
    // Also one of what is here: what followed it may be another.
    for (const after of cursors) {
      const { answer } = await connection.request({ list: { of: 'box', after } })
      assert.equal(answer.code, 'FMTP_CURSOR_LOST')
    }
    connection.close()
  })

  it('is for its owner alone, and so is what is restored', async () => {
    await makeData()
    mkdirSync(join(folder, 'server.data/blobs/ab'), { recursive: true, mode: 0o755 })
    writeFileSync(join(folder, 'server.data/blobs/ab/abcd'), 'raven', { mode: 0o644 })
    assert.match(await backUp(), /^saved [\d,]+ records in \d+ files, [\d,]+ KiB, to .*saved\n$/)
    assert.deepEqual(
      readdirSync(target).sort(),
      ['blobs', 'fmtp.conf', 'keys', 'manifest.json', 'store', 'tls'].sort(),
    )
    assertModes(target)
    const { isOk, log } = await run('restore', 'saved', '--config', 'new.conf', '--data', 'new.data')
    assert.ok(isOk, log)
    assertModes(join(folder, 'new.data'))
    assert.equal(statSync(join(folder, 'new.conf')).mode & 0o777, 0o600)
    assert.equal(readFileSync(join(folder, 'new.data/blobs/ab/abcd'), 'utf8'), 'raven')
    assert.match(
      readFileSync(join(folder, 'new.conf'), 'utf8'),
      /^data = ".*new\.data"\n# a comment that stays/,
    )
    const keys = (data: string): string[] => readdirSync(join(folder, data, 'keys/localhost'))
    assert.deepEqual(keys('new.data'), keys('server.data'))
  })

  function assertModes(top: string): void {
    assert.equal(statSync(top).mode & 0o777, 0o700, top)
    for (const entry of readdirSync(top, { recursive: true, withFileTypes: true })) {
      // What LevelDB made itself is behind the folder.
      if (entry.isFile() && /(lock|data\/store)$/.test(entry.parentPath)) continue
      const path = join(entry.parentPath, entry.name)
      assert.equal(statSync(path).mode & 0o777, entry.isFile() ? 0o600 : 0o700, path)
    }
  }

  it('overwrites nothing', async () => {
    await makeData()
    mkdirSync(target)
    await assertRefused(
      ['backup', 'saved', '--config', 'server.conf'],
      /saved exists, and a backup never overwrites/,
    )
    rmSync(target, { recursive: true })
    await assertRefused(['backup', 'server.data/saved', '--config', 'server.conf'], /is in the data folder/)
    await assertRefused(['backup', 'saved', '--config', 'none.conf'], /none\.conf: no such file/)
    mkdirSync(`${target}.partial`)
    writeFileSync(`${target}.partial/letters.txt`, 'precious')
    await assertRefused(['backup', 'saved', '--config', 'server.conf'], /holds letters\.txt.*move it away/)
    assert.ok(existsSync(`${target}.partial/letters.txt`))
  })

  it('is restored where nothing is, an empty folder aside', async () => {
    await makeData()
    await backUp()
    await assertRefused(['restore', 'saved', '--config', 'server.conf'], /server\.conf exists.*Move it away/s)
    await assertRefused(['restore', 'saved', '--config', 'new.conf'], /server\.data exists.*Move it away/s)
    assert.equal(existsSync(join(folder, 'new.conf')), false)
    await assertRefused(['restore', 'nothing', '--config', 'new.conf'], /nothing is no backup/)
    mkdirSync(join(folder, 'new.data'))
    const { isOk, log } = await run('restore', 'saved', '--config', 'new.conf', '--data', 'new.data')
    assert.ok(isOk, log)
    assert.deepEqual(
      readdirSync(folder).filter(name => name.includes('.partial')),
      [],
    )
  })

  it('is refused when it is damaged, with the name of what is', async () => {
    await makeData()
    await backUp()
    const [key = ''] = readdirSync(join(target, 'keys/localhost'))
    const [store = ''] = readdirSync(join(target, 'store')).filter(name => name.endsWith('.log'))
    for (const path of [
      `store/${store}`,
      `keys/localhost/${key}`,
      'fmtp.conf',
      'tls/cert.pem',
      'manifest.json',
    ]) {
      const copy = join(folder, 'copy')
      cpSync(target, copy, { recursive: true })
      const bytes = readFileSync(join(copy, path))
      const middle = Math.floor(bytes.length / 2)
      bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
      writeFileSync(join(copy, path), bytes)
      const expected = new RegExp(`copy is damaged: ${path} is.*\\(FMTP_STORE\\)`, 's')
      await assertRefused(['restore', 'copy', '--config', 'new.conf', '--data', 'new.data'], expected)
      rmSync(join(copy, path))
      if (path !== 'manifest.json')
        await assertRefused(['restore', 'copy', '--config', 'new.conf', '--data', 'new.data'], /is missing/)
      assert.deepEqual(
        readdirSync(folder).filter(name => name.startsWith('new')),
        [],
      )
      rmSync(copy, { recursive: true })
    }
  })

  it('leaves nothing when the command that asked for it is stopped', async () => {
    await makeData(100_000)
    await using server = start()
    await server.ready()
    const left = (): boolean => existsSync(target) || existsSync(`${target}.partial`)
    await using command = new Command({
      folder,
      name: 'stopped',
      args: ['backup', 'saved', '--config', file],
    })
    await waitUntil('it works', () => existsSync(`${target}.partial/store`))
    process.kill(command.pid, 'SIGINT')
    await waitUntil('it ends', () => !command.isRunning)
    assert.match(command.logTail, /stopped before it was done; nothing is left of it/)
    assert.equal(left(), false)

    await using killed = new Command({ folder, name: 'killed', args: ['backup', 'saved', '--config', file] })
    await waitUntil('it works', () => existsSync(`${target}.partial/store`))
    await killed.end('SIGKILL')
    await waitUntil('the server tidies up', () => !left())
    assert.ok(server.isRunning)

    const controller = new AbortController()
    const ports: ActionPorts = {
      onProgress: () => controller.abort(new Error('enough')),
      signal: controller.signal,
    }
    await assert.rejects(runAction(file, 'backup', { folder: target }, ports), /enough/)
    assert.equal(left(), false)
    assert.match(await backUp(), /^saved 100,\d+ records/)
  })

  it('says that it replaces what a killed one left', async () => {
    await makeData(100_000)
    await using command = new Command({ folder, name: 'killed', args: ['backup', 'saved', '--config', file] })
    await waitUntil('it works', () => existsSync(`${target}.partial/store`))
    await command.end('SIGKILL')
    assert.equal(existsSync(target), false)
    assert.ok(existsSync(`${target}.partial`))
    assert.match(await backUp(), /An unfinished backup.* was replaced/)
    assert.equal(existsSync(`${target}.partial`), false)
  })

  it('writes only where its manifest may', async () => {
    await makeData()
    await backUp()
    const manifest = JSON.parse(readFileSync(join(target, 'manifest.json'), 'utf8'))
    const { formatManifest } = await import('../../server/backup/manifest.ts')
    const { sha256: _, format: __, ...fields } = manifest
    writeFileSync(join(folder, 'evil'), 'evil')
    const files = [...fields.files, { path: 'keys/../../evil', bytes: 4, sha256: '' }]
    writeFileSync(join(target, 'manifest.json'), formatManifest({ ...fields, files }))
    await assertRefused(
      ['restore', 'saved', '--config', 'new.conf', '--data', 'new.data'],
      /keys\/\.\.\/\.\.\/evil is no file of a data folder/,
    )
  })
})
