/** A real server starts on a store of version 1, which was backed up before by the same version of the server. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mintId } from '../../objects/id.ts'
import { privatePem } from '../../objects/seals/keys.ts'
import { believeStored } from '../../objects/seals/seal.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import { Command, ServerProcess } from '../support/fmtp-process.ts'
import { handDomain, handMessage, handProfile, handUser } from '../support/hand.ts'
import { enrol, logIn } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'
import { OldStore } from '../support/version-1.ts'

const users = [parseAddress('edgar@localhost'), parseAddress('lost@localhost')] as const
const [edgar, lost] = users
const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

describe('a server on a store of version 1', function () {
  this.timeout(60_000)
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-upgraded-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** What stands in both boxes, in order. */
  async function writeOld(data: string): Promise<string[]> {
    const old = new OldStore()
    const domain = handDomain('localhost')
    const people = users.map(address => handUser(domain, address, Date.now() - 60_000))
    const boxes = users.map(address => ({ address }))
    const ids: string[] = []
    for (const person of people) {
      const record = { createdAtMs: Date.now() - 60_000, homeKey: privatePem(person.pair) }
      old.rows.set(`account ${person.address}`, JSON.stringify(record))
      const profile = handProfile(person, { view: 'owner' } as Partial<FmtpObject>)
      old.commit({ verified: believeStored(profile) })
      for (let count = 0; count < 300; count++) {
        const message = handMessage(person, users)
        old.commit({ verified: believeStored(message), boxes })
        ids.push(message.id)
      }
    }
    mkdirSync(data)
    await old.write(data)
    return ids
  }

  it('has all that was there, and goes on', async () => {
    const ids = await writeOld(join(folder, 'server.data'))
    writeFileSync(join(folder, 'server.conf'), `data = "server.data"\n${config}`)
    assert.match(await run('backup', 'saved', '--config', 'server.conf'), /^saved /)
    const manifest = JSON.parse(readFileSync(join(folder, 'saved', 'manifest.json'), 'utf8'))
    assert.equal(manifest.storeVersion, '1')
    assert.deepEqual(await serve(folder, 'server'), ids)
    // The backup is still of the old version, and the next server upgrades what is restored of it.
    assert.match(await run('restore', 'saved', '--config', 'back.conf', '--data', 'back.data'), /^restored /)
    rmSync(join(folder, 'back.conf'))
    assert.deepEqual(await serve(folder, 'back'), ids)
  })

  async function run(...args: string[]): Promise<string> {
    await using command = new Command({ folder, name: args[0] ?? '', args })
    await waitUntil('it ends', () => !command.isRunning, 15_000)
    await command.closed()
    return command.output + command.log
  }

  /** Ids in the box of one, with a message more. */
  async function serve(within: string, name: string): Promise<string[]> {
    await using server = new ServerProcess({ folder: within, name, config, users })
    const { origin, links } = await server.ready()
    await server.logs('"store.upgrade"')
    const link = links.get(edgar)
    assert.ok(link)
    const connection = await logIn(origin, await enrol(origin, link))
    const { describes } = await connection.request({ list: { of: 'box', limit: 500 } })
    const { describes: more, answer } = await connection.request({
      list: { of: 'box', limit: 500, after: String(describes.at(-1)?.cursor) },
    })
    assert.equal(answer.complete, true)
    const id = mintId(edgar, Date.now())
    const object = { id, body: 'nevermore', to: [lost], format: 'text/plain', kind: 'message' }
    assert.equal((await connection.describe({ object })).outcome, 'stored')
    const { describes: newest } = await connection.request({ list: { of: 'box', order: 'newest', limit: 1 } })
    assert.deepEqual(
      newest.map(each => (each.object as { id: string }).id),
      [id],
    )
    connection.close()
    return [...describes, ...more].map(each => (each.object as { id: string }).id)
  }
})
