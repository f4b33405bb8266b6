/** The lock of a data folder: one process has it, and it is free when that process is gone, however it went. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Level } from 'level'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { isLocked } from '../../../../objects/store/engine/leveldb.ts'
import { keyOf } from '../../../../objects/store/layout.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { assertCode, waitUntil } from '../../../support/conditions.ts'
import { Command, ServerProcess } from '../../../support/fmtp-process.ts'
import { ownAddress } from '../../../support/loopback.ts'

const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

const holder = fileURLToPath(new URL('../../../support/store-holder.js', import.meta.url))

describe('lock', () => {
  let folder: string
  let data: string

  const open = (path = data): Promise<Database> =>
    openDatabase(
      path,
      () => undefined,
      () => 'epoch',
    )
  const start = (): ServerProcess =>
    new ServerProcess({ folder, name: 'server', config, users: ['a@localhost'] })
  const hold = async (): Promise<Command> => {
    const command = new Command({ folder, name: 'holder', main: holder, args: [data] })
    await command.waitFor(output => (output.includes('held') ? true : undefined))
    return command
  }

  async function assertFree(): Promise<void> {
    const lock = new Level(join(data, 'lock'))
    await lock.open()
    await lock.close()
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-lock-'))
    data = join(folder, 'server.data')
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('keeps a second server out of the folder of a process that lost the lock of LevelDB', async () => {
    await using holding = await hold()
    // Without the lock of our own this would get the store: LevelDB's is lost.
    const store = new Level(join(data, 'store'))
    await store.open()
    await store.close()
    await using server = start()
    await waitUntil('it ends', () => !server.isRunning, 10_000)
    assert.match(server.logTail, /server\.data can not be opened: is another server running on it\?/)
    assert.ok(holding.isRunning)
    await assert.rejects(open(), isLocked)
  })

  it('is free at once when its process was killed', async () => {
    await using holding = await hold()
    await holding.end('SIGKILL')
    await using server = start()
    await server.ready()
    await server.end('SIGKILL')
    await using again = start()
    await again.ready()
  })

  it('is let go of when the store can not be opened', async () => {
    mkdirSync(data)
    writeFileSync(join(data, 'store'), 'no folder')
    await assertCode('FMTP_STORE', open)
    await assertFree()
    rmSync(join(data, 'store'))
    mkdirSync(join(data, 'store'))
    writeFileSync(join(data, 'store', 'CURRENT'), 'MANIFEST-000009\n')
    await assertCode('FMTP_STORE', open)
    await assertFree()
    rmSync(join(data, 'store'), { recursive: true })
    {
      await using database = await open()
      await database.commit([{ puts: [[keyOf.meta('version'), '99']] }])
    }
    await assertCode('FMTP_STORE', open)
    await assertFree()
  })

  it('is taken once in a process, by whatever name of the folder', async () => {
    await using _ = await open()
    symlinkSync(data, join(folder, 'other'))
    await assertCode('FMTP_STORE', () => open(join(folder, 'other')))
    rmSync(data, { recursive: true })
  })

  it('is given to one of two that open at once', async () => {
    const results = await Promise.allSettled([open(), open()])
    const opened = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    assert.equal(opened.length, 1)
    await opened[0]?.[Symbol.asyncDispose]()
  })

  it('is mended where a power cut left half a file', async () => {
    {
      await using _ = await open()
    }
    for (const name of readdirSync(join(data, 'lock'))) writeFileSync(join(data, 'lock', name), '')
    await using _ = await open()
  })
})
