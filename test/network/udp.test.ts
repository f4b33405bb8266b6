/**
 * One public object in one datagram (protocol §4.8, §10.3): given to anybody and never more bytes than came, believed by its
 * seal alone, and asked for over a stream where nothing came.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import type { Connection } from '../../client/connection.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { waitUntil } from '../support/conditions.ts'
import { type Asked, type HandDatagrams, handDatagrams, padded, sendDatagram } from '../support/datagrams.ts'
import { handDomain, handProfile, handUser } from '../support/hand.ts'
import { connectAs, enrol, Network, type TestServer } from '../support/network.ts'
import { rawTls } from '../support/raw.ts'

const lost = 'lost@lenore.org'

/** The same object to be edited: without its seal. */
function draftOf(object: unknown): object {
  const { encryptedKey: _, hash: __, version: ___, ...draft } = object as Record<string, unknown>
  return draft
}

describe('udp', function () {
  this.timeout(30_000)
  let network: Network
  let lenore: TestServer
  let writer: Connection
  let queries: string[]
  const open: (AsyncDisposable | { close(): void })[] = []

  function keep<T extends AsyncDisposable | { close(): void }>(one: T): T {
    open.push(one)
    return one
  }

  async function startLenore(limitsOf: Record<string, number | readonly string[]> = {}): Promise<void> {
    lenore = await network.serve('lenore.org', { udp: true, limits: limitsOf })
    writer = keep(await connectAs(lenore, await enrol(lenore, lost)))
  }

  async function publish(members: object): Promise<string> {
    const object = { id: `p${Math.random().toString(36).slice(2)}.${lost}`, kind: 'post', ...members }
    const text = { title: 'Lenore', format: 'text/plain', body: 'Ah, broken is the golden bowl!' }
    const { outcome, code } = await writer.describe({
      object: { ...text, public: true, ...object },
    })
    assert.equal(outcome, 'stored', code)
    return (object as { id: string }).id
  }

  const place = () => ({ address: lenore.address, port: lenore.running.udp[0]?.port ?? 0 })

  async function ask(members: object, bytes?: number) {
    const answer = await sendDatagram(place(), padded({ n: 5, ...members }, bytes), 2000)
    if (answer === undefined) throw new Error('no answer')
    const frame = JSON.parse(answer.toString()) as Record<string, unknown>
    const { outcome, code } = frame
    return { ...frame, outcome, code, bytes: answer.length }
  }

  beforeEach(async () => {
    queries = []
    network = await Network.start({ onQuery: ({ name }) => queries.push(name) })
  })

  afterEach(async () => {
    for (const one of open.splice(0).reverse())
      await ('close' in one ? one.close() : one[Symbol.asyncDispose]())
    await network[Symbol.asyncDispose]()
  })

  describe('a server', () => {
    beforeEach(() => startLenore())

    it('gives a user and a post as it gives them over a stream', async () => {
      const id = await publish({})
      const guest = keep(await rawTls(lenore.address, lenore.port, 'lenore.org'))
      await guest.hello('lenore.org')
      for (const [n, sought] of [{ address: lost }, { id }, { address: 'lenore.org' }].entries()) {
        const { verb, re, outcome, object, bytes } = (await ask(sought)) as Record<string, unknown>
        assert.deepEqual([verb, re, outcome], ['answer', 5, 'found'])
        assert.ok((bytes as number) <= limits.datagramBytes)
        guest.sendFrame({ verb: 'request', n: n + 1, ...sought })
        const described = await guest.next(frame => frame.verb === 'describe' && frame.re === n + 1)
        assert.deepEqual(object, described.object)
      }
    })

    it('says nothing to what is shorter or longer than a question, or is none', async () => {
      const frame = { n: 5, address: lost }
      const answer = { verb: 'answer', re: 5, outcome: 'found' }
      const silent: readonly (readonly [what: string, bytes: Buffer])[] = [
        ['a byte less', padded(frame, limits.datagramBytes - 1)],
        ['a byte more', padded(frame, limits.datagramBytesMost + 1)],
        ['nothing', Buffer.alloc(0)],
        ['zeros', Buffer.alloc(limits.datagramBytes)],
        ['half a frame', padded(frame, limits.datagramBytes + 1).subarray(0, limits.datagramBytes)],
        ['no UTF-8', Buffer.concat([Buffer.from([0xff]), padded(frame)])],
        ['brackets', Buffer.from('['.repeat(limits.datagramBytes))],
        ['no n', padded({ address: lost })],
        ['no address', padded({ n: 5, address: 'lost@' })],
        ['an answer', padded({ ...answer })],
        ['a hello', padded({ ...frame, verb: 'hello', version: 1, role: 'opens', nonce: 'a'.repeat(22) })],
        ['a describe', padded({ ...frame, verb: 'describe', object: {} })],
        ['a goodbye', padded({ verb: 'goodbye' })],
      ]
      const heard = await Promise.all(silent.map(async ([, bytes]) => sendDatagram(place(), bytes)))
      assert.deepEqual(
        silent.flatMap(([what], at) => (heard[at] === undefined ? [] : [what])),
        [],
      )
      assert.equal((await ask({ address: lost })).outcome, 'found')
      assert.equal((await ask({ address: lost }, limits.datagramBytesMost)).outcome, 'found')
    })

    it('never answers with more than came: what does not fit is FMTP_USE_STREAM', async () => {
      const outcomes = new Set<unknown>()
      for (let chars = 0; chars < 700; chars += 37) {
        const id = await publish({ body: 'o'.repeat(chars + 1) })
        for (const asked of [limits.datagramBytes, limits.datagramBytesMost]) {
          const { bytes, outcome, code } = await ask({ id }, asked)
          assert.ok(bytes <= asked, `${bytes} for ${asked}`)
          assert.equal(code, outcome === 'found' ? undefined : 'FMTP_USE_STREAM')
          outcomes.add(`${asked} ${outcome}`)
        }
      }
      assert.equal(outcomes.size, 4, [...outcomes].join())
      assert.equal((await ask({ id: await publish({ body: 'o'.repeat(3000) }) })).code, 'FMTP_USE_STREAM')
    })

    it('gives what everybody may have: the rest is not there, or not here', async () => {
      const alice = keep(await connectAs(lenore, await enrol(lenore, 'alice@lenore.org')))
      const secret = await publish({ kind: 'message', public: false, title: undefined, to: [lost] })
      const { describes } = await alice.request({ address: 'alice@lenore.org' })
      await alice.describe({ object: { ...draftOf(describes[0]?.object), public: false } })
      const nobody = await ask({ address: 'nobody@lenore.org' })
      assert.deepEqual([nobody.outcome, nobody.code], ['absent', 'FMTP_ABSENT'])
      assert.deepEqual(await ask({ address: 'alice@lenore.org' }), nobody)
      assert.deepEqual(await ask({ id: secret }), nobody)
      const foreign = await ask({ address: 'edgar@poe.net' })
      assert.deepEqual([foreign.outcome, foreign.code], ['unreachable', 'FMTP_NOT_HERE'])
      const lists = [{ list: { of: 'public', owner: lost } }, { blob: 'b'.repeat(43), id: secret }, {}]
      for (const more of [...lists, { address: lost, follow: true }, { address: lost, id: secret }])
        assert.equal((await ask(more)).code, 'FMTP_USE_STREAM', JSON.stringify(more))
    })
  })

  it('too many questions of one network are left unanswered and counted; streams and others are not', async () => {
    await startLenore({ exempt: ['127.78.0.0/16'] })
    const socket = keep(createSocket('udp4'))
    let answered = 0
    const startMs = network.clock.now()
    socket.on('message', () => answered++)
    const { address, port } = place()
    // Few at a time: the system drops what nobody has read.
    for (let round = 0; round < 30; round++) {
      for (let at = 0; at < 10; at++) socket.send(padded({ n: 1, address: lost }), port, address)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    await waitUntil('the first are answered', () => answered >= limits.datagramsBurst)
    const filled = ((network.clock.now() - startMs) / 1000) * limits.datagramsPerSecond
    assert.ok(answered <= limits.datagramsBurst + filled + 1, `${answered} answers`)
    assert.ok(answered < 300, 'some were left unanswered')
    const refused = lenore.log.find(({ event }) => event === 'limit.refused')
    assert.deepEqual([refused?.record.limit, refused?.record.who], ['datagrams', '127.0.0.0/24'])
    const guest = keep(await rawTls(lenore.address, lenore.port, 'lenore.org'))
    await guest.hello('lenore.org')
    assert.equal((await guest.ask({ verb: 'request', n: 1, address: lost })).outcome, 'found')
    network.clock.advance(10_000)
    assert.equal((await ask({ address: lost })).outcome, 'found', 'and it ends')
  })

  describe('a lookup', () => {
    let poe: TestServer
    let reader: Connection

    beforeEach(async () => {
      await startLenore()
      poe = await network.serve('poe.net', { limits: { idleMs: 20_000 } })
      reader = keep(await connectAs(poe, await enrol(poe, 'edgar@poe.net')))
    })

    /** Until poe.net has no connection, which it would ask over. */
    async function idle(): Promise<void> {
      const isGone = () =>
        poe.log.some(
          ({ event, record }) =>
            event === 'session.closed' && record.code === undefined && record.name === 'lenore.org',
        )
      await waitUntil('the connection goes', () => {
        network.clock.elapse(2500)
        return isGone()
      })
    }

    const offer = (port: number): void =>
      network.zone.set('_fmtp._udp.lenore.org', 'SRV', [`0 0 ${port} fmtp.lenore.org`])

    async function look(sought: { address: string } | { id: string }) {
      const { answer, describes } = await reader.request({ ...sought, effort: 'lookup' })
      return { ...answer, object: describes[0]?.object as FmtpObject | undefined }
    }

    const steps = (): string[] =>
      poe.log
        .filter(({ event, record }) => event === 'route' && record.what === 'datagram')
        .map(({ record }) => String(record.outcome))
    const calls = (): number =>
      lenore.log.filter(({ event, record }) => event === 'hello.verified' && record.as === 'poe.net').length

    /** Answers in the place of the server, whose own answer it may ask for. */
    async function impostor(
      answer: (asked: Asked, send: (reply: object | string) => void, real: Record<string, unknown>) => void,
    ): Promise<HandDatagrams> {
      const { bytes: _, ...real } = await ask({ address: lost })
      const hand = keep(await handDatagrams(lenore.address, (asked, send) => answer(asked, send, real)))
      offer(hand.port)
      return hand
    }

    it('asks by UDP where SRV names it, and then needs no connection', async () => {
      offer(place().port)
      const { outcome, object } = await look({ address: lost })
      assert.deepEqual([outcome, object?.owner, calls()], ['found', lost, 0])
      assert.deepEqual(steps(), ['ok'])
      assert.equal((await look({ id: await publish({}) })).outcome, 'found')
      assert.deepEqual([steps(), calls()], [['ok', 'ok'], 0])
    })

    it('asks by UDP where the user it knows has such a contact', async () => {
      const contacts = [{ protocol: 'udp', host: lenore.address, port: place().port, priority: 0 }]
      const { describes } = await writer.request({ address: lost })
      const user = draftOf(describes[0]?.object)
      await writer.describe({ object: { ...user, contacts } })
      offer(place().port)
      await look({ address: lost })
      network.zone.set('_fmtp._udp.lenore.org', 'SRV', [])
      assert.equal((await look({ id: await publish({}) })).outcome, 'found')
      assert.deepEqual([steps(), calls()], [['ok', 'ok'], 0])
    })

    it('asks over a stream alone where nothing names UDP', async () => {
      await look({ address: lost })
      assert.deepEqual([steps(), calls()], [[], 1])
    })

    it('asks over the connection that is open', async () => {
      offer(place().port)
      const message = {
        id: 'm1.edgar@poe.net',
        kind: 'message',
        format: 'text/plain',
        body: 'Nevermore',
        to: [lost],
      }
      await reader.describe({ object: message })
      await waitUntil('it is there', () => lenore.running.store.findObject(message.id) !== undefined)
      assert.deepEqual([steps(), calls()], [[], 1], 'a delivery needs the connection anyway')
      assert.equal((await look({ id: await publish({}) })).outcome, 'found')
      assert.deepEqual([steps(), calls()], [[], 1])
    })

    it('asks over a stream for what is too large, or is not there', async () => {
      offer(place().port)
      const { object } = await look({ id: await publish({ body: 'o'.repeat(3000) }) })
      assert.equal((object as { body?: string } | undefined)?.body?.length, 3000)
      assert.deepEqual([steps(), calls()], [['FMTP_USE_STREAM'], 1])
      assert.equal((await look({ address: 'nobody@lenore.org' })).outcome, 'absent')
    })

    it('asks over a stream where nobody answers, and then not by UDP for a while', async () => {
      const hand = await impostor(() => undefined)
      const looking = look({ address: lost })
      await waitUntil('it is asked', () => hand.asked.length === 1)
      network.clock.elapse(250)
      await waitUntil('it is asked once more', () => hand.asked.length === 2)
      network.clock.elapse(1000)
      assert.equal((await looking).outcome, 'found')
      assert.deepEqual([steps(), hand.asked.length], [['FMTP_TIMEOUT'], 2])
      await idle()
      assert.equal((await look({ id: await publish({}) })).outcome, 'found')
      assert.deepEqual([steps(), hand.asked.length], [['FMTP_TIMEOUT', 'FMTP_RESTING'], 2])
    })

    it('asks twice, by the same number, when the first is lost', async () => {
      const hand = await impostor((asked, send, real) => {
        if (hand.asked.length === 2) send({ ...real, re: asked.frame.n })
      })
      const looking = look({ address: lost })
      await waitUntil('it is asked', () => hand.asked.length === 1)
      network.clock.elapse(250)
      assert.equal((await looking).outcome, 'found')
      const [first, second] = hand.asked
      assert.deepEqual([first?.frame.n, first?.from.port], [second?.frame.n, second?.from.port])
      assert.deepEqual([first?.bytes, calls()], [limits.datagramBytes, 0])
    })

    it('has another port and another number for each question', async () => {
      const hand = await impostor((asked, send) =>
        send({ verb: 'answer', re: asked.frame.n, outcome: 'refused', code: 'FMTP_USE_STREAM' }),
      )
      await look({ address: lost })
      await idle()
      await look({ address: 'annabel@lenore.org' })
      const [first, second] = hand.asked
      assert.equal(hand.asked.length, 2)
      assert.notEqual(first?.frame.n, second?.frame.n)
      assert.notEqual(first?.from.port, second?.from.port)
      for (const { frame } of hand.asked) assert.ok(Number(frame.n) > 1_000_000, String(frame.n))
    })

    it('passes over answers of others, to other numbers, and what is none, until its own comes', async () => {
      const stranger = keep(createSocket('udp4'))
      await impostor((asked, send, real) => {
        const forged = {
          ...real,
          re: asked.frame.n,
          object: { ...(real.object as object), givenName: 'Mallory' },
        }
        stranger.send(JSON.stringify(forged), asked.from.port, asked.from.address)
        send({ ...forged, re: Number(asked.frame.n) + 1 })
        send('nonsense')
        send({ ...forged, verb: 'request' })
        send(JSON.stringify(forged) + ' '.repeat(limits.datagramBytes))
        setTimeout(() => send({ ...real, re: asked.frame.n }), 50)
      })
      const { object } = await look({ address: lost })
      assert.equal((object as { givenName?: string }).givenName, undefined)
      assert.deepEqual([steps(), calls()], [['ok'], 0])
    })

    const lies: readonly (readonly [what: string, lie: (real: Record<string, unknown>) => object])[] = [
      ['a word that was changed', real => ({ object: { ...(real.object as object), givenName: 'Mallory' } })],
      ['another object', real => ({ object: { ...(real.object as object), id: 'user.alice@lenore.org' } })],
      ['a seal of another domain', () => ({ object: handProfile(handUser(handDomain('lenore.org'), lost)) })],
      ['absence', () => ({ outcome: 'absent', code: 'FMTP_ABSENT', object: undefined })],
      ['nothing', () => ({ object: undefined })],
      ['something that is no object', () => ({ object: { id: `user.${lost}`, kind: 'user' } })],
    ]
    for (const [what, lie] of lies) {
      it(`does not believe ${what}, and asks over a stream`, async () => {
        await impostor((asked, send, real) => send({ ...real, ...lie(real), re: asked.frame.n }))
        const { outcome, object } = await look({ address: lost })
        assert.deepEqual(
          [outcome, object?.id, (object as { givenName?: string }).givenName],
          ['found', `user.${lost}`, undefined],
        )
        assert.equal(calls(), 1)
      })
    }

    it('takes no version that is older than the one it has', async () => {
      const id = await publish({})
      const { bytes: _, ...older } = await ask({ id })
      let said: object = { outcome: 'refused', code: 'FMTP_USE_STREAM', object: undefined }
      const hand = keep(
        await handDatagrams(lenore.address, ({ frame }, send) => send({ ...older, ...said, re: frame.n })),
      )
      offer(hand.port)
      const { describes } = await writer.request({ id })
      await writer.describe({ object: { ...draftOf(describes[0]?.object), body: 'Let the bell toll!' } })
      await look({ id })
      await idle()
      said = {}
      // The copy here is stale then, and is asked for again.
      network.clock.advance(limits.userFreshMs + 1000)
      await look({ id })
      await waitUntil('it was asked over a stream', () => calls() === 2)
      assert.deepEqual([hand.asked.length, steps()], [2, ['FMTP_USE_STREAM', 'ok']])
      assert.equal(((await look({ id })).object as { body?: string }).body, 'Let the bell toll!')
    })

    it('sends nothing to an address that may not be dialled', async () => {
      network.zone.set('hole.lenore.org', 'A', ['127.78.0.1'])
      network.zone.set('_fmtp._udp.lenore.org', 'SRV', ['0 0 3687 hole.lenore.org'])
      assert.equal((await look({ address: lost })).outcome, 'found')
      assert.deepEqual(steps(), ['FMTP_GUARDED'])
    })

    it('waits for DNS about UDP no longer than a moment', async () => {
      network.zone.fail('_fmtp._udp.lenore.org', 'SRV', 'silence')
      const startMs = network.clock.steadyMs()
      const looking = look({ address: lost })
      await waitUntil('DNS is asked', () => queries.includes('_fmtp._udp.lenore.org'))
      network.clock.elapse(limits.datagramDnsMs)
      assert.equal((await looking).outcome, 'found')
      const tookMs = network.clock.steadyMs() - startMs
      assert.ok(tookMs < 2500, `${tookMs} ms`)
    })
  })
})
