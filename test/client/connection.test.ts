/** What a client believes of a server (protocol §5.4, §5.5), over an in-memory pair with hellos made by hand. */
import assert from 'node:assert/strict'
import { Connection } from '../../client/connection.ts'
import { generateKeyPair, signerOf } from '../../objects/seals/keys.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import { pinnedTo } from '../../server/cli/people/connect.ts'
import type { Channel } from '../../wire/channel.ts'
import { encodeFrame } from '../../wire/codec.ts'
import { composeHello } from '../../wire/hello.ts'
import { channelPair } from '../../wire/pair.ts'
import { MovableClock } from '../support/clock.ts'
import { assertCode, waitUntil } from '../support/conditions.ts'
import { handDomain, handMessage, handUser, randomNonce } from '../support/hand.ts'

describe('a client', () => {
  const binding = randomNonce()
  const poe = handDomain('poe.net')
  const edgar = handUser(poe, 'edgar@poe.net')
  const { thumbprint } = poe.pair

  /** Opens to a server that answers each hello with what `answer` sends. */
  async function open(
    answer: (hello: HelloFrame, server: Channel) => void,
    taken: object[] = [],
    clock = new MovableClock(),
  ): Promise<Connection> {
    const [client, server] = channelPair(binding)
    server.open({
      onText: text => {
        const frame = JSON.parse(text) as HelloFrame
        if (frame.verb === 'hello') answer(frame, server)
      },
      onClose: () => undefined,
    })
    return Connection.open(client, {
      clock,
      domain: 'poe.net',
      verifyServer: pinnedTo(thumbprint),
      randomNonce,
      onDescribe: async ({ object }) => {
        taken.push(object)
        return { outcome: 'stored' }
      },
    })
  }

  const reply = ({ nonce }: HelloFrame, members: Partial<HelloFrame> = {}, { pair, signer } = poe): string =>
    encodeFrame(
      composeHello(
        {
          role: 'answers',
          as: 'poe.net',
          nonce: randomNonce(),
          peerNonce: nonce,
          binding,
          key: pair.jwk,
          ...members,
        },
        signer,
      ),
    )

  it('believes a server that proves the pinned key', async () => {
    const connection = await open((hello, server) => server.send(reply(hello)))
    connection.close()
  })

  const refused: readonly (readonly [
    what: string,
    code: 'FMTP_REPLAY' | 'FMTP_BINDING' | 'FMTP_WRONG_PEER',
    members: Partial<HelloFrame>,
  ])[] = [
    ['that answers another nonce', 'FMTP_REPLAY', { peerNonce: randomNonce() }],
    ['that stands on another connection', 'FMTP_BINDING', { binding: randomNonce() }],
    ['of another domain', 'FMTP_WRONG_PEER', { as: 'lenore.org' }],
  ]
  for (const [what, code, members] of refused) {
    it(`refuses a server ${what}`, async () => {
      await assertCode(code, () => open((hello, server) => server.send(reply(hello, members))))
    })
  }

  it('gives up a server that says nothing, and no server that has spoken', async () => {
    const clock = new MovableClock({ isStill: true })
    const mute = open(() => undefined, [], clock)
    await waitUntil('it waits', () => clock.timers === 1)
    clock.elapse(limits.helloMs)
    await assertCode('FMTP_HELLO_TIMEOUT', () => mute)
    const connection = await open((hello, server) => server.send(reply(hello)), [], clock)
    assert.equal(clock.timers, 0)
    connection.close()
  })

  it('refuses a server with another key than the pinned one, and one that only shows that', async () => {
    const pair = generateKeyPair()
    const other = { ...poe, pair, signer: signerOf(pair, 'hand') }
    await assertCode('FMTP_WRONG_PEER', () => open((hello, server) => server.send(reply(hello, {}, other))))
    await assertCode('FMTP_PROOF', () =>
      open((hello, server) => server.send(reply(hello, { key: poe.pair.jwk }, other))),
    )
  })

  it('takes nothing from a server that has not proved itself', async () => {
    const taken: object[] = []
    const object = handMessage(edgar, ['lost@lenore.org'])
    const early = (_: HelloFrame, server: Channel): void =>
      server.send(encodeFrame({ verb: 'describe', n: 1, object }))
    // The describe is answered with a refusal, and the hello never comes.
    const [client, server] = channelPair(binding)
    const said: { code?: string }[] = []
    server.open({
      onText: text => {
        const frame = JSON.parse(text) as HelloFrame & { code?: string }
        if (frame.verb === 'hello') early(frame, server)
        else {
          said.push(frame)
          server.destroy()
        }
      },
      onClose: () => undefined,
    })
    await assertCode('FMTP_DISCONNECTED', () =>
      Connection.open(client, {
        domain: 'poe.net',
        verifyServer: pinnedTo(thumbprint),
        randomNonce,
        onDescribe: async frame => {
          taken.push(frame.object)
          return { outcome: 'stored' }
        },
      }),
    )
    assert.deepEqual([taken, said.map(({ code }) => code)], [[], ['FMTP_HELLO_FIRST']])
  })
})
