/**
 * The first conversation, played by `fmtp demo` with real processes: every line it tells must be the one that the
 * conversation file asks for, and another zone must make it tell another story.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseConversation } from '../../server/demo/conversation.ts'
import { Stage } from '../../server/demo/stage.ts'
import { ownAddress } from '../support/loopback.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
/** A conversation, on addresses of this process. */
const conversation = (name: string): string =>
  readFileSync(join(root, 'test/conversations', name), 'utf8').replace(/\b127\.77\.0\.(\d+)/g, (_, host) =>
    ownAddress(Number(host)),
  )
/** How long Lenore stays away; `npm run away` gives it a whole minute. */
const awayMs = Number(process.env.FMTP_AWAY_MS ?? 3000)

function play(text: string): { status: number | null; lines: string[]; errors: string } {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-demo-'))
  try {
    const file = join(folder, 'some.convo')
    writeFileSync(file, text)
    const args = [join(root, 'dist/server/main.js'), 'demo', '--conversation', file]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { status, lines: stdout.trimEnd().split('\n'), errors: stderr }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A told line without its ms, which every line must have. */
function withoutMs(line: string): string {
  const [, text] = /^ ?(\d+\. .+) \d+ ms$/.exec(line) ?? []
  return text ?? `no ms: ${line}`
}

describe('the first conversation', function () {
  this.timeout(60_000 + awayMs)

  for (const name of ['poe-and-lenore.convo', 'poe-and-listening-lost.convo']) {
    it(`is told as ${name} asks`, () => {
      const { status, lines, errors } = play(conversation(name))
      assert.deepEqual(lines.map(withoutMs), parseConversation(conversation(name)).happens, errors)
      assert.equal(status, 0)
    })
  }

  it('tells of another host when the MX is another', () => {
    const text = conversation('poe-and-lenore.convo')
      .replace('10 mail.lenore.org', '10 post.lenore.org')
      .replace('lost.lenore.org     A', `post.lenore.org     A    ${ownAddress(3)}\n  lost.lenore.org     A`)
    const { status, lines } = play(text)
    assert.equal(withoutMs(lines[1] ?? ''), '2. MX of lenore.org is post.lenore.org.')
    assert.equal(withoutMs(lines[3] ?? ''), '4. Poe connects to post.lenore.org.')
    assert.equal(status, 0)
  })

  it('breaks off at the proof when the zone shows another key', () => {
    // A real key, which nobody on this stage holds.
    const another = '"v=FMTP1; k=ed25519; s=k1; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="'
    const { status, lines } = play(
      conversation('poe-and-lenore.convo').replace('the key of poe.net', another),
    )
    assert.equal(withoutMs(lines.at(-1) ?? ''), '8. Lenore does not believe the proof: FMTP_PROOF.')
    assert.equal(lines.length, 8)
    assert.equal(status, 1)
  })

  it('is delivered within 10 s of the return of a server that was killed in the middle', async () => {
    const cast = parseConversation(conversation('poe-and-lenore.convo'))
    // Whoever calls lost directly hears nothing, which leaves the moment to kill Lenore before step 14.
    const silence = createServer(socket => socket.on('error', () => undefined))
    await new Promise<void>(resolve => silence.listen(8000, ownAddress(4), resolve))
    await using stage = new Stage(cast)
    try {
      await stage.open()
      const [said] = cast.said
      const [, lenore] = cast.servers
      assert.ok(said !== undefined && lenore !== undefined)
      const killed = stage
        .when(
          () => stage.records.find(({ event, fields }) => event === 'described' && fields.to === 'poe.net'),
          10_000,
        )
        .then(() => stage.killServer('Lenore'))
      await Promise.all([stage.say(said), killed])
      const isStored = () =>
        stage.records.find(({ event, fields }) => event === 'admit' && fields.kind === 'message')
      await stage.when(() => stage.records.find(({ event }) => event === 'deliver.unreachable'), 10_000)
      await sleep(awayMs)
      assert.equal(isStored(), undefined, 'it was stored before the server was killed')
      await stage.startServer(lenore)
      const backMs = Date.now()
      const stored = await stage.when(isStored, 10_000)
      assert.equal(stored?.fields.outcome, 'stored')
      assert.ok(stored.atMs - backMs < 10_000)
    } finally {
      silence.close()
      silence.unref()
    }
  })
})
