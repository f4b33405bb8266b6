/** A store of version 1 becomes one of version 2, which holds what a store would that was of version 2 from the start. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { believeStored, sealObject, type VerifiedObject } from '../../../../objects/seals/seal.ts'
import { box, parseBoxed } from '../../../../objects/store/box.ts'
import type { Database } from '../../../../objects/store/engine/database.ts'
import { keyOf, listOf } from '../../../../objects/store/layout.ts'
import { describe as describeObject } from '../../../../objects/store/new-version.ts'
import { openDatabase } from '../../../../objects/store/open.ts'
import { Store } from '../../../../objects/store/store.ts'
import { keepFetched } from '../../../../routing/lookup/found-cache.ts'
import type { Message } from '../../../../schemas/kinds/message.ts'
import type { FmtpObject, Unsealed } from '../../../../schemas/object.ts'
import { assertCode } from '../../../support/conditions.ts'
import { type HandUser, handDomain, handMessage, handProfile, handUser } from '../../../support/hand.ts'
import { createRandom } from '../../../support/random.ts'
import { type OldCommit, OldStore } from '../../../support/version-1.ts'

const [poe, lenore] = [handDomain('poe.net'), handDomain('lenore.org')]
const edgar = handUser(poe, 'edgar@poe.net')
const alice = handUser(poe, 'alice@poe.net')
const lost = handUser(lenore, 'lost@lenore.org')
const domainUser = handUser(poe, 'poe.net')
const startMs = Date.now() - 1_000_000
let clockMs = startMs

function message(
  from: HandUser,
  to: readonly string[],
  members: Partial<Message> = {},
): VerifiedObject<Message> {
  const version = ++clockMs
  const object = handMessage(from, to, { createdAt: new Date(version).toISOString(), version, ...members })
  return believeStored(object) as VerifiedObject<Message>
}

function answer(
  from: HandUser,
  { object, digest }: VerifiedObject,
  to: readonly string[],
): VerifiedObject<Message> {
  return message(from, to, {
    parent: object.id,
    parentHash: digest,
    top: object.top ?? object.id,
  } as Partial<Message>)
}

function edit(
  from: HandUser,
  { object }: VerifiedObject<Message>,
  members: Partial<Message>,
): VerifiedObject<Message> {
  const { encryptedKey: _, hash: __, ...unsealed } = object
  return sealObject({ ...unsealed, version: ++clockMs, ...members } as Unsealed<Message>, from)
}

/** What happened in the old store, in this order. */
function history(): OldCommit[] {
  const both = [{ address: 'edgar@poe.net' }, { address: 'alice@poe.net' }]
  const [own] = both
  const commits: OldCommit[] = []
  const add = <V extends VerifiedObject>(verified: V, more: Omit<OldCommit, 'verified'> = {}): V => {
    commits.push({ verified, ...more })
    return verified
  }
  const profile = { public: true, view: 'owner', keepDays: 30, version: ++clockMs } as Partial<FmtpObject>
  add(believeStored(handProfile(edgar, profile)), { boxes: own === undefined ? [] : [own] })
  const server = { id: 'server.poe.net', kind: 'server', owner: 'poe.net', domain: 'poe.net', public: true }
  for (const software of ['old', 'new']) {
    const times = { createdAt: new Date(startMs).toISOString(), version: ++clockMs }
    add(sealObject({ ...server, ...times, software } as unknown as Unsealed, domainUser))
  }
  const first = add(message(edgar, ['alice@poe.net', 'lost@lenore.org']), {
    boxes: both,
    outbox: [['lenore.org', ['lost@lenore.org']]],
  })
  const early = add(answer(alice, first, ['edgar@poe.net']), { boxes: both })
  add(edit(edgar, first, { body: 'Edited once' }), {
    boxes: both,
    outbox: [['lenore.org', ['lost@lenore.org']]],
  })
  const again = add(edit(edgar, first, { body: 'Edited twice' }), { boxes: both })
  add(answer(edgar, early, ['alice@poe.net']), { boxes: both })
  add(answer(lost, again, ['edgar@poe.net']), { boxes: both.slice(0, 1) })
  const deleted = add(message(alice, ['edgar@poe.net']), { boxes: both })
  add(edit(alice, deleted, { deleted: true }), { boxes: both })
  // Public ones, one that is not any more, and one that is deleted.
  for (const [index, author] of [edgar, alice, edgar, alice].entries()) {
    const boxes = both.filter(({ address }) => address === author.address)
    const post = add(message(author, [], { public: true }), { boxes })
    if (index === 1) add(edit(author, post, { public: false }), { boxes })
    if (index === 2) add(edit(author, post, { deleted: true }), { boxes })
  }
  // From outside: to both, forwarded, ending by itself, an answer to what is not here, and a false one.
  add(message(lost, ['edgar@poe.net', 'alice@poe.net']), { boxes: both })
  add(message(lost, ['annabel@lenore.org']), {
    boxes: [{ address: 'edgar@poe.net', by: 'annabel@lenore.org' }],
  })
  add(message(lost, ['edgar@poe.net'], { expiresAt: '2030-01-01T00:00:00.000Z' } as Partial<Message>), {
    boxes: both.slice(0, 1),
  })
  add(answer(lost, message(lost, ['annabel@lenore.org']), ['edgar@poe.net']), { boxes: both.slice(0, 1) })
  const never = add(message(alice, ['lost@lenore.org']), {
    boxes: both.slice(1),
    outbox: [['lenore.org', ['lost@lenore.org']]],
  })
  const unproven = { ...never, digest: 'A'.repeat(43) } as VerifiedObject
  add(answer(lost, unproven, ['alice@poe.net']), { boxes: both.slice(1) })
  // Known because it wrote, and known because somebody asked.
  add(believeStored(handProfile(lost)), { boxes: both.slice(0, 1), heardAtMs: clockMs })
  const annabel = handUser(lenore, 'annabel@lenore.org')
  add(believeStored(handProfile(annabel)), { isFetched: true, heardAtMs: clockMs })
  return commits
}

const others: readonly (readonly [string, string])[] = [
  ...['poe.net', 'edgar@poe.net', 'alice@poe.net'].map(
    name => [keyOf.account(name), `{"createdAtMs":1}`] as const,
  ),
  [keyOf.device('edgar@poe.net', 'thumbprint'), '{}'],
  [keyOf.introduced('lenore.org', 'edgar@poe.net'), '1'],
  [keyOf.courier(listOf.outbox('lenore.org')), '1'],
  [keyOf.retry(listOf.outbox('lenore.org'), 1_700_000_000_000, 1), '{"attempts":1}'],
  [keyOf.due('lenore.org'), '{"attempts":2}'],
  [keyOf.listed('lenore.org', 'edgar@poe.net'), ''],
]

describe('a store of version 1', function () {
  this.timeout(60_000)
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-upgrade-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function open(name: string, options: Parameters<typeof openDatabase>[3] = {}): Promise<Database> {
    return openDatabase(
      join(folder, name),
      () => undefined,
      () => 'epoch',
      options,
    )
  }

  async function writeOld(name: string, commits: readonly OldCommit[]): Promise<OldStore> {
    const old = new OldStore()
    for (const [key, value] of others) old.rows.set(key, value)
    for (const commit of commits) old.commit(commit)
    mkdirSync(join(folder, name))
    await old.write(join(folder, name))
    return old
  }

  /** The same history with the code of today. */
  async function writeNew(name: string, commits: readonly OldCommit[]): Promise<void> {
    await using database = await open(name)
    const store = new Store(database)
    await database.commit([{ puts: others }])
    for (const { verified, isFetched, heardAtMs, boxes = [], outbox = [] } of commits) {
      const { object, atRest } = verified
      if (isFetched === true) {
        await keepFetched(store, verified, heardAtMs ?? 0)
        continue
      }
      const coming = object.owner.endsWith('poe.net') ? 'made' : 'taken'
      const change = describeObject(verified, store.findBefore(object.id), coming, store)
      for (const { address, by } of boxes) {
        const bytes = address === object.owner ? 0 : atRest.length
        const boxed = store.findBoxedText(address, object.id)
        box(change, object, { address, bytes, by, nowMs: 1, boxed }, database)
      }
      for (const [domain, to] of outbox) {
        const { id, version } = object
        const value = JSON.stringify({ id, version, for: to, atMs: version })
        change.appends.push({ list: listOf.outbox(domain), value, bytes: 0 })
      }
      if (heardAtMs !== undefined) change.puts.push([keyOf.foreign(object.id), String(heardAtMs)])
      const { keepDays } = object as FmtpObject & { keepDays?: number }
      if (keepDays !== undefined) change.puts.push([keyOf.retention(object.owner), String(keepDays)])
      assert.deepEqual(await database.commit([change]), [true], object.id)
    }
  }

  it('holds afterwards what a new one does with the same history', async () => {
    const commits = history()
    await writeOld('old', commits)
    await writeNew('new', commits)
    assert.deepEqual(await dump(open('old')), await dump(open('new')))
  })

  it('keeps the epoch and the numbers of its lists, and delivers from where it was', async () => {
    const commits = history()
    const old = await writeOld('old', commits)
    await using database = await open('old')
    assert.equal(database.epoch, 'epoch')
    assert.equal(database.get('meta version'), '2')
    for (const address of ['edgar@poe.net', 'alice@poe.net']) {
      const list = listOf.box(address)
      const before = Number(old.rows.get(`head ${list}`)?.split(' ')[0])
      assert.equal(database.head(list).number, before)
      for (const { number, value } of await database.entries(list, 0, 1000)) {
        const was = old.rows.get(keyOf.entry(list, number))
        // That it is a deletion is said by version 2 alone.
        assert.equal(value.replace(',"deleted":true', ''), was)
      }
    }
    for (const [key, value] of old.rows)
      if (
        /^(?:head|entry) outbox|^(?:courier|retry|due|introduced|device|account|object|credential) /.test(key)
      )
        assert.equal(database.get(key), value, key)
  })

  it('that has the lists of version 2 already changes in its version alone', async () => {
    await writeNew('new', history())
    const before = await rawRows(open('new'))
    {
      await using database = await open('new')
      await database.commit([{ puts: [['meta version', '1']] }])
    }
    assert.deepEqual(await rawRows(open('new')), before)
  })

  it('ends the same wherever its upgrade is killed', async () => {
    const commits = history()
    for (let count = 0; count < 800; count++) {
      const boxes = [{ address: 'edgar@poe.net' }, { address: 'alice@poe.net' }]
      const from = count % 2 === 0 ? edgar : lost
      commits.push({ verified: message(from, ['alice@poe.net'], { public: count % 3 === 0 }), boxes })
    }
    await writeOld('old', commits)
    cpSync(join(folder, 'old'), join(folder, 'whole'), { recursive: true })
    const startedMs = Date.now()
    assert.equal(await run('whole', 60_000), 'upgraded\n')
    const wholeMs = Date.now() - startedMs
    const expected = await dump(open('whole'))
    const random = createRandom(Number(process.env.SEED ?? 1845))
    let interrupted = 0
    for (let kill = 0; kill < 10; kill++) {
      rmSync(join(folder, 'killed'), { recursive: true, force: true })
      cpSync(join(folder, 'old'), join(folder, 'killed'), { recursive: true })
      // The process takes a while to start, and that is not what is to be killed.
      for (let times = 0; times < 2; times++) await run('killed', wholeMs * (0.4 + 0.6 * random()))
      {
        await using database = await open('killed', { keepsVersion: true })
        if (database.version === '1-2') interrupted++
      }
      assert.deepEqual(await dump(open('killed')), expected)
    }
    assert.ok(interrupted >= 3, `only ${interrupted} kills came while it was at work`)
  })

  it('is only copied by a backup, and one that is newer is refused', async () => {
    await writeOld('old', history())
    {
      await using database = await open('old', { keepsVersion: true })
      assert.equal(database.version, '1')
      assert.equal(database.get('meta version'), '1')
    }
    {
      await using database = await open('newer')
      await database.commit([{ puts: [['meta version', '3']] }])
    }
    await assertCode('FMTP_STORE', () => open('newer'))
  })

  /** What it said before it ended or was killed. */
  async function run(name: string, killMs: number): Promise<string> {
    const file = fileURLToPath(new URL('../../../support/upgrader.js', import.meta.url))
    const child = spawn(process.execPath, [file, join(folder, name)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', chunk => {
      output += String(chunk)
    })
    const closed = once(child, 'close')
    await Promise.race([closed, sleep(killMs, undefined, { ref: false })])
    child.kill('SIGKILL')
    await closed
    return output
  }
})

async function rawRows(opening: Promise<Database>): Promise<(readonly [string, string])[]> {
  await using database = await opening
  await using snapshot = database.snapshot()
  const rows: (readonly [string, string])[] = []
  for await (const batch of snapshot.batches()) rows.push(...batch)
  return rows
}

/**
 * All that a store holds, but the numbers of entries, when things came into boxes, digests of what was replaced, and notes of
 * answers, of which the next one makes the first.
 */
async function dump(opening: Promise<Database>): Promise<object> {
  const rows = await rawRows(opening)
  const lists: Record<string, unknown[]> = {}
  const heads: Record<string, number> = {}
  const numbers = new Map<string, string>()
  const rest: Record<string, unknown> = {}
  for (const [key, value] of rows) {
    const parts = key.split(' ')
    const list = parts.slice(1, 3).join(' ')
    if (parts[0] === 'entry') {
      const entries = lists[list] ?? []
      lists[list] = entries
      entries.push(JSON.parse(value))
      numbers.set(`${list} ${Number(parts[3])}`, JSON.parse(value).id)
    } else if (parts[0] === 'head') heads[list] = Number(value.split(' ')[1])
    else if (parts[0] === 'boxed') rest[key] = { ...parseBoxed(value), atMs: 0 }
    else if (parts[0] !== 'digest' && parts[0] !== 'answered') rest[key] = value
  }
  for (const [key, value] of rows) {
    if (!key.startsWith('newest ')) continue
    const { id, version, n } = JSON.parse(value) as { id: string; version: number; n: number }
    assert.equal(numbers.get(`${key.split(' ').slice(1, 3).join(' ')} ${n}`), id, key)
    rest[key] = { id, version }
  }
  // A list of which nothing is left may have a head, for its numbers.
  for (const list of Object.keys(heads))
    if (lists[list] === undefined && heads[list] === 0) delete heads[list]
  return { lists, heads, rest }
}
