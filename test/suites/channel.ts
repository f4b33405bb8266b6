/**
 * What holds on every kind of connection (protocol §4, §5): who may say hello and how, describe, request, answer and
 * goodbye, answers out of order, windows and follows. Run over TLS, WebSocket and the in-memory pair.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPair, signerOf, verifierOf } from '../../objects/seals/keys.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { type Address, parseAddress } from '../../schemas/text/names.ts'
import { isProvenBy } from '../../wire/hello.ts'
import { waitUntil } from '../support/conditions.ts'
import { type HandDomain, type HandUser, handHello, handMessage, handUser } from '../support/hand.ts'
import { enrol, Network, type Person, type TestServer } from '../support/network.ts'
import type { RawEnd, Received } from '../support/raw.ts'

const windowFrames = 4
const lateMs = 120

/** `open` connects a raw end to the server, before any hello of ours. */
export function channelSuite(transport: string, open: (server: TestServer) => Promise<RawEnd>): void {
  describe(`a channel over ${transport}`, () => {
    let network: Network
    let server: TestServer
    let poe: HandDomain
    let edgar: HandUser
    let lost: Person
    const asked: string[] = []
    const ends: RawEnd[] = []

    before(async () => {
      network = await Network.start({
        lateMs,
        onQuery: ({ name, type }) => {
          if (type === 'TXT') asked.push(name)
        },
      })
      server = await network.serve('lenore.org', { limits: { windowFrames } })
      poe = network.hand('poe.net')
      edgar = handUser(poe, 'edgar@poe.net')
      lost = await enrol(server, 'lost@lenore.org')
    })

    after(() => network[Symbol.asyncDispose]())

    afterEach(() => {
      for (const end of ends.splice(0)) end.close()
    })

    async function connect(): Promise<RawEnd> {
      const end = await open(server)
      ends.push(end)
      return end
    }

    async function asServer(): Promise<RawEnd> {
      const end = await connect()
      await end.hello('lenore.org', { as: 'poe.net', signer: poe.signer })
      return end
    }

    async function asClient(members: Partial<HelloFrame> = {}): Promise<RawEnd> {
      const end = await connect()
      await end.hello('lenore.org', { as: lost.address, ...lost }, members)
      return end
    }

    /** A name whose home is looked for in vain, but only after `lateMs`. */
    function slowName(domain: string): string {
      network.zone.fail(`fmtpkey.${domain}`, 'TXT', 'late')
      return `nobody@${domain}`
    }

    const ownAddress = { verb: 'request', address: 'lost@lenore.org' } as const
    const describeTo = (n: number, object: object) => ({
      verb: 'describe',
      n,
      object,
      for: ['lost@lenore.org'],
    })

    describe('hello', () => {
      it('of a guest is answered by the domain, which proves itself', async () => {
        const end = await connect()
        const opening = handHello(end, 'lenore.org')
        end.sendFrame(opening)
        const reply = (await end.next()) as unknown as HelloFrame
        assert.equal(reply.role, 'answers')
        assert.equal(reply.as, 'lenore.org')
        assert.equal(reply.peerNonce, opening.nonce)
        assert.equal(reply.limits?.windowFrames, windowFrames)
        const [own] = server.running.domains.values()
        assert.ok(own !== undefined && (await isProvenBy(reply, verifierOf(own.current.pair.jwk))))
      })

      it('of a domain gives it the standing of a server', async () => {
        const end = await connect()
        const reply = await end.hello('lenore.org', { as: 'poe.net', signer: poe.signer })
        assert.equal(reply.to, 'poe.net')
        const answer = await end.ask(describeTo(1, handMessage(edgar, ['lost@lenore.org'])))
        assert.equal(answer.outcome, 'stored')
      })

      it('to a user is answered by the domain of that user', async () => {
        const end = await connect()
        const reply = await end.hello(lost.address, { as: 'poe.net', signer: poe.signer })
        assert.equal(reply.as, 'lenore.org')
      })

      it('of a user of another domain is believed by credential', async () => {
        const end = await connect()
        const reply = await end.hello('lenore.org', { as: 'edgar@poe.net', ...edgar })
        assert.equal(reply.to, 'edgar@poe.net')
        const answer = await end.ask(describeTo(1, handMessage(edgar, ['lost@lenore.org'])))
        assert.equal(answer.outcome, 'stored')
      })

      it('of an own client with a token works once', async () => {
        const token = await server.running.accounts.makeToken(lost.address as Address)
        const first = await connect()
        await first.hello('lenore.org')
        assert.equal((await first.hello('lenore.org', { as: lost.address }, { token })).verb, 'hello')
        assert.equal((await first.ask({ ...boxOf(1) })).outcome, 'found')
        const second = await connect()
        assert.equal((await second.hello('lenore.org', { as: lost.address }, { token })).code, 'FMTP_TOKEN')
      })

      it('with a token and a key enrols a device, which then needs no token', async () => {
        const token = await server.running.accounts.makeToken(lost.address as Address)
        const pair = generateKeyPair()
        const who = { as: lost.address, signer: signerOf(pair) }
        const first = await connect()
        const { issued } = await first.hello('lenore.org', who, { token, key: pair.jwk })
        assert.equal(typeof issued, 'string')
        const second = await connect()
        const reply = await second.hello('lenore.org', { ...who, credential: String(issued) })
        assert.equal(reply.verb, 'hello')
        assert.equal(reply.issued, undefined, 'a credential that is young stays')
        assert.equal((await second.ask(boxOf(1))).outcome, 'found')
      })

      it('of a device renews a credential that is a day old', async () => {
        const server2 = await network.serve('raven.example')
        const person = await enrol(server2, 'raven@raven.example')
        network.clock.advance(25 * 60 * 60 * 1000)
        const end = await open(server2)
        ends.push(end)
        const reply = await end.hello('raven.example', { as: person.address, ...person })
        assert.equal(typeof reply.issued, 'string')
        assert.notEqual(reply.issued, person.credential)
        await network.stop('raven.example')
      })

      it('may not be said again in another name', async () => {
        const end = await connect()
        await end.hello('lenore.org', { as: 'edgar@poe.net', ...edgar })
        const lenore = handUser(poe, 'lenore@poe.net')
        end.sendFrame(handHello(end, 'lenore.org', { as: 'lenore@poe.net', ...lenore }))
        assert.equal(await end.goodbye(), 'FMTP_WRONG_STATE')
      })

      it('may not be taken back to be a guest', async () => {
        const end = await connect()
        await end.hello('lenore.org', { as: 'edgar@poe.net', ...edgar })
        end.sendFrame(handHello(end, 'lenore.org'))
        assert.equal(await end.goodbye(), 'FMTP_WRONG_STATE')
        // What is written to edgar now looks for a session of his.
        const client = await asClient()
        await client.ask({ verb: 'describe', n: 1, object: draft(['edgar@poe.net']) })
        assert.equal((await client.ask({ ...ownAddress, n: 2 })).outcome, 'found')
      })
    })

    it('describes an object, which is stored and comes back when it is asked for', async () => {
      const end = await asServer()
      const message = handMessage(edgar, ['lost@lenore.org'])
      const answer = await end.ask(describeTo(7, message))
      assert.deepEqual(answer.results, [{ for: 'lost@lenore.org', outcome: 'stored' }])
      assert.equal((await end.ask(describeTo(8, message))).outcome, 'duplicate')
      const client = await asClient()
      assert.equal((await client.ask({ verb: 'request', n: 1, id: message.id })).outcome, 'found')
      const described = await client.next(({ verb, re }) => verb === 'describe' && re === 1)
      assert.deepEqual(described.object, message)
    })

    it('answers a draft with the id and version that the home gave it', async () => {
      const end = await asClient()
      const object = draft([])
      const answer = await end.ask({ verb: 'describe', n: 1, object: { ...object, to: [lost.address] } })
      assert.equal(answer.outcome, 'stored')
      assert.equal(answer.id, object.id)
      assert.equal(typeof answer.version, 'number')
    })

    it('ends with goodbye, and closes', async () => {
      const end = await asServer()
      end.sendFrame({ verb: 'goodbye' })
      await end.closed()
    })

    it('answers out of order: what is known does not wait for what is looked up', async () => {
      const end = await asClient()
      end.sendFrame({
        verb: 'request',
        n: 1,
        address: slowName(`${transport}-order.example`),
        effort: 'lookup',
      })
      end.sendFrame({ ...ownAddress, n: 2 })
      const isAnswer = ({ verb }: Received): boolean => verb === 'answer'
      assert.equal((await end.next(isAnswer)).re, 2)
      const slow = await end.next(isAnswer)
      assert.equal(slow.re, 1)
      assert.equal(slow.code, 'FMTP_NO_KEY')
    })

    it('pairs each answer with its question, whatever numbers the asker takes', async () => {
      const end = await asClient()
      const numbers = [9, 3, Number.MAX_SAFE_INTEGER, 4]
      const names = ['lost@lenore.org', 'nobody@lenore.org', 'lenore.org', 'no-one@lenore.org']
      for (const [index, n] of numbers.entries())
        end.sendFrame({ verb: 'request', n, address: names[index], effort: 'own' })
      const outcomes = await Promise.all(numbers.map(async n => (await end.answer(n)).outcome))
      assert.deepEqual(outcomes, ['found', 'absent', 'found', 'absent'])
      const described = end.frames.map(({ re, object }) => [re, (object as { id: string }).id])
      assert.deepEqual(Object.fromEntries(described), {
        9: 'user.lost@lenore.org',
        [Number.MAX_SAFE_INTEGER]: 'server.lenore.org',
      })
    })

    it('refuses a number that still stands unanswered, and takes it again after', async () => {
      const end = await asClient()
      const address = slowName(`${transport}-twice.example`)
      end.sendFrame({ verb: 'request', n: 1, address, effort: 'lookup' })
      end.sendFrame({ ...ownAddress, n: 1 })
      assert.equal((await end.answer(1)).code, 'FMTP_DUPLICATE_N')
      assert.equal((await end.answer(1)).code, 'FMTP_NO_KEY')
      assert.equal((await end.ask({ ...ownAddress, n: 1 })).outcome, 'found')
    })

    it('ends over an answer to nothing', async () => {
      const end = await asServer()
      end.sendFrame({ verb: 'answer', re: 5, outcome: 'stored' })
      assert.equal(await end.goodbye(), 'FMTP_UNEXPECTED_ANSWER')
    })

    it('ends over an object that answers nothing', async () => {
      const end = await asServer()
      end.sendFrame({ verb: 'describe', re: 5, object: handMessage(edgar, ['lost@lenore.org']) })
      assert.equal(await end.goodbye(), 'FMTP_UNEXPECTED_ANSWER')
    })

    it('does not read a side with more unanswered than the window, until answers free it', async () => {
      const end = await asClient()
      const domains = Array.from({ length: windowFrames * 3 }, (_, at) => `${transport}-window${at}.example`)
      asked.length = 0
      const addresses = domains.map(slowName)
      for (const [at, address] of addresses.entries())
        end.sendFrame({ verb: 'request', n: at + 1, address, effort: 'lookup' })
      const lookedUp = (): number => new Set(asked.filter(name => name.includes('-window'))).size
      const answers = (): number => end.frames.filter(({ verb }) => verb === 'answer').length
      await waitUntil('the window is full', () => lookedUp() === windowFrames)
      let most = 0
      await waitUntil('all are answered', () => {
        most = Math.max(most, lookedUp() - answers())
        return answers() === domains.length
      })
      assert.equal(most, windowFrames)
      assert.equal(lookedUp(), domains.length)
    })

    it('leaves no more unanswered than the other side allows', async () => {
      const client = await asClient({ limits: { windowFrames: 2 } })
      const sender = await asServer()
      const sent = Array.from({ length: 5 }, () => handMessage(edgar, ['lost@lenore.org']))
      for (const [at, object] of sent.entries()) sender.sendFrame(describeTo(at + 1, object))
      await Promise.all(sent.map((_, at) => sender.answer(at + 1)))
      let most = 0
      for (const _ of sent) {
        const next = await client.next(({ verb }) => verb === 'describe')
        await sleep(10)
        most = Math.max(most, 1 + client.frames.filter(({ verb }) => verb === 'describe').length)
        client.sendFrame({ verb: 'answer', re: next.n, outcome: 'stored' })
      }
      assert.equal(most, 2)
    })

    it('follows a list until that is ended', async () => {
      const client = await asClient()
      const { cursor } = await client.ask(boxOf(1))
      client.frames.length = 0
      const follow = { ...boxOf(2, String(cursor)), follow: true }
      assert.equal((await client.ask(follow)).outcome, 'found')
      assert.equal((await client.ask({ ...follow, n: 2 })).code, 'FMTP_DUPLICATE_N', 'it is open')
      const sender = await asServer()
      const [first, second] = [1, 2].map(() => handMessage(edgar, ['lost@lenore.org']))
      await sender.ask(describeTo(1, first ?? {}))
      const followed = await client.next(({ verb }) => verb === 'describe')
      assert.equal(followed.re, 2)
      assert.equal((followed.object as { id: string }).id, first?.id)
      assert.equal(typeof followed.cursor, 'string')
      client.sendFrame({ verb: 'request', n: 2, follow: false })
      assert.equal((await client.ask({ ...ownAddress, n: 3 })).outcome, 'found')
      client.frames.length = 0
      await sender.ask(describeTo(2, second ?? {}))
      const passed = await client.next(({ verb }) => verb === 'describe')
      assert.equal(passed.re, undefined, 'passed on, not followed')
      assert.equal((passed.object as { id: string }).id, second?.id)
      assert.equal((await client.ask({ ...ownAddress, n: 2 })).outcome, 'found', 'its number is free')
    })

    it('passes on what arrives though a follow was refused', async () => {
      const client = await asClient()
      const lostCursor = { ...boxOf(1, 'ffffffff.1'), follow: true }
      assert.equal((await client.ask(lostCursor)).code, 'FMTP_CURSOR_LOST')
      const sender = await asServer()
      await sender.ask(describeTo(1, handMessage(edgar, ['lost@lenore.org'])))
      assert.equal(typeof (await client.next(({ verb }) => verb === 'describe')).n, 'number')
    })

    it('passes on what another device made of an object, and not the own version', async () => {
      const [first, second] = [await asClient(), await asClient()]
      const object = draft([lost.address])
      await first.ask({ verb: 'describe', n: 1, object })
      await second.ask({ verb: 'describe', n: 1, object: { ...object, body: 'Evermore' } })
      const passed = await first.next(({ verb }) => verb === 'describe')
      assert.equal((passed.object as { body: string }).body, 'Evermore')
    })

    function boxOf(n: number, after?: string) {
      const list = { of: 'box', ...(after === undefined ? {} : { after }) }
      return { verb: 'request', n, list }
    }

    function draft(to: readonly string[]) {
      const { id, kind, format, body } = handMessage({ ...edgar, address: parseAddress(lost.address) }, to)
      return { id, kind, format, body, to }
    }
  })
}
