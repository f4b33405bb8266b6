/** What is acknowledged was synced: the system calls of a real server, and of one whose sync was taken out. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoginLink } from '../../client/link.ts'
import { mintId } from '../../objects/id.ts'
import { signerOf } from '../../objects/seals/keys.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { putBlob } from '../support/blob.ts'
import { mainFile, ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logInByToken } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'
import { patchServer } from '../support/patched-server.ts'
import { readSyncs, readUploadSyncs, type SyncReport, traced } from './sync-trace.ts'

const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${ownAddress(201)}:0"]
hosts = ["${ownAddress(201)}"]
`

const [edgar, lost] = [parseAddress('edgar@localhost'), parseAddress('lost@localhost')]
const messages = 40
const isTraceable = spawnSync('strace', ['-V']).status === 0
// Where nobody looks, a missing tool must not make the test look passed.
const isSkipped = !isTraceable && process.env.CI === undefined

describe(`an acknowledgement${isSkipped ? ' (SKIPPED: strace is not installed)' : ''}`, function () {
  this.timeout(60_000)
  let folder: string

  before(function () {
    if (isSkipped) this.skip()
    assert.ok(isTraceable, 'strace is not installed, and without it a missing sync can not be seen')
  })

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-sync-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is sent after the sync of what it acknowledges', async () => {
    const { acknowledged, violations } = await traceServer(folder, mainFile)
    assert.deepEqual(violations, [])
    assert.equal(new Set(acknowledged).size, messages)
  })

  it('of an upload is sent after the sync of its file and its folder', async () => {
    const { acknowledged, violations } = readUploadSyncs(await trace(folder, mainFile, upload))
    assert.deepEqual(violations, [])
    assert.equal(acknowledged.length, uploads)
  })

  it('of an upload would be seen to come too early', async () => {
    const withoutSync = patchServer(folder, 'objects/store/blobs/blobs.js', text =>
      text.replaceAll('await handle.sync()', ''),
    )
    const { violations } = readUploadSyncs(await trace(folder, withoutSync, upload))
    assert.equal(violations.length, uploads)
  })

  it('would be seen to come too early if the store did not sync', async () => {
    const { acknowledged, violations } = await traceServer(folder, copyWithoutSync(folder))
    assert.equal(new Set(acknowledged).size, messages)
    assert.equal(violations.length, messages)
  })
})

const uploads = 5

/** Some uploads, one after the other. */
async function upload(origin: string, link: LoginLink): Promise<void> {
  const device = await enrol(origin, link)
  const person = { ...device, signer: signerOf(device.pair) }
  for (let sent = 0; sent < uploads; sent++) await putBlob({ origin }, person, randomBytes(5000))
}

/** The compiled server, its store writing without sync. */
function copyWithoutSync(folder: string): string {
  return patchServer(folder, 'objects/store/engine/group-commit.js', text =>
    text.replaceAll(/\bsync: [^,}]+?(?= *[,}])/g, 'sync: false'),
  )
}

async function traceServer(folder: string, main: string): Promise<SyncReport> {
  return readSyncs(await trace(folder, main, send))
}

/** Messages, some alone, and some that share a write of the store. */
async function send(origin: string, link: LoginLink): Promise<void> {
  const connection = await logInByToken(origin, link)
  for (let sent = 0; sent < messages; sent += sent < 8 ? 1 : 8) {
    const drafts = Array.from({ length: sent < 8 ? 1 : 8 }, () => ({
      body: 'nevermore',
      format: 'text/plain',
      id: mintId(edgar, Date.now()),
      kind: 'message',
      to: [lost],
    }))
    const answers = await Promise.all(drafts.map(object => connection.describe({ object })))
    for (const { outcome } of answers) assert.equal(outcome, 'stored')
  }
  connection.close()
}

/** What strace saw of a server while somebody did this. */
async function trace(
  folder: string,
  main: string,
  work: (origin: string, link: LoginLink) => Promise<void>,
): Promise<string> {
  const file = join(folder, 'trace')
  const options = ['-f', '--seccomp-bpf', '-y', '-s', '1000000', '-e', `trace=${traced}`, '-o', file]
  await using server = new ServerProcess({
    folder,
    name: 'server',
    config,
    users: [edgar, lost],
    under: ['strace', ...options],
    main,
  })
  try {
    const { origin, links } = await server.ready()
    const link = links.get(edgar)
    assert.ok(link)
    await work(origin, link)
  } finally {
    // The tracer ends when what it traces has ended, and its file is whole then.
    for (const pid of childrenOf(server.pid)) process.kill(pid, 'SIGKILL')
    await server.closed()
  }
  return readFileSync(file, 'utf8')
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}
