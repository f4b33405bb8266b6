/** What a server that calls believes of who answers (protocol §5.4): nothing that was made for another conversation. */
import assert from 'node:assert/strict'
import { generateKeyPair, recordKeyOf, signerOf } from '../../../objects/seals/keys.ts'
import { domainKeyOf } from '../../../routing/dns/domain-keys.ts'
import type { FailureCode } from '../../../schemas/failures.ts'
import type { HelloFrame } from '../../../schemas/frame.ts'
import { type Domain, parseDomain } from '../../../schemas/text/names.ts'
import { Introduction, type IntroductionPorts } from '../../../server/protocol/handshake.ts'
import { composeHello } from '../../../wire/hello.ts'
import { channelPair } from '../../../wire/pair.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'
import { handDomain, randomNonce } from '../../support/hand.ts'

describe('a call', () => {
  const binding = randomNonce()
  const [channel] = channelPair(binding)
  const lenore = handDomain('lenore.org')
  const poe = parseDomain('poe.net')
  const pair = generateKeyPair()
  const current = {
    selector: 'own',
    pair,
    signer: signerOf(pair, 'own'),
    key: domainKeyOf('own', pair.jwk),
    record: recordKeyOf(pair.jwk),
  }
  const own = { domain: poe, current, successors: [] }
  const call = { as: poe, to: parseDomain('lenore.org'), host: '', signal: new AbortController().signal }

  function introduction(): Introduction {
    const ports: Omit<IntroductionPorts, 'accounts' | 'spendTry'> = {
      domains: new Map<Domain, typeof own>([[poe, own]]),
      findFront: () => undefined,
      hosts: [],
      window: { frames: 1, bytes: 1024 },
      keys: { find: async () => [domainKeyOf('hand', lenore.pair.jwk)] },
      clock: new MovableClock(),
      requireRoom: () => undefined,
    }
    // Accounts are asked by who answers a call, never by who makes one.
    return new Introduction(channel, ports as IntroductionPorts)
  }

  async function answered(members: Partial<HelloFrame>, signer = lenore.signer) {
    const ours = introduction()
    const { nonce } = ours.open(call, undefined)
    const base = {
      role: 'answers',
      as: 'lenore.org',
      to: 'poe.net',
      nonce: randomNonce(),
      peerNonce: nonce,
      binding,
    } as const
    return ours.takeReply(composeHello({ ...base, ...members }, signer), call)
  }

  it('is believed when the domain answers it, here and now', async () => {
    const standing = await answered({})
    assert.deepEqual([standing.role, standing.role === 'server' && standing.name], ['server', 'lenore.org'])
  })

  const refused: readonly (readonly [what: string, members: Partial<HelloFrame>, code: FailureCode])[] = [
    ['for another nonce', { peerNonce: randomNonce() }, 'FMTP_REPLAY'],
    ['on another connection', { binding: randomNonce() }, 'FMTP_BINDING'],
    ['to somebody else', { to: 'alice.example' }, 'FMTP_NOT_MINE'],
    ['by another domain', { as: 'mallory.example' }, 'FMTP_WRONG_PEER'],
    ['by its own kind of hello', { role: 'opens' }, 'FMTP_REFLECTED'],
  ]
  for (const [what, members, code] of refused) {
    it(`is not believed when it is answered ${what}`, () => assertCode(code, () => answered(members)))
  }

  it('is not believed when it is answered with another key', () =>
    assertCode('FMTP_PROOF', () => answered({}, signerOf(generateKeyPair(), 'hand'))))
})
