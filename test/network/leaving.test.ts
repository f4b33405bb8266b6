/**
 * The end of an account (protocol §6.14), between servers that are processes of their own: what it wrote is gone at both,
 * whoever was away or was killed meanwhile; nobody else loses anything; and the address is never given out again.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../client/connection.ts'
import { markNonce } from '../../objects/mark.ts'
import { sha256Text } from '../../objects/seals/keys.ts'
import type { Row } from '../../objects/store/engine/leveldb.ts'
import type { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import { runAction } from '../../server/control/client.ts'
import { openCore } from '../../server/core/core.ts'
import type { Progress } from '../../server/operator/action.ts'
import type { DeleteResult, UserResult, UsersResult } from '../../server/operator/users.ts'
import { putBlob } from '../support/blob.ts'
import { assertCode, waitUntil } from '../support/conditions.ts'
import { failFmtp, runFmtp } from '../support/fmtp-process.ts'
import { Network, type Person, type Site } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'

const hourMs = 3_600_000
/** Stands in all that edgar writes, and in nothing else. */
const words = 'Quoth the raven nevermore'

const draft = { kind: 'message', format: 'text/plain', body: 'Are you there?' } as const

describe('the end of an account', function () {
  this.timeout(120_000)
  const [edgars, annabels, losts] = ['edgar@poe.net', 'annabel@poe.net', 'lost@lenore.org'] as const
  let network: Network
  let poe: ServerProcess
  let lenore: ServerProcess
  let edgar: Person
  let annabel: Person
  let lost: Person
  let clients: Connection[]
  let lastId: number
  let aheadMs: number

  beforeEach(async () => {
    clients = []
    lastId = 0
    aheadMs = 0
    network = await Network.start()
    poe = await startProcess(network, 'poe.net')
    lenore = await startProcess(network, 'lenore.org')
    edgar = await poe.enrol(edgars)
    annabel = await poe.enrol(annabels)
    lost = await lenore.enrol(losts)
  })

  afterEach(async () => {
    for (const client of clients) client.close()
    for (const each of [poe, lenore]) await each[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  const homeOf = ({ address }: Person): ServerProcess => (address.endsWith('poe.net') ? poe : lenore)

  async function open(person: Person, onClose?: (error?: FmtpError) => void): Promise<Connection> {
    const client = await homeOf(person).connect(person, onClose === undefined ? {} : { onClose })
    clients.push(client)
    return client
  }

  /** Publishes for somebody, and gives the id. */
  async function make(client: Connection, owner: string, object: object): Promise<string> {
    const id = makeObjectId(`m${++lastId}`, owner as Name)
    const { outcome, code } = await client.describe({ object: { id, ...object } as never })
    assert.equal(outcome, 'stored', code)
    return id
  }

  const write = (client: Connection, from: string, to: readonly string[], body: string): Promise<string> =>
    make(client, from, { kind: 'message', format: 'text/plain', to, body })

  const user = async (verb: string, ...args: string[]): Promise<unknown> =>
    JSON.parse(await runFmtp('user', verb, ...args, '--json', '--config', poe.config.file))
  /** What `fmtp user show` has from the server, without a process for each look. */
  const show = async (address: string = edgars): Promise<UserResult> => {
    const ports = { onProgress: () => undefined, signal: new AbortController().signal }
    return (await runAction(poe.config.file, 'user show', { address }, ports)) as UserResult
  }
  const erase = async (...more: string[]): Promise<DeleteResult> =>
    (await user('delete', edgars, '--yes', ...more)) as DeleteResult

  /** Waits until the deletion has come to its end. */
  const ended = (): Promise<UserResult> =>
    waitUntil(
      'the account is gone',
      async () => {
        const shown = await show()
        return shown.state === 'deleted' && shown
      },
      30_000,
    )

  /** Time passes at a server, by steps, so that what is due is done in between. */
  async function pass(server: ServerProcess, ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= hourMs) {
      await server.advance(Math.min(left, hourMs))
      await sleep(15)
    }
  }

  const idsAt = async (client: Connection, owner: string): Promise<string[]> => {
    const ids: string[] = []
    for (let after: string | undefined; ; ) {
      const list = { of: 'box', owner, kind: 'message', limit: 500, ...(after && { after }) } as const
      const { answer, describes } = await client.request({ list })
      ids.push(...describes.map(({ object }) => (object as { id: string }).id))
      if (answer.complete === true) return ids
      after = answer.cursor
    }
  }

  /** All rows of a server that has stopped, which finds nothing wrong with them. */
  async function rowsOf(server: ServerProcess): Promise<readonly Row[]> {
    await server.stop()
    await runFmtp('verify', '--config', server.config.file)
    return readRows(server)
  }

  async function readRows({ config }: Site): Promise<readonly Row[]> {
    await using core = await openCore(config)
    return await core.database.scan({ gt: '', lt: '~' }, { limit: 1_000_000 })
  }

  const wordsIn = (rows: readonly Row[]): string[] =>
    rows.filter(([, value]) => value.includes(words)).map(([key]) => key)
  const blobFile = ({ folder }: Site, name: string): string =>
    join(folder, 'data', 'blobs', name.slice(0, 2), name.slice(2))

  it('takes all that it wrote away, here and there, and nothing of anybody else', async () => {
    const [mine, hers, his] = [await open(edgar), await open(annabel), await open(lost)]
    const bytes = randomBytes(5000)
    const sha256 = await putBlob(poe, edgar, bytes)
    const loose = await putBlob(poe, edgar, randomBytes(100))
    assert.equal(sha256, sha256Text(bytes))
    const secret = randomBytes(16).toString('base64url')
    const attachment = { name: 'raven.bin', format: 'image/png', bytes: bytes.length, sha256, secret }
    const theirs = await write(his, losts, [edgars, annabels], 'Who knocks?')
    const kept = await write(hers, annabels, [losts, edgars], 'It is the wind')
    await waitUntil('edgar has it', async () => (await idsAt(mine, edgars)).includes(theirs))
    const first = await make(mine, edgars, {
      ...{ kind: 'message', format: 'text/plain', to: [losts, annabels], body: words },
      attachments: [attachment],
    })
    await make(mine, edgars, {
      kind: 'message',
      format: 'text/plain',
      to: [losts],
      body: words,
      parent: theirs,
    })
    await make(mine, edgars, { kind: 'post', format: 'text/plain', body: words, public: true })
    await make(mine, edgars, { kind: 'post', format: 'text/plain', body: words })
    await make(mine, edgars, { kind: 'invite', keySha256: sha256, greeting: words })
    const mark = { id: makeObjectId(markNonce(kept), edgars as Name), kind: 'mark', about: kept, kept: true }
    assert.equal((await mine.describe({ object: mark as never })).outcome, 'stored')
    const settings = {
      id: `user.${edgars}`,
      kind: 'user',
      quote: words,
      whitelist: ['*@lenore.org'],
      keepDays: 90,
    }
    assert.equal((await mine.describe({ object: settings as never })).outcome, 'stored')
    await waitUntil('lenore has it all', async () => (await idsAt(his, losts)).length === 4, 10_000)
    await waitUntil('the blob came', () => existsSync(blobFile(lenore, sha256)), 10_000)

    const before = await show()
    assert.deepEqual([before.state, before.devices, before.deletion], ['here', 1, undefined])
    assert.ok(before.boxBytes > 0 && before.blobBytes === 5100)
    const closed = new Promise<FmtpError | undefined>(resolve => void open(edgar, resolve))
    const done = await erase()
    assert.equal(done.isErased, true)
    assert.equal((await closed)?.code, 'FMTP_ACCOUNT_GONE')
    const { deletion } = await ended()
    // Two messages, two posts, an invite, a mark, and the user object.
    assert.deepEqual(deletion?.copies, { objects: 7, all: 3, erased: 3, waiting: 0 })
    assert.match(await runFmtp('user', 'show', edgars, '--config', poe.config.file), /erased at 3 of 3$/m)

    // Nobody is there any more.
    await assertCode('FMTP_REVOKED', () => poe.connect(edgar))
    const vain = { ...draft, id: makeObjectId('vain', annabels as Name), to: [edgars] }
    assert.equal((await hers.describe({ object: vain })).results?.[0]?.outcome, 'absent')
    assert.equal((await hers.request({ address: edgars })).answer.outcome, 'absent')
    const seen = (await his.request({ address: edgars, effort: 'lookup' })).describes[0]?.object
    assert.equal((seen as { deleted?: boolean } | undefined)?.deleted, true)
    const afterwards = await write(his, losts, [edgars], 'Are you there?')
    const told = await waitUntil('lost is told', async () => {
      const { answer } = await his.request({ id: afterwards })
      return answer.results?.find(({ outcome }) => outcome === 'absent')
    })
    assert.equal(told.code, 'FMTP_UNKNOWN_RECIPIENT')

    // Nor will be.
    for (const name of [edgars, 'édgar@poe.net', 'edg\u0430r@poe.net'])
      assert.match(await failFmtp('user', 'add', name, '--config', poe.config.file), /FMTP_BAD_NAME/)
    const group = { id: `group.${edgars}`, kind: 'group', title: 'Edgar' }
    assert.equal((await hers.describe({ object: group as never })).code, 'FMTP_BAD_NAME')
    assert.deepEqual(await user('list'), {
      users: [
        { address: annabels, state: 'here' },
        { address: edgars, state: 'deleted' },
      ],
    } satisfies UsersResult)

    // Others have what they had.
    assert.deepEqual(
      (await idsAt(hers, annabels)).filter(id => !id.endsWith(edgars)).sort(),
      [kept, theirs, vain.id].sort(),
    )
    const { describes } = await hers.request({ id: first })
    assert.equal((describes[0]?.object as { deleted?: boolean } | undefined)?.deleted, true)
    await pass(lenore, limits.upkeepMs + hourMs)
    await waitUntil('the blob goes', () => !existsSync(blobFile(lenore, sha256)))
    for (const name of [sha256, loose]) assert.equal(existsSync(blobFile(poe, name)), false)

    const [here, there] = [await rowsOf(poe), await rowsOf(lenore)]
    assert.deepEqual([wordsIn(here), wordsIn(there)], [[], []])
    assert.ok(there.some(([key, value]) => key === `object ${kept}` && value.includes('It is the wind')))
    // What keeps the address taken, ends of lists, and what the tombstone that annabel has needs.
    const left = here.filter(([key]) => key.split(' ').at(-1) === edgars).map(([key]) => key)
    const needed = ['account', 'gone', 'skeleton', 'head blobs', 'head box', 'head public', `spoke ${first}`]
    assert.deepEqual(
      left.filter(key => !/^(credential|wrote) /.test(key)),
      needed.map(key => `${key} ${edgars}`).sort(),
    )
    assert.equal(left.filter(key => key.startsWith('credential ')).length, 1)
    const account = here.find(([key]) => key === `account ${edgars}`)?.[1] ?? ''
    assert.doesNotMatch(account, /PRIVATE/)
  })

  it('goes on where a kill ended it, and reaches who was away', async () => {
    const mine = await open(edgar)
    const count = 2000
    await Promise.all(Array.from({ length: count }, () => write(mine, edgars, [losts, annabels], words)))
    const his = await open(lost)
    const hasAll = async (): Promise<boolean> => (await idsAt(his, losts)).length === count
    await waitUntil('lenore has them', hasAll, 30_000)
    await lenore.stop()
    const onProgress = ({ what, done }: Progress): void => {
      if (what === 'objects' && done > 0) poe.child.kill('SIGKILL')
    }
    const ports = { onProgress, signal: new AbortController().signal }
    await assert.rejects(runAction(poe.config.file, 'user delete', { address: edgars }, ports))
    await poe.kill()
    const left = wordsIn(await readRows(poe)).length
    assert.ok(left > 0 && left < count, `${left} of ${count} were left`)
    poe = await startProcess(network, 'poe.net')
    const erased = await waitUntil(
      'all is erased here',
      async () => {
        const { deletion } = await show()
        return deletion?.erasedAt !== undefined && deletion
      },
      20_000,
    )
    assert.deepEqual(erased.copies, { objects: count + 1, all: count + 1, erased: 0, waiting: count + 1 })
    assert.equal((await show()).state, 'leaving')
    lenore = await startProcess(network, 'lenore.org')
    const { deletion } = await ended()
    assert.deepEqual(deletion?.copies, { objects: count + 1, all: count + 1, erased: count + 1, waiting: 0 })
    assert.deepEqual([wordsIn(await rowsOf(poe)), wordsIn(await rowsOf(lenore))], [[], []])
  })

  it('leaves nothing of what is written, uploaded and sent at that very moment', async () => {
    const [mine, hers] = [await open(edgar), await open(annabel)]
    let isOver = false
    const until = async (work: () => Promise<unknown>): Promise<void> => {
      // What fails at once lets others have their turn.
      while (!isOver) await work().catch(() => sleep(5))
    }
    const busy = [
      ...Array.from({ length: 8 }, () => until(() => write(mine, edgars, [annabels, losts], words))),
      ...Array.from({ length: 4 }, () => until(() => write(hers, annabels, [edgars], 'Are you there?'))),
      until(() => putBlob(poe, edgar, randomBytes(50))),
    ]
    await waitUntil('they are at it', () => lastId > 200)
    await erase()
    await sleep(200)
    isOver = true
    await Promise.all(busy)
    await ended()
    const rows = await rowsOf(poe)
    assert.deepEqual(wordsIn(rows), [])
    const mineLeft = rows.filter(
      ([key]) => /^(boxed|uploaded|device|token) /.test(key) && key.endsWith(` ${edgars}`),
    )
    assert.deepEqual(mineLeft, [])
    assert.equal(rows.find(([key]) => key === `head blobs ${edgars}`)?.[1], '0 0')
    assert.deepEqual(wordsIn(await rowsOf(lenore)), [])
  })

  it('gives up who stays away, and has no key any more', async () => {
    const mine = await open(edgar)
    const id = await write(mine, edgars, [losts], words)
    const his = await open(lost)
    await waitUntil('lenore has it', async () => (await idsAt(his, losts)).includes(id))
    const post = await make(mine, edgars, { kind: 'post', format: 'text/plain', body: words, public: true })
    const hers = await open(annabel)
    await lenore.stop()
    await erase()
    // While somebody is owed a tombstone, who reads on finds them in the public list.
    const { describes } = await hers.request({ list: { of: 'public', owner: edgars } })
    const seen = describes.map(({ object }) => object as { id: string; deleted?: boolean })
    assert.deepEqual(
      seen.map(({ id, deleted }) => [id, deleted]),
      [[post, true]],
    )
    await pass(poe, 4 * 24 * hourMs)
    assert.deepEqual((await show()).deletion?.copies, { objects: 3, all: 2, erased: 0, waiting: 2 })
    await pass(poe, 3 * 24 * hourMs)
    const { deletion } = await ended()
    assert.deepEqual([deletion?.copies.all, deletion?.copies.erased], [2, 0])
    assert.deepEqual(wordsIn(await rowsOf(poe)), [])
  })

  it('reaches others after its own server was off for a week', async () => {
    const mine = await open(edgar)
    const id = await write(mine, edgars, [losts], words)
    const his = await open(lost)
    await waitUntil('lenore has it', async () => (await idsAt(his, losts)).includes(id))
    await poe.stop()
    await runFmtp('user', 'delete', edgars, '--yes', '--config', poe.config.file)
    const weekMs = 7 * 24 * hourMs
    await lenore.stop()
    poe = await startProcess(network, 'poe.net')
    await waitUntil('all is erased here', async () => (await show()).deletion?.erasedAt !== undefined)
    await poe.kill()
    lenore = await startProcess(network, 'lenore.org', {}, weekMs)
    poe = await startProcess(network, 'poe.net', {}, weekMs)
    const { deletion } = await ended()
    assert.deepEqual(deletion?.copies, { objects: 2, all: 2, erased: 2, waiting: 0 })
    assert.deepEqual(wordsIn(await rowsOf(lenore)), [])
  })

  it('waits for another moderator of its groups, or takes them along when told to', async () => {
    const [mine, hers] = [await open(edgar), await open(annabel)]
    for (const name of ['ravens', 'bells']) {
      const group = { id: `group.${name}@poe.net`, kind: 'group', public: true, title: words }
      assert.equal((await mine.describe({ object: group as never })).outcome, 'stored')
    }
    const refused = await failFmtp('user', 'delete', edgars, '--yes', '--config', poe.config.file)
    assert.match(refused, /only moderator here of bells@poe\.net, ravens@poe\.net.*\n?.*FMTP_LAST_MODERATOR/s)
    assert.equal((await show()).state, 'here')
    // Nothing was done.
    await write(mine, edgars, [annabels], words)
    const shared = { id: 'group.bells@poe.net', kind: 'group', public: true, moderators: [edgars, annabels] }
    assert.equal((await mine.describe({ object: shared as never })).outcome, 'stored')
    const again = await failFmtp('user', 'delete', edgars, '--yes', '--config', poe.config.file)
    assert.match(again, /of ravens@poe\.net:/)
    const done = await erase('--force')
    assert.deepEqual(done.deletion?.groups, ['ravens@poe.net'])
    await ended()
    const { describes } = await hers.request({ id: 'group.ravens@poe.net' })
    assert.equal((describes[0]?.object as { deleted?: boolean } | undefined)?.deleted, true)
    const bells = {
      id: 'group.bells@poe.net',
      kind: 'group',
      public: true,
      title: 'Bells',
      moderators: [annabels],
    }
    assert.equal((await hers.describe({ object: bells as never })).outcome, 'stored')
    assert.deepEqual(wordsIn(await rowsOf(poe)), [])
  })

  it('is asked for at a terminal, begins without a server, and ends links that were not used', async () => {
    const file = poe.config.file
    assert.match(await failFmtp('user', 'delete', edgars, '--config', file), /--yes/)
    assert.match(
      await failFmtp('user', 'delete', 'bob@poe.net', '--yes', '--config', file),
      /no user bob@poe\.net/,
    )
    const token = await poe.makeToken(edgars)
    await poe.stop()
    const told = await runFmtp('user', 'delete', edgars, '--yes', '--config', file)
    assert.match(told, /No server runs/)
    poe = await startProcess(network, 'poe.net', {}, aheadMs)
    await ended()
    const rows = await rowsOf(poe)
    assert.equal(
      rows.some(([key]) => key.includes(sha256Text(token))),
      false,
    )
  })

  it('adds a user who logs in with the link that is told', async () => {
    const { link } = (await user('add', 'bob@poe.net')) as { link: string }
    assert.match(link, /^http.*bob/)
    assert.match(await failFmtp('user', 'add', 'bob@poe.net', '--config', poe.config.file), /FMTP_BAD_NAME/)
    assert.match(await failFmtp('user', 'add', 'poe.net', '--config', poe.config.file), /FMTP_BAD_NAME/)
    assert.match(
      await failFmtp('user', 'add', 'bob@raven.example', '--config', poe.config.file),
      /not served/,
    )
  })
})
