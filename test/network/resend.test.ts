/** A client in doubt sends its draft again; the id that it minted makes that harmless. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mintId } from '../../objects/id.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { ServerProcess } from '../support/fmtp-process.ts'
import { logInByToken } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'

const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

describe('a draft that is sent again', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-resend-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('stays one version, also while the first is being written', async () => {
    const edgar = parseAddress('edgar@localhost')
    await using server = new ServerProcess({
      folder,
      name: 'server',
      config,
      users: [edgar, 'lost@localhost'],
    })
    const { origin, links } = await server.ready()
    const link = links.get(edgar)
    assert.ok(link)
    const connection = await logInByToken(origin, link)
    for (let round = 0; round < 20; round++) {
      const object = {
        body: 'nevermore',
        format: 'text/plain',
        id: mintId(edgar, Date.now()),
        kind: 'message',
        to: ['lost@localhost'],
      }
      const answers = await Promise.all(Array.from({ length: 8 }, () => connection.describe({ object })))
      assert.deepEqual(new Set(answers.map(({ version }) => version)).size, 1, JSON.stringify(answers))
      const outcomes = answers.map(({ outcome }) => outcome).sort()
      assert.deepEqual(outcomes, [...Array(7).fill('duplicate'), 'stored'])
    }
    connection.close()
  })
})
