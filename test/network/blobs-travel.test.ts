/**
 * Blobs between servers (protocol §9.9): they come behind the objects that name them, whole or not at all, whatever breaks
 * off, restarts or lies; with real server processes, and with a peer that is played by hand.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import { keyOf, listOf, rangeOf, type Word } from '../../objects/store/layout.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import type { Name } from '../../schemas/text/names.ts'
import { openCore } from '../../server/core/core.ts'
import { repair } from '../../server/verify/repair.ts'
import { verifyStore } from '../../server/verify/verify.ts'
import {
  type Attachment,
  attachmentOf,
  blobFile,
  findFaults,
  getBlob,
  partialBytes,
  putBlob,
} from '../support/blob.ts'
import { CommandLine } from '../support/command.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, type HandUser, handMessage, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'
import { type RawEnd, type Received, rawTls } from '../support/raw.ts'

const kib = 1024
const piece = limits.blobPieceBytes
const minuteMs = 60_000
const dayMs = 86_400_000

describe('blobs between servers', function () {
  this.timeout(60_000)
  let network: Network

  beforeEach(async () => {
    network = await Network.start()
  })

  afterEach(() => network[Symbol.asyncDispose]())

  describe('that are processes', () => {
    let poe: ServerProcess
    let lenore: ServerProcess
    let edgar: Person
    let lost: Person
    let client: Connection

    beforeEach(async () => {
      poe = await startProcess(network, 'poe.net')
      lenore = await startProcess(network, 'lenore.org')
      edgar = await poe.enrol('edgar@poe.net')
      lost = await lenore.enrol('lost@lenore.org')
      client = await poe.connect(edgar)
    })

    afterEach(async () => {
      client.close()
      for (const each of [poe, lenore]) await each[Symbol.asyncDispose]()
    })

    const send = async (attachments: readonly Attachment[], to = lost.address): Promise<string> => {
      const id = mintId(edgar.address as Name, Date.now())
      const object = { id, kind: 'message', format: 'text/plain', body: 'See', to: [to], attachments }
      assert.equal((await client.describe({ object })).outcome, 'stored')
      return id
    }

    const kill = async ({ child }: ServerProcess): Promise<void> => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }

    const arrival = (sha256: string): Promise<unknown> =>
      waitUntil('the blob is there', () => existsSync(blobFile(lenore, sha256)), 20_000)

    async function assertGood(...servers: readonly ServerProcess[]): Promise<void> {
      for (const each of servers) {
        await each.stop()
        assert.deepEqual(await findFaults(each), [])
      }
    }

    it('come whole, for who has the secret or the message, and in pieces over a connection', async () => {
      const bytes = randomBytes(5 * kib * kib)
      const attachment = attachmentOf(bytes)
      const { sha256, secret } = attachment
      await putBlob(poe, edgar, bytes)
      const id = await send([attachment])
      await arrival(sha256)
      await waitUntil(
        'it is given',
        async () => (await getBlob(lenore.origin, sha256, { secret }))[0] === 200,
      )
      for (const asker of [{ secret }, { as: lost }])
        assert.deepEqual(await getBlob(lenore.origin, sha256, asker), [200, bytes])
      const alice = await lenore.enrol('alice@lenore.org')
      for (const asker of [{}, { secret: `${secret}x` }, { as: alice }])
        assert.equal((await getBlob(lenore.origin, sha256, asker))[0], 404)
      const reader = await lenore.connect(lost)
      const asked = { blob: sha256, id, effort: 'lookup', range: [piece - 10, piece + 9] } as const
      const { answer } = await reader.request({ ...asked, range: [...asked.range] })
      assert.deepEqual(answer, {
        outcome: 'found',
        bytes: bytes.subarray(piece - 10, piece + 10).toString('base64'),
        range: [piece - 10, piece + 9],
        total: bytes.length,
      })
      reader.close()
      await assertGood(poe, lenore)
    })

    it('come at once where a user asks, in pieces through the home where nobody here has the object', async () => {
      const bytes = randomBytes(300 * kib)
      const attachment = attachmentOf(bytes)
      await putBlob(poe, edgar, bytes)
      const id = await send([attachment], 'bob@poe.net')
      const reader = await lenore.connect(lost)
      const asked = { blob: attachment.sha256, id, range: [0, 9] }
      const told = { ...asked, secret: attachment.secret as string }
      const outcome = async (query: object): Promise<unknown> => {
        const { answer } = await reader.request({ ...asked, ...query })
        return [answer.outcome, answer.code]
      }
      assert.deepEqual(await outcome(told), ['unreachable', 'FMTP_NOT_HERE'])
      assert.deepEqual(await outcome({ effort: 'lookup' }), ['absent', 'FMTP_ABSENT'])
      const { answer } = await reader.request({ ...told, effort: 'lookup' })
      assert.equal(answer.bytes, bytes.subarray(0, 10).toString('base64'))
      assert.deepEqual([answer.range, answer.total], [[0, 9], bytes.length])
      assert.ok(!existsSync(blobFile(lenore, attachment.sha256)), 'it is not kept')
      reader.close()
    })

    it('are saved by fmtp get of who received the message, as soon as that is there', async () => {
      await using command = new CommandLine()
      const bytes = randomBytes(8 * kib * kib)
      writeFileSync(join(command.folder, 'raven.png'), bytes)
      for (const [home, { address }] of [
        [poe, edgar],
        [lenore, lost],
      ] as const)
        await command.run('login', await home.makeLink(address))
      const told = ['--as', edgar.address, lost.address, 'Look', '--attach', 'raven.png']
      const [id = ''] = (await command.run('send', ...told)).split('\n')
      const reader = await lenore.connect(lost)
      await waitUntil('the message is there', async () => (await reader.request({ id })).answer.version)
      await command.run('get', '--as', lost.address, '--id', id, '--save', 'got')
      reader.close()
      assert.ok(readFileSync(join(command.folder, 'got', 'raven.png')).equals(bytes))
    })

    it('go on after the receiver was killed', async () => {
      const bytes = randomBytes(45 * kib * kib)
      const attachment = attachmentOf(bytes)
      await putBlob(poe, edgar, bytes)
      await send([attachment])
      for (const least of [1, 10 * kib * kib]) {
        await waitUntil('half of it came', () => partialBytes(lenore) >= least, 20_000)
        await kill(lenore)
        assert.ok(!existsSync(blobFile(lenore, attachment.sha256)), 'it came too fast')
        lenore = await startProcess(network, 'lenore.org')
      }
      await arrival(attachment.sha256)
      await waitUntil(
        'it is given',
        async () => (await getBlob(lenore.origin, attachment.sha256, { as: lost }))[0] === 200,
      )
      await assertGood(lenore)
      assert.equal(partialBytes(lenore), 0)
    })

    it('go on after the sender was away', async () => {
      const bytes = randomBytes(45 * kib * kib)
      const attachment = attachmentOf(bytes)
      await putBlob(poe, edgar, bytes)
      await send([attachment])
      await waitUntil('some of it came', () => partialBytes(lenore) > 0, 20_000)
      client.close()
      await kill(poe)
      const before = partialBytes(lenore)
      assert.ok(before > 0 && before < bytes.length, `${before} came`)
      // Its hello wakes what waits for it.
      poe = await startProcess(network, 'poe.net')
      await lenore.advance(minuteMs * 1.2)
      await arrival(attachment.sha256)
      const [status, found] = await getBlob(lenore.origin, attachment.sha256, {
        as: lost,
        atMs: Date.now() + minuteMs,
      })
      assert.deepEqual([status, found.equals(bytes)], [200, true])
      client = await poe.connect(edgar)
      await assertGood(lenore)
    })
  })

  describe('from a peer that is played by hand', () => {
    let lenore: TestServer
    let lost: Person
    let poe: HandDomain
    let edgar: HandUser
    let end: RawEnd
    let n = 0
    const ends: RawEnd[] = []

    beforeEach(async () => {
      n = 0
      lenore = await network.serve('lenore.org', {
        limits: { blobBytes: 4 * kib * kib, userBlobBytes: 3 * kib * kib },
      })
      lost = await enrol(lenore, 'lost@lenore.org')
      poe = network.hand('poe.net')
      edgar = handUser(poe, 'edgar@poe.net')
      end = await open()
    })

    afterEach(async () => {
      for (const each of ends.splice(0)) each.close()
      await network.stop('lenore.org')
      assert.deepEqual(await findFaults(lenore), [])
    })

    async function open(domain = poe): Promise<RawEnd> {
      const opened = await rawTls(lenore.address, lenore.port, 'lenore.org')
      ends.push(opened)
      await opened.hello('lenore.org', { as: domain.name, signer: domain.signer })
      return opened
    }

    async function bring(attachments: readonly Attachment[], members: Partial<Message> = {}, by = edgar) {
      const object = handMessage(by, [lost.address], { attachments: [...attachments], ...members })
      const answer = await end.ask({ verb: 'describe', n: ++n, object, for: [lost.address] })
      assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
      return object
    }

    const asked = (limitMs?: number): Promise<Received> => end.next(({ verb }) => verb === 'request', limitMs)

    /** What an honest home says. */
    function answerTo({ n: re, range }: Received, bytes: Uint8Array): Record<string, unknown> {
      const [first = 0, last = 0] = range as number[]
      const given = bytes.subarray(first, last + 1)
      const reached = given.length === 0 ? {} : { range: [first, first + given.length - 1] }
      const encoded = Buffer.from(given).toString('base64')
      return { verb: 'answer', re, outcome: 'found', bytes: encoded, ...reached, total: bytes.length }
    }

    /** Answers until all is given. */
    async function give(bytes: Uint8Array): Promise<void> {
      for (;;) {
        const frame = await asked()
        end.sendFrame(answerTo(frame, bytes))
        if (((frame.range as number[])[1] as number) >= bytes.length - 1) return
      }
    }

    const logged = (event: string, count = 1): Promise<Readonly<Record<string, unknown>>> =>
      waitUntil(`${count} times ${event}`, () => {
        const found = lenore.log.filter(each => each.event === event)
        return found.length >= count && found.at(-1)?.record
      })

    const rows = (word: Word) => lenore.running.store.database.scan(rangeOf(word), { limit: 100 })
    const usedBytes = (): number => lenore.running.store.database.head(listOf.blobs(lost.address)).bytes
    const get = (sha256: string, by: { as?: Person; secret?: string | undefined }) =>
      getBlob(lenore.origin, sha256, { ...by, atMs: network.clock.now() })

    it('are asked for by id and secret, counted, and kept until the message goes', async () => {
      const bytes = randomBytes(piece + 5)
      const attachment = attachmentOf(bytes)
      const object = await bring([attachment])
      const first = await asked()
      assert.deepEqual(
        { ...first, n: 0 },
        {
          verb: 'request',
          n: 0,
          blob: attachment.sha256,
          id: object.id,
          secret: attachment.secret,
          range: [0, piece - 1],
          effort: 'own',
          for: [lost.address],
        },
      )
      end.sendFrame(answerTo(first, bytes))
      const second = await asked()
      assert.deepEqual(second.range, [piece, 2 * piece - 1])
      assert.equal((await get(attachment.sha256, { secret: attachment.secret }))[0], 404, 'it is not whole')
      end.sendFrame(answerTo(second, bytes))
      await logged('pull.done')
      assert.deepEqual(await get(attachment.sha256, { as: lost }), [200, bytes])
      assert.equal(usedBytes(), bytes.length)
      assert.deepEqual(await rows('pull'), [])

      const { id, createdAt, kind, owner, version } = object
      const tombstone = { id, createdAt, kind, owner, version: version + 1, deleted: true }
      const sealed = sealObject(tombstone as Unsealed<FmtpObject>, edgar).object
      const answer = await end.ask({ verb: 'describe', n: ++n, object: sealed, for: [lost.address] })
      assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
      assert.equal((await get(attachment.sha256, { as: lost }))[0], 404)
      assert.equal(usedBytes(), 0)
      await lenore.running.upkeep.once()
      assert.ok(!existsSync(blobFile(lenore, attachment.sha256)))
      for (const word of ['pulled', 'attached', 'blob', 'loose'] as const)
        assert.deepEqual(await rows(word), [], word)
    })

    it('of nothing, and twice the same, come too', async () => {
      const empty = attachmentOf(Buffer.alloc(0))
      await bring([empty])
      await give(Buffer.alloc(0))
      await logged('pull.done')
      assert.deepEqual(await get(empty.sha256, { as: lost }), [200, Buffer.alloc(0)])
      const bytes = randomBytes(1000)
      await bring([attachmentOf(bytes)])
      await give(bytes)
      const again = attachmentOf(bytes)
      await bring([again])
      await logged('pull.done', 3)
      assert.equal((await get(again.sha256, { secret: again.secret }))[0], 200)
      assert.deepEqual(end.frames, [], 'what has come from there is not asked for again')
      assert.equal(usedBytes(), 2000)
    })

    it('that are here by others are not had by naming them', async () => {
      const bytes = randomBytes(1000)
      const alice = await enrol(lenore, 'alice@lenore.org')
      await putBlob(lenore, alice, bytes)
      const own = await connectAs(lenore, alice)
      const id = mintId(alice.address as Name, Date.now())
      const object = { id, kind: 'message', format: 'text/plain', body: 'See', to: ['alice@lenore.org'] }
      assert.equal(
        (await own.describe({ object: { ...object, attachments: [attachmentOf(bytes)] } })).outcome,
        'stored',
      )
      own.close()
      const attachment = attachmentOf(bytes)
      await bring([attachment])
      const frame = await asked()
      assert.equal((await get(attachment.sha256, { secret: attachment.secret }))[0], 404)
      end.sendFrame({ verb: 'answer', re: frame.n, outcome: 'absent', code: 'FMTP_ABSENT' })
      assert.equal((await logged('pull.failed')).code, 'FMTP_ABSENT')
      assert.equal((await get(attachment.sha256, { secret: attachment.secret }))[0], 404)
    })

    it('go on from what is on the disk when the receiver was stopped', async () => {
      const bytes = randomBytes(2 * piece + 100)
      const attachment = attachmentOf(bytes)
      await bring([attachment])
      end.sendFrame(answerTo(await asked(), bytes))
      await asked()
      await network.stop('lenore.org')
      lenore = await network.serve('lenore.org', {
        limits: { blobBytes: 4 * kib * kib, userBlobBytes: 3 * kib * kib },
      })
      end = await open()
      network.clock.advance(minuteMs * 1.2)
      const frame = await asked()
      assert.deepEqual(frame.range, [piece, 2 * piece - 1])
      end.sendFrame(answerTo(frame, bytes))
      end.sendFrame(answerTo(await asked(), bytes))
      await logged('pull.done')
      assert.deepEqual(await get(attachment.sha256, { as: lost }), [200, bytes])
    })

    it('that break off go on over the next connection', async () => {
      const bytes = randomBytes(piece + 1)
      const attachment = attachmentOf(bytes)
      await bring([attachment])
      end.sendFrame(answerTo(await asked(), bytes))
      await asked()
      end.close()
      await logged('pull.unreachable')
      end = await open()
      const frame = await asked()
      assert.deepEqual(frame.range, [piece, 2 * piece - 1])
      end.sendFrame(answerTo(frame, bytes))
      await logged('pull.done')
    })

    it('that come too slowly are put off, and go on from there', async () => {
      const bytes = randomBytes(3 * piece)
      await bring([attachmentOf(bytes)])
      end.sendFrame(answerTo(await asked(), bytes))
      const second = await asked()
      network.clock.advance(limits.pullMs + 1)
      end.sendFrame(answerTo(second, bytes))
      const record = await logged('pull.later')
      assert.deepEqual([record.code, record.faults], ['FMTP_TIMEOUT', 0])
      network.clock.advance(2 * minuteMs)
      const third = await asked()
      assert.deepEqual(third.range, [2 * piece, 3 * piece - 1])
      end.sendFrame(answerTo(third, bytes))
      await logged('pull.done')
    })

    it('and their rows are held against each other by verify, and mended', async () => {
      const bytes = randomBytes(1000)
      const { sha256 } = attachmentOf(bytes)
      const { id } = await bring([attachmentOf(bytes)])
      await give(bytes)
      await logged('pull.done')
      await network.stop('lenore.org')
      const ports = { onProgress: () => undefined, signal: new AbortController().signal }
      const pulled = keyOf.pulled(sha256, id)
      const pull = keyOf.pull('poe.net', 5, sha256, id)
      const kept = JSON.stringify({ atMs: 1, attempts: 0, faults: 0 })
      const tampered: readonly (readonly [key: string, value: string])[] = [
        [pulled, JSON.stringify({ address: lost.address, bytes: 999 })],
        [pulled, JSON.stringify({ address: 'nobody@lenore.org', bytes: 1000 })],
        [pulled, '{'],
        [keyOf.pulled(sha256, '1.edgar@poe.net'), JSON.stringify({ address: lost.address, bytes: 1000 })],
        [keyOf.head(listOf.blobs(lost.address)), '0 999'],
        [pull, '{}'],
        [pull.replace('pull poe.net', 'pull raven.example'), kept],
        [`pull poe.net 5 ${sha256} ${id}`, kept],
        [keyOf.away('poe.net'), '{}'],
      ]
      for (const [key, value] of tampered) {
        await using core = await openCore(lenore.config)
        const before = core.database.get(key)
        await core.database.commit([{ puts: [[key, value]] }])
        const { found } = await verifyStore(core, ports)
        assert.ok(found.length > 0, `${key} ${value}`)
        await core[Symbol.asyncDispose]()
        assert.deepEqual((await repair(lenore.config.file, ports)).found, [], `${key} ${value}`)
        await using again = await openCore(lenore.config)
        // As it was, where it was thrown away.
        if (before !== undefined && again.database.get(key) === undefined)
          await again.database.commit([
            { puts: [[key, before]], adjusts: [{ list: listOf.blobs(lost.address), bytes: 1000 }] },
          ])
      }
      // What is due is a row like any other.
      await using core = await openCore(lenore.config)
      await core.database.commit([{ puts: [[pull, kept]] }])
      assert.deepEqual((await verifyStore(core, ports)).found, [])
    })

    const half = randomBytes(1000)
    const lies: readonly (readonly [what: string, code: string, lie: (frame: Received) => object])[] = [
      ['other bytes', 'FMTP_BLOB_HASH', frame => answerTo(frame, randomBytes(1000))],
      ['more than told', 'FMTP_BLOB_SIZE', frame => answerTo(frame, randomBytes(2000))],
      ['less than told', 'FMTP_BLOB_SIZE', frame => answerTo(frame, randomBytes(10))],
      [
        'a piece that is too short',
        'FMTP_BLOB_PIECE',
        frame => ({ ...answerTo(frame, half), bytes: 'AAAA' }),
      ],
      [
        'two bytes too many',
        'FMTP_BLOB_PIECE',
        frame => ({
          ...answerTo(frame, half),
          bytes: Buffer.concat([half, half]).toString('base64', 0, 1002),
        }),
      ],
      ['no bytes without an end', 'FMTP_BLOB_PIECE', frame => ({ ...answerTo(frame, half), bytes: '' })],
      ['another range', 'FMTP_BLOB_PIECE', frame => ({ ...answerTo(frame, half), range: [1, 1000] })],
      ['no total', 'FMTP_BLOB_PIECE', frame => ({ ...answerTo(frame, half), total: undefined })],
      ['a refusal', 'FMTP_REFUSED', ({ n: re }) => ({ verb: 'answer', re, outcome: 'refused' })],
    ]
    for (const [what, code, lie] of lies) {
      it(`are thrown away where it gives ${what}, and given up after a few times`, async () => {
        const attachment = attachmentOf(half)
        await bring([attachment])
        for (let tries = 1; tries <= limits.pullFaults; tries++) {
          const frame = await asked()
          assert.deepEqual((frame.range as number[])[0], 0)
          end.sendFrame(lie(frame))
          const record = await logged(
            tries < limits.pullFaults ? 'pull.later' : 'pull.failed',
            tries % 5 || 1,
          )
          assert.deepEqual([record.code, record.domain], [code, 'poe.net'])
          assert.equal(partialBytes(lenore), 0)
          network.clock.advance(5 * 60 * minuteMs)
        }
        assert.deepEqual(await rows('pull'), [])
        assert.ok(!existsSync(blobFile(lenore, attachment.sha256)))
        assert.equal(usedBytes(), 0)
        // A user may have it tried once more.
        const getting = get(attachment.sha256, { as: lost })
        end.sendFrame(answerTo(await asked(), half))
        assert.deepEqual(await getting, [200, half])
      })
    }

    it('that never end are left after a while, and given up in five days', async () => {
      const attachment = attachmentOf(half)
      await bring([attachment])
      // A line without an end: more than a frame may have.
      await asked()
      end.sendBytes(Buffer.alloc(limits.frameBytes + 1, 0x20))
      await end.closed()
      // It is asked once more over another connection, and there is none.
      await logged('pull.unreachable')
      for (let days = 0; days < 5; days++) {
        network.clock.advance(dayMs)
        await logged('pull.unreachable', days + 2)
      }
      assert.equal((await logged('pull.failed')).domain, 'poe.net')
      assert.deepEqual(await rows('pull'), [])
    })

    it('that do not fit are not asked for, and are told to who wants them', async () => {
      const big = attachmentOf(half, { bytes: 4 * kib * kib + 1 })
      await bring([big])
      assert.equal((await logged('pull.failed')).code, 'FMTP_BLOB_TOO_LARGE')
      const bytes = randomBytes(2 * kib * kib)
      await bring([attachmentOf(bytes)])
      await give(bytes)
      await logged('pull.done')
      const more = randomBytes(2 * kib * kib)
      const { id, attachments } = await bring([attachmentOf(more)])
      const record = await logged('pull.failed', 2)
      assert.deepEqual([record.code, record.id], ['FMTP_NO_ROOM', id])
      const sha256 = String(attachments?.[0]?.sha256)
      assert.equal((await get(sha256, { as: lost }))[0], 507)
      const client = await connectAs(lenore, lost)
      const { answer } = await client.request({ blob: sha256, id, effort: 'lookup' })
      assert.deepEqual([answer.outcome, answer.code], ['unreachable', 'FMTP_NO_ROOM'])
      client.close()
      assert.equal(usedBytes(), bytes.length)
      assert.deepEqual(end.frames, [])
    })

    it('are for guests where they are public only; whoever asks for nonsense is told so', async () => {
      const bytes = randomBytes(1000)
      const edgars = attachmentOf(bytes)
      await putBlob(lenore, lost, bytes)
      const client = await connectAs(lenore, lost)
      const id = mintId(lost.address as Name, Date.now())
      const draft = { id, kind: 'message', format: 'text/plain', body: 'See', to: ['edgar@poe.net'] }
      assert.equal((await client.describe({ object: { ...draft, attachments: [edgars] } })).outcome, 'stored')
      client.close()
      const { sha256, secret } = edgars
      const guest = await rawTls(lenore.address, lenore.port, 'lenore.org')
      ends.push(guest)
      await guest.hello('lenore.org')
      const ask = async (from: RawEnd, members: object): Promise<unknown> => {
        const { outcome, code } = await from.ask({ verb: 'request', n: ++n, blob: sha256, id, ...members })
        return code ?? outcome
      }
      assert.equal(await ask(guest, { secret }), 'FMTP_ABSENT')
      assert.equal(await ask(end, {}), 'FMTP_ABSENT')
      assert.equal(await ask(end, { secret }), 'found')
      assert.equal(await ask(end, { for: ['edgar@poe.net'] }), 'found')
      assert.equal(await ask(end, { for: ['edgar@poe.net', 'bob@poe.net'] }), 'FMTP_ABSENT')
      assert.equal(await ask(end, { for: ['edgar@raven.example'] }), 'FMTP_ABSENT')
      assert.equal(await ask(end, { secret, id: '1.edgar@poe.net' }), 'FMTP_NOT_HERE')
      const past = await end.ask({ verb: 'request', n: ++n, blob: sha256, id, secret, range: [1000, 1001] })
      assert.deepEqual([past.outcome, past.bytes, past.range, past.total], ['found', '', undefined, 1000])
      const nonsense = [
        { id: undefined },
        { address: 'lost@lenore.org' },
        { blob: 'x' },
        { blob: 7 },
        { secret: 'short' },
        { range: [0] },
        { range: [5, 4] },
        { range: [-1, 4] },
        { range: [0, piece] },
        { range: '0-9' },
      ]
      for (const members of nonsense)
        assert.equal(await ask(end, { secret, ...members }), 'FMTP_BAD_FRAME', JSON.stringify(members))
      assert.equal(await ask(end, { secret, follow: true }), 'FMTP_NOT_OFFERED')
    })

    it('are not kept waiting by domains that are dead', async () => {
      for (let dead = 0; dead < 6; dead++) {
        const domain = network.hand(`dead${dead}.example`)
        // It takes every question, and never answers.
        end = await open(domain)
        await bring([attachmentOf(randomBytes(10))], {}, handUser(domain, `raven@${domain.name}`))
      }
      end = await open()
      const bytes = randomBytes(1000)
      await bring([attachmentOf(bytes)])
      const frame = await asked(8000)
      end.sendFrame(answerTo(frame, bytes))
      await logged('pull.done')
      const waiting = ends.filter(({ frames }) => frames.some(({ verb }) => verb === 'request'))
      assert.equal(waiting.length, 6, 'all were asked')
    })
  })
})
