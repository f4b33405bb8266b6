/** A server whose store was damaged starts with what is left, and says so. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readDamage } from '../../../objects/store/engine/damage.ts'
import { ServerProcess } from '../../support/fmtp-process.ts'
import { ownAddress } from '../../support/loopback.ts'

const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

describe('damage', () => {
  let folder: string

  const start = (): ServerProcess =>
    new ServerProcess({ folder, name: 'server', config, users: ['a@localhost'] })
  const logText = (): string => readFileSync(join(folder, 'server.log'), 'utf8')

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-damage-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('of the store is told at the start that finds it, and the server starts', async () => {
    {
      await using server = start()
      await server.ready()
      await server.end('SIGKILL')
    }
    const store = join(folder, 'server.data/store')
    const [name = ''] = readdirSync(store).filter(file => file.endsWith('.log'))
    const bytes = readFileSync(join(store, name))
    const middle = Math.floor(bytes.length / 2)
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
    writeFileSync(join(store, name), bytes)
    assert.doesNotMatch(logText(), /store\.damage/)

    await using server = start()
    await server.ready()
    const line =
      logText()
        .split('\n')
        .find(each => each.includes('"store.damage"')) ?? ''
    const { level, lines, advice } = JSON.parse(line)
    assert.equal(level, 50)
    assert.match(lines[0], /^LOG: .*dropping \d+ bytes; Corruption/)
    assert.match(advice, /fmtp restore/)
  })

  it('is not seen where there is none', async () => {
    await using server = start()
    await server.ready()
    await server.end('SIGTERM')
    await using again = start()
    await again.ready()
    assert.doesNotMatch(logText(), /store\.damage/)
  })

  it('is read from the opening before too', async () => {
    writeFileSync(join(folder, 'LOG'), '2026 1 Recovering log #3\n')
    writeFileSync(
      join(folder, 'LOG.old'),
      '2026 1 Compaction error: Corruption: block\n2026 1 Delete type=0 #3\n',
    )
    assert.deepEqual(await readDamage(folder), ['LOG.old: 2026 1 Compaction error: Corruption: block'])
  })
})
