/**
 * Whatever is wrong, forged, repeated or out of place (protocol §3 to §8), against a server that is a process of its own:
 * each has its code, ends the connection or not as `schemas/failures.ts` says, leaves nothing behind in the store, and
 * the server answers afterwards.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { issueCredential } from '../../objects/seals/credential.ts'
import { generateKeyPair, signerOf } from '../../objects/seals/keys.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import type { FailureCode } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { Draft, FmtpObject, Unsealed } from '../../schemas/object.ts'
import { parseAddress } from '../../schemas/text/names.ts'
import { waitUntil } from '../support/conditions.ts'
import {
  type HandDomain,
  type HandUser,
  handHello,
  handMessage,
  handProfile,
  handUser,
  randomNonce,
} from '../support/hand.ts'
import { Network, type Person } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'
import { type RawEnd, type Received, rawTls, rawWebSocket } from '../support/raw.ts'

describe('bad input', () => {
  let network: Network
  let lenore: ServerProcess
  let poe: HandDomain
  let mallory: HandDomain
  let edgar: HandUser
  let lost: Person
  let alice: Person
  let bob: Person
  const ends: RawEnd[] = []
  /** Ids that the tests brought in on purpose, so that a scan at the end finds nothing else. */
  const stored = new Set<string>()

  before(async () => {
    network = await Network.start()
    lenore = await startProcess(network, 'lenore.org', { block: ['*.blocked.example'] })
    poe = network.hand('poe.net')
    mallory = network.hand('mallory.example')
    edgar = handUser(poe, 'edgar@poe.net')
    lost = await lenore.enrol('lost@lenore.org')
    alice = await lenore.enrol('alice@lenore.org')
    bob = await lenore.enrol('bob@lenore.org')
    await change(alice, { policy: 'reject', whitelist: ['edgar@poe.net'] })
    await change(bob, { policy: 'accept', blacklist: ['*@mallory.example'] })
  })

  after(async () => {
    await lenore[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  afterEach(async () => {
    assert.equal(lenore.child.exitCode, null, 'the server process has ended')
    const guest = await asGuest()
    const answer = await guest.ask({ verb: 'request', n: 1, address: 'lost@lenore.org' })
    assert.equal(answer.outcome, 'found', 'the server answers')
    for (const end of ends.splice(0)) end.close()
  })

  async function open(): Promise<RawEnd> {
    const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
    ends.push(end)
    return end
  }

  async function openAs(
    as: string,
    who: Pick<HandUser, 'signer'> & { credential?: string },
  ): Promise<RawEnd> {
    const end = await open()
    const reply = await end.hello('lenore.org', { as, ...who })
    assert.equal(reply.verb, 'hello', JSON.stringify(reply))
    return end
  }

  const asPoe = (): Promise<RawEnd> => openAs('poe.net', poe)
  const asMallory = (): Promise<RawEnd> => openAs('mallory.example', mallory)
  const asPerson = (person: Person): Promise<RawEnd> => openAs(person.address, person)

  async function asGuest(): Promise<RawEnd> {
    const end = await open()
    await end.hello('lenore.org')
    return end
  }

  /** Publishes a person's own object with these settings. */
  async function change(person: Person, members: object): Promise<void> {
    const end = await asPerson(person)
    const id = `user.${person.address}`
    const object = { id, kind: 'user', public: true, ...members } as Draft
    const answer = await end.ask({ verb: 'describe', n: 1, object })
    assert.equal(answer.outcome, 'stored', JSON.stringify(answer))
    end.close()
  }

  let lastN = 0
  function describeTo(object: object, recipients: readonly string[] = ['lost@lenore.org']) {
    return { verb: 'describe', n: ++lastN, object, for: recipients }
  }

  const note = (code: string | undefined, outcome: string) => ({ code, outcome })
  const whole = ({ code, outcome }: Received) => ({ code, outcome })
  const firstResult = (answer: Received) => {
    const [result] = answer.results as { code?: string; outcome: string }[]
    return { code: result?.code, outcome: result?.outcome }
  }

  /** The connection answers still. */
  async function assertGoesOn(end: RawEnd): Promise<void> {
    const n = ++lastN
    assert.equal((await end.ask({ verb: 'request', n, address: 'lost@lenore.org' })).outcome, 'found')
  }

  /** What a person's box holds, by id. */
  async function boxOf(person: Person): Promise<string[]> {
    const end = await asPerson(person)
    end.sendFrame({ verb: 'request', n: 1, list: { of: 'box', limit: 500 } })
    await end.answer(1)
    const ids = end.frames.map(({ object }) => (object as FmtpObject).id)
    end.close()
    return ids.filter(id => !id.startsWith('user.'))
  }

  async function assertNowhere(id: string): Promise<void> {
    for (const person of [lost, alice, bob]) assert.ok(!(await boxOf(person)).includes(id))
  }

  describe('as bytes and frames', () => {
    /** What is sent after the hello of a server, and the code it ends with. */
    const closing: readonly (readonly [what: string, text: () => string | Uint8Array, code: FailureCode])[] =
      [
        ['a frame that is no JSON', () => 'hello, is anybody there?\n', 'FMTP_NOT_JSON'],
        ['half a frame', () => '{"verb":"request","n":1,\n', 'FMTP_NOT_JSON'],
        ['a frame that is no object', () => '[1,2,3]\n', 'FMTP_NOT_JSON'],
        [
          'a line over the limit',
          () => `{"verb":"request","n":1,"x":"${'x'.repeat(600_000)}"}\n`,
          'FMTP_FRAME_TOO_LARGE',
        ],
        ['a line that never ends', () => 'x'.repeat(600_000), 'FMTP_FRAME_TOO_LARGE'],
        ['100,000 nested brackets', () => `${'['.repeat(100_000)}${']'.repeat(100_000)}\n`, 'FMTP_TOO_DEEP'],
        ['50,000 nested objects', () => `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}\n`, 'FMTP_TOO_DEEP'],
        [
          '100,000 brackets inside a describe',
          () => `{"verb":"describe","n":1,"object":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`,
          'FMTP_TOO_DEEP',
        ],
        [
          '__proto__ as a name',
          () => '{"verb":"request","n":1,"address":"lost@lenore.org","__proto__":{"follow":true}}\n',
          'FMTP_UNSAFE_NAME',
        ],
        [
          '__proto__ inside an object',
          () => '{"verb":"describe","n":1,"object":{"id":{"__proto__":1}},"for":["lost@lenore.org"]}\n',
          'FMTP_UNSAFE_NAME',
        ],
        [
          'a name twice',
          () => '{"verb":"request","n":1,"address":"lost@lenore.org","n":2}\n',
          'FMTP_DUPLICATE_NAME',
        ],
        [
          'a name twice, once with an escape, inside an object',
          () => '{"verb":"describe","n":1,"object":{"to":1,"t\\u006f":2}}\n',
          'FMTP_DUPLICATE_NAME',
        ],
        [
          'bytes that are not UTF-8',
          () =>
            Buffer.concat([
              Buffer.from('{"verb":"request","n":1,"address":"'),
              Buffer.from([0xc3, 0x28, 10]),
            ]),
          'FMTP_NOT_JSON',
        ],
        [
          'a lone surrogate',
          () => '{"verb":"request","n":1,"address":"\\ud800@lenore.org"}\n',
          'FMTP_UNSAFE_VALUE',
        ],
        ['a number that is not safe', () => '{"verb":"request","n":9007199254740993}\n', 'FMTP_UNSAFE_VALUE'],
        ['a fraction', () => '{"verb":"request","n":1.5}\n', 'FMTP_UNSAFE_VALUE'],
        ['a frame without n that no schema takes', () => '{"verb":"request"}\n', 'FMTP_BAD_FRAME'],
        ['an unknown verb without n', () => '{"verb":"helo"}\n', 'FMTP_UNKNOWN_VERB'],
      ]
    for (const [what, text, code] of closing) {
      it(`ends over ${what} with ${code}`, async () => {
        const end = await asPoe()
        const bytes = text()
        end.sendBytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
        assert.equal(await end.goodbye(), code)
      })
    }

    const answered: readonly (readonly [what: string, frame: object, code: FailureCode])[] = [
      ['an unknown verb', { verb: 'delete', id: 'user.lost@lenore.org' }, 'FMTP_UNKNOWN_VERB'],
      ['a verb that every object has', { verb: 'toString' }, 'FMTP_UNKNOWN_VERB'],
      ['a request for something that is no address', { verb: 'request', address: 'lost@' }, 'FMTP_BAD_FRAME'],
      [
        'a request for two things',
        { verb: 'request', address: 'lost@lenore.org', id: 'user.lost@lenore.org' },
        'FMTP_BAD_FRAME',
      ],
      ['a describe of a text', { verb: 'describe', object: 'Nevermore' }, 'FMTP_BAD_FRAME'],
      ['a describe of nothing in particular', { verb: 'describe', object: {} }, 'FMTP_BAD_OBJECT'],
      [
        'a describe of an unknown kind',
        { verb: 'describe', object: { kind: 'constructor' }, for: ['lost@lenore.org'] },
        'FMTP_UNKNOWN_KIND',
      ],
      [
        'an object without a seal',
        { verb: 'describe', object: { kind: 'message', id: '1.edgar@poe.net' }, for: ['lost@lenore.org'] },
        'FMTP_NOT_SEALED',
      ],
      [
        'the same recipient twice',
        { verb: 'describe', object: {}, for: ['lost@lenore.org', 'lost@lenore.org'] },
        'FMTP_BAD_FRAME',
      ],
      [
        'the box of another',
        { verb: 'request', list: { of: 'box', owner: 'lost@lenore.org' } },
        'FMTP_NOT_ALLOWED',
      ],
    ]
    for (const [what, frame, code] of answered) {
      it(`answers ${what} with ${code}, and goes on`, async () => {
        const end = await asPoe()
        const n = ++lastN
        assert.deepEqual(whole(await end.ask({ verb: '', ...frame, n })), note(code, 'refused'))
        await assertGoesOn(end)
      })
    }

    it('ends over a line over the limit before hello', async () => {
      const end = await open()
      end.sendText(JSON.stringify({ ...handHello(end, 'lenore.org'), more: 'x'.repeat(9000) }))
      assert.equal(await end.goodbye(), 'FMTP_FRAME_TOO_LARGE')
    })

    it('ends over a message over the limit before hello on a WebSocket', async () => {
      const end = await rawWebSocket(lenore.origin)
      end.sendText(JSON.stringify({ ...handHello(end, 'lenore.org'), more: 'x'.repeat(9000) }))
      assert.equal(await end.goodbye(), 'FMTP_FRAME_TOO_LARGE')
    })

    it('outlives HTTP upgrades that make no sense', async () => {
      const { hostname, port } = new URL(lenore.origin)
      for (const target of ['//', '/fmtp?\\', 'http://', '*', '/%', 'x'.repeat(2000)]) {
        const socket = connect(Number(port), hostname)
        let isClosed = false
        socket.on('error', () => undefined)
        socket.on('close', () => {
          isClosed = true
        })
        socket.resume()
        socket.write(
          `GET ${target} HTTP/1.1\r\nHost: lenore.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: none\r\n\r\n',
        )
        await waitUntil(`an end of ${target}`, () => isClosed)
      }
    })
  })

  describe('as a hello', () => {
    async function assertRefused(end: RawEnd, hello: object, code: FailureCode): Promise<void> {
      end.sendFrame(hello)
      assert.equal(await end.goodbye(), code)
    }

    it('forged with another key is FMTP_PROOF', async () => {
      const end = await open()
      const forged = signerOf(generateKeyPair(), poe.signer.kid)
      await assertRefused(end, handHello(end, 'lenore.org', { as: 'poe.net', signer: forged }), 'FMTP_PROOF')
    })

    it('without a proof is FMTP_PROOF', async () => {
      const end = await open()
      await assertRefused(end, handHello(end, 'lenore.org', { as: 'poe.net' }), 'FMTP_PROOF')
    })

    it('changed after it was signed is FMTP_PROOF', async () => {
      const end = await open()
      const hello = handHello(end, 'lenore.org', { as: 'poe.net', ...poe })
      await assertRefused(end, { ...hello, nonce: randomNonce() }, 'FMTP_PROOF')
    })

    it('of a user under a credential of another domain is FMTP_CREDENTIAL', async () => {
      const end = await open()
      const fake = handUser(mallory, 'edgar@poe.net')
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'edgar@poe.net', ...fake }),
        'FMTP_CREDENTIAL',
      )
    })

    it('of a user under the credential of another user is FMTP_CREDENTIAL', async () => {
      const end = await open()
      const other = handUser(poe, 'annabel@poe.net')
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'edgar@poe.net', ...other }),
        'FMTP_CREDENTIAL',
      )
    })

    it('of a user by another key than the credential names is FMTP_PROOF', async () => {
      const end = await open()
      const { signer } = handUser(poe, 'edgar@poe.net')
      const { credential } = edgar
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'edgar@poe.net', signer, credential }),
        'FMTP_PROOF',
      )
    })

    it('of a user under an expired credential is FMTP_CREDENTIAL_EXPIRED', async () => {
      const end = await open()
      const old = handUser(poe, 'edgar@poe.net', Date.now() - 8 * 24 * 60 * 60 * 1000)
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'edgar@poe.net', ...old }),
        'FMTP_CREDENTIAL_EXPIRED',
      )
    })

    it('of a user under a credential that is not valid yet is FMTP_CREDENTIAL_EXPIRED', async () => {
      const end = await open()
      const early = handUser(poe, 'edgar@poe.net', Date.now() + 60 * 60 * 1000)
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'edgar@poe.net', ...early }),
        'FMTP_CREDENTIAL_EXPIRED',
      )
    })

    it('replayed on another connection is FMTP_BINDING', async () => {
      const first = await open()
      const hello = handHello(first, 'lenore.org', { as: 'poe.net', ...poe })
      first.sendFrame(hello)
      assert.equal((await first.next()).verb, 'hello')
      await assertRefused(await open(), hello, 'FMTP_BINDING')
    })

    it('replayed on another WebSocket is FMTP_REPLAY', async () => {
      const first = await rawWebSocket(lenore.origin)
      const hello = handHello(first, 'lenore.org', { as: 'poe.net', ...poe })
      first.sendFrame(hello)
      assert.equal((await first.next()).verb, 'hello')
      first.close()
      await assertRefused(await rawWebSocket(lenore.origin), hello, 'FMTP_REPLAY')
    })

    it('made for another host of a WebSocket is FMTP_BINDING', async () => {
      const end = await rawWebSocket(lenore.origin)
      const members = { binding: 'mallory.example' }
      await assertRefused(
        end,
        handHello(end, 'lenore.org', { as: 'poe.net', ...poe }, members),
        'FMTP_BINDING',
      )
    })

    it('reflected, the answerer’s own sent back, is FMTP_REFLECTED', async () => {
      const first = await open()
      const reply = await first.hello('lenore.org', { as: 'poe.net', ...poe })
      await assertRefused(await open(), reply, 'FMTP_REFLECTED')
    })

    it('reflected with the role changed is not believed', async () => {
      const first = await open()
      const reply = await first.hello('lenore.org', { as: 'poe.net', ...poe })
      const end = await open()
      const turned = { ...reply, role: 'opens', to: 'lenore.org', binding: end.binding }
      await assertRefused(end, turned, 'FMTP_PROOF')
    })

    it('to a domain that is not served is FMTP_NOT_MINE', async () => {
      const end = await open()
      await assertRefused(end, handHello(end, 'mallory.example', { as: 'poe.net', ...poe }), 'FMTP_NOT_MINE')
    })

    it('of another version is FMTP_VERSION', async () => {
      const end = await open()
      await assertRefused(end, { ...handHello(end, 'lenore.org'), version: 2 }, 'FMTP_VERSION')
    })

    it('of a domain that publishes no key is FMTP_NO_KEY', async () => {
      const end = await open()
      await assertRefused(end, handHello(end, 'lenore.org', { as: 'usher.example', ...poe }), 'FMTP_NO_KEY')
    })

    for (const limits of [
      { windowFrames: 0 },
      { windowFrames: -1 },
      { windowBytes: 1 },
      { windowFrames: 'all' },
    ]) {
      it(`with the window ${JSON.stringify(limits)} is FMTP_BAD_FRAME`, async () => {
        const end = await open()
        await assertRefused(end, { ...handHello(end, 'lenore.org'), limits }, 'FMTP_BAD_FRAME')
      })
    }

    it('twice by a server is FMTP_WRONG_STATE', async () => {
      const end = await asPoe()
      await assertRefused(end, handHello(end, 'lenore.org', { as: 'poe.net', ...poe }), 'FMTP_WRONG_STATE')
    })

    it('that fails gives its connection back', async () => {
      const small = await startProcess(network, 'usher.example', { http: { maxConnections: 3 } })
      try {
        for (let tried = 0; tried < 8; tried++) {
          const end = await waitUntil('a free connection', () =>
            rawTls(small.address, small.port, 'usher.example').catch(() => undefined),
          )
          end.sendFrame(handHello(end, 'mallory.example'))
          assert.equal(await end.goodbye(), 'FMTP_NOT_MINE')
        }
      } finally {
        assert.equal(await small.stop(), 0)
        network.zone.set('fmtpkey.usher.example', 'TXT', [])
      }
    })
  })

  describe('as a token', () => {
    const asLost = { as: 'lost@lenore.org' }

    async function sayToken(
      token: string,
      members: Partial<HelloFrame> = {},
      who: object = asLost,
    ): Promise<Received> {
      return (await open()).hello('lenore.org', who, { token, ...members })
    }

    it('that was never given is FMTP_TOKEN', async () => {
      assert.equal((await sayToken('A'.repeat(43))).code, 'FMTP_TOKEN')
    })

    it('of another user is FMTP_TOKEN, and stays good for its own', async () => {
      const token = await lenore.makeToken('alice@lenore.org')
      assert.equal((await sayToken(token)).code, 'FMTP_TOKEN')
      assert.equal((await sayToken(token, {}, { as: 'alice@lenore.org' })).verb, 'hello')
    })

    it('used twice is FMTP_TOKEN', async () => {
      const token = await lenore.makeToken('lost@lenore.org')
      assert.equal((await sayToken(token)).verb, 'hello')
      assert.equal((await sayToken(token)).code, 'FMTP_TOKEN')
    })

    it('used twice at once works once', async () => {
      const token = await lenore.makeToken('lost@lenore.org')
      const replies = await Promise.all([sayToken(token), sayToken(token), sayToken(token)])
      assert.deepEqual(replies.map(({ verb }) => verb).sort(), ['goodbye', 'goodbye', 'hello'])
    })

    it('with a key that did not sign the hello is FMTP_PROOF, and is not used up', async () => {
      const token = await lenore.makeToken('lost@lenore.org')
      const signer = signerOf(generateKeyPair())
      const reply = await sayToken(token, { key: generateKeyPair().jwk }, { ...asLost, signer })
      assert.equal(reply.code, 'FMTP_PROOF')
      assert.equal((await sayToken(token)).verb, 'hello')
    })

    it('of a device that is not enrolled any more is FMTP_REVOKED', async () => {
      const second = await startProcess(network, 'raven.example')
      const person = await second.enrol('raven@raven.example')
      assert.equal(await second.stop(), 0)
      // Nothing revokes yet but the hand of the operator, in the store.
      const database = await openDatabase(
        `${second.folder}/data`,
        () => undefined,
        () => '',
      )
      await database.commit([{ dels: [keyOf.device(person.address, person.signer.kid)] }])
      await database[Symbol.asyncDispose]()
      const again = await startProcess(network, 'raven.example')
      try {
        const end = await rawTls(again.address, again.port, 'raven.example')
        const reply = await end.hello('raven.example', { as: person.address, ...person })
        assert.equal(reply.code, 'FMTP_REVOKED')
      } finally {
        assert.equal(await again.stop(), 0)
      }
    })
  })

  describe('as an object', () => {
    /** Describes as poe.net, and asserts what became of it and that it is in no box. */
    async function assertRefused(
      object: FmtpObject,
      expected: { code: string | undefined; outcome: string },
      recipients?: readonly string[],
    ): Promise<void> {
      const end = await asPoe()
      assert.deepEqual(whole(await end.ask(describeTo(object, recipients))), expected)
      await assertGoesOn(end)
      await assertNowhere(object.id)
    }

    it('before hello is FMTP_HELLO_FIRST, and the hello may still come', async () => {
      const end = await open()
      const message = handMessage(edgar, ['lost@lenore.org'])
      assert.deepEqual(whole(await end.ask(describeTo(message))), note('FMTP_HELLO_FIRST', 'refused'))
      assert.equal((await end.hello('lenore.org')).verb, 'hello')
      await assertNowhere(message.id)
    })

    it('from a guest is FMTP_NOT_ALLOWED', async () => {
      const end = await asGuest()
      const message = handMessage(edgar, ['lost@lenore.org'])
      assert.deepEqual(whole(await end.ask(describeTo(message))), note('FMTP_NOT_ALLOWED', 'refused'))
      await assertGoesOn(end)
      await assertNowhere(message.id)
    })

    it('with a changed body is FMTP_SEAL', async () => {
      const message = handMessage(edgar, ['lost@lenore.org'])
      await assertRefused({ ...message, body: 'Evermore' } as Message, note('FMTP_SEAL', 'refused'))
    })

    it('with a member more is FMTP_SEAL', async () => {
      const message = handMessage(edgar, ['lost@lenore.org'])
      await assertRefused({ ...message, important: true } as Message, note('FMTP_SEAL', 'refused'))
    })

    it('with a changed body beside the one that is here is FMTP_SEAL', async () => {
      const message = handMessage(edgar, ['lost@lenore.org'])
      const end = await asPoe()
      stored.add(message.id)
      assert.equal((await end.ask(describeTo(message))).outcome, 'stored')
      const changed = { ...message, body: 'Evermore' }
      assert.equal((await end.ask(describeTo(changed, ['bob@lenore.org']))).code, 'FMTP_SEAL')
      assert.ok(!(await boxOf(bob)).includes(message.id))
    })

    it('sealed with another key than its credential names is FMTP_SEAL', async () => {
      const { signer } = handUser(poe, 'edgar@poe.net')
      const fake = { ...edgar, signer }
      await assertRefused(handMessage(fake, ['lost@lenore.org']), note('FMTP_SEAL', 'refused'))
    })

    it('sealed by another key under the right name of the key is FMTP_SEAL', async () => {
      const signer = signerOf(generateKeyPair(), edgar.signer.kid)
      await assertRefused(
        handMessage({ ...edgar, signer }, ['lost@lenore.org']),
        note('FMTP_SEAL', 'refused'),
      )
    })

    it('under a credential of another domain is FMTP_SEAL_CREDENTIAL', async () => {
      const fake = handUser(mallory, 'edgar@poe.net')
      await assertRefused(handMessage(fake, ['lost@lenore.org']), note('FMTP_SEAL_CREDENTIAL', 'refused'))
    })

    it('under the credential of another user is FMTP_SEAL_CREDENTIAL', async () => {
      const fake = { ...handUser(poe, 'annabel@poe.net'), address: edgar.address }
      await assertRefused(handMessage(fake, ['lost@lenore.org']), note('FMTP_SEAL_CREDENTIAL', 'refused'))
    })

    it('under an expired credential is FMTP_SEAL_EXPIRED', async () => {
      const old = handUser(poe, 'edgar@poe.net', Date.now() - 8 * 24 * 60 * 60 * 1000)
      await assertRefused(handMessage(old, ['lost@lenore.org']), note('FMTP_SEAL_EXPIRED', 'refused'))
    })

    it('from before its key was enrolled is FMTP_SEAL_EXPIRED', async () => {
      const version = Date.now() - 60 * 60 * 1000
      const message = handMessage(edgar, ['lost@lenore.org'], { version })
      await assertRefused(message, note('FMTP_SEAL_EXPIRED', 'refused'))
    })

    it('from the future is FMTP_FROM_FUTURE, which may pass', async () => {
      const version = Date.now() + 10 * 60 * 1000
      const message = handMessage(edgar, ['lost@lenore.org'], { version })
      await assertRefused(message, note('FMTP_FROM_FUTURE', 'busy'))
    })

    it('over the limit is FMTP_OBJECT_TOO_LARGE', async () => {
      for (const chars of [262_000, 300_000]) {
        const message = handMessage(edgar, ['lost@lenore.org'], { body: 'x'.repeat(chars) })
        await assertRefused(message, note('FMTP_OBJECT_TOO_LARGE', 'refused'))
      }
    })

    it('for nobody is FMTP_NO_RECIPIENT', async () => {
      const end = await asPoe()
      const { for: _, ...frame } = describeTo(handMessage(edgar, ['lost@lenore.org']))
      assert.deepEqual(whole(await end.ask(frame)), note('FMTP_NO_RECIPIENT', 'refused'))
    })

    it('for somebody unknown is absent', async () => {
      const end = await asPoe()
      const message = handMessage(edgar, ['nobody@lenore.org'])
      const answer = await end.ask(describeTo(message, ['nobody@lenore.org']))
      assert.deepEqual(firstResult(answer), note('FMTP_UNKNOWN_RECIPIENT', 'absent'))
      await assertNowhere(message.id)
    })

    it('for somebody of another domain is not relayed', async () => {
      const end = await asPoe()
      const message = handMessage(edgar, ['raven@mallory.example'])
      const answer = await end.ask(describeTo(message, ['raven@mallory.example']))
      assert.deepEqual(firstResult(answer), note('FMTP_NOT_RELAYED', 'refused'))
      await assertNowhere(message.id)
    })

    it('replayed to a friend of its author, to whom it was not written, is judged by who brings it', async () => {
      const message = handMessage(edgar, ['lost@lenore.org'])
      const end = await asMallory()
      const answer = await end.ask(describeTo(message, ['alice@lenore.org']))
      assert.deepEqual(firstResult(answer), note('FMTP_REFUSED', 'refused'))
      assert.ok(!(await boxOf(alice)).includes(message.id))
      const direct = handMessage(edgar, ['alice@lenore.org'])
      stored.add(direct.id)
      const own = await end.ask(describeTo(direct, ['alice@lenore.org']))
      assert.equal(firstResult(own).outcome, 'stored', 'what the friend did write is taken whoever brings it')
    })

    it('of somebody who is blocked looks the same as what is refused', async () => {
      const blocked = network.hand('raven.blocked.example')
      const raven = handUser(blocked, 'raven@raven.blocked.example')
      const pallas = handUser(mallory, 'pallas@mallory.example')
      const attempts = [
        // By the config, by a blacklist, by a policy.
        [
          await openAs('raven.blocked.example', blocked),
          handMessage(raven, ['bob@lenore.org']),
          'bob@lenore.org',
        ],
        [await asMallory(), handMessage(pallas, ['bob@lenore.org']), 'bob@lenore.org'],
        [await asMallory(), handMessage(pallas, ['alice@lenore.org']), 'alice@lenore.org'],
      ] as const
      const looks = []
      for (const [end, message, recipient] of attempts) {
        const answer = await end.ask(describeTo(message, [recipient]))
        await assertNowhere(message.id)
        const { id, version, re, ...look } = answer
        assert.deepEqual([id, version, typeof re], [message.id, message.version, 'number'])
        looks.push(JSON.stringify(look).replaceAll(recipient, 'somebody'))
      }
      assert.equal(new Set(looks).size, 1, looks.join('\n'))
      assert.match(looks[0] ?? '', /"code":"FMTP_REFUSED"/)
    })

    it('older than the one that is here is FMTP_TOO_OLD', async () => {
      const message = handMessage(edgar, ['lost@lenore.org'])
      const older = handMessage(edgar, ['lost@lenore.org'], { id: message.id, version: message.version - 1 })
      stored.add(message.id)
      const end = await asPoe()
      assert.equal((await end.ask(describeTo(message))).outcome, 'stored')
      assert.deepEqual(whole(await end.ask(describeTo(older))), note('FMTP_TOO_OLD', 'refused'))
    })

    it('never replaces a newer one, in whatever order many come at once', async () => {
      const end = await asPoe()
      // All are versions of one object, which is made once.
      const { id, createdAt } = handMessage(edgar, [])
      stored.add(id)
      const versions = [5, 3, 9, 1, 7, 2, 8, 4, 6, 0].map(at => Date.now() - 10 + at)
      const newest = Math.max(...versions)
      const frames = versions.map(version =>
        describeTo(
          handMessage(edgar, ['lost@lenore.org'], { id, createdAt, version, body: `version ${version}` }),
        ),
      )
      for (const frame of frames) end.sendFrame(frame)
      await Promise.all(frames.map(frame => end.answer(frame.n)))
      const reader = await asPerson(lost)
      const n = ++lastN
      assert.equal((await reader.ask({ verb: 'request', n, id })).version, newest)
    })

    it('of one of ours from outside is FMTP_NOT_OWNER, and tells nothing of who is here', async () => {
      const hidden = await lenore.enrol('hidden@lenore.org')
      await change(hidden, { public: false })
      const fake = generateKeyPair()
      for (const address of ['hidden@lenore.org', 'nobody@lenore.org', 'lost@lenore.org']) {
        const sub = parseAddress(address)
        const enrolment = { sub, jwk: fake.jwk, enrolledAtMs: 1000, nowMs: Date.now() }
        const user = {
          address: sub,
          pair: fake,
          signer: signerOf(fake),
          credential: issueCredential(enrolment, mallory.signer),
        }
        const end = await asPoe()
        const profile = handProfile(user, { version: 2000 })
        assert.deepEqual(
          whole(await end.ask(describeTo(profile))),
          note('FMTP_NOT_OWNER', 'refused'),
          address,
        )
      }
    })

    it('published by somebody else than its owner is FMTP_NOT_OWNER', async () => {
      const end = await asPerson(lost)
      const { encryptedKey: _, hash: __, owner: ___, ...draft } = handMessage(edgar, ['bob@lenore.org'])
      const answer = await end.ask({ verb: 'describe', n: ++lastN, object: draft })
      assert.deepEqual(whole(answer), note('FMTP_NOT_OWNER', 'refused'))
    })

    it('published under a seal of a key that is not enrolled is refused', async () => {
      const stranger = generateKeyPair()
      const message = handMessage({ ...edgar, address: parseAddress(lost.address) }, ['bob@lenore.org'])
      const { encryptedKey: _, hash: __, ...unsealed } = message
      const { object } = sealObject(unsealed as Unsealed<Message>, {
        signer: signerOf(stranger),
        credential: lost.credential,
      })
      const end = await asPerson(lost)
      const answer = await end.ask({ verb: 'describe', n: ++lastN, object })
      assert.deepEqual(whole(answer), note('FMTP_SEAL', 'refused'))
      await assertNowhere(object.id)
    })
  })

  // The clock only goes ahead, and the store is read from inside: these come last.
  describe('after a day, and after all', () => {
    it('a token that is too old is FMTP_TOKEN', async () => {
      const token = await lenore.makeToken('lost@lenore.org')
      await lenore.advance(24 * 60 * 60 * 1000 + 1000)
      const end = await open()
      assert.equal((await end.hello('lenore.org', { as: 'lost@lenore.org' }, { token })).code, 'FMTP_TOKEN')
    })

    it('a credential that ends meanwhile is not believed any more', async () => {
      await lenore.advance(7 * 24 * 60 * 60 * 1000)
      const end = await open()
      end.sendFrame(handHello(end, 'lenore.org', { as: 'edgar@poe.net', ...edgar }))
      assert.equal(await end.goodbye(), 'FMTP_CREDENTIAL_EXPIRED')
    })

    it('the store holds what was taken, and nothing else', async () => {
      assert.equal(await lenore.stop(), 0)
      const database = await openDatabase(
        `${lenore.folder}/data`,
        () => undefined,
        () => '',
      )
      try {
        const objects = await database.scan(rangeOf('object'))
        const ids = objects.map(([key]) => lastPart(key)).filter(id => !/^(user|server)\./.test(id))
        assert.deepEqual(new Set(ids), stored)
        const owners = objects.map(([, text]) => (JSON.parse(text) as FmtpObject).owner)
        const known = ['lost', 'alice', 'bob', 'hidden'].map(local => `${local}@lenore.org`)
        assert.deepEqual(new Set(owners), new Set([...known, 'lenore.org', 'edgar@poe.net']))
        assert.equal(database.head(listOf.outbox('poe.net')).number, 0)
      } finally {
        await database[Symbol.asyncDispose]()
        lenore = await startProcess(network, 'lenore.org')
      }
    })
  })
})
