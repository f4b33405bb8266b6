/** Which hosts rest, and for whom (protocol §10.3): a stranger's contact must not keep us from a domain. */
import assert from 'node:assert/strict'
import { createBreaker } from '../../../routing/connect/circuit-breaker.ts'
import { createReach } from '../../../routing/connect/connect.ts'
import { createGuard } from '../../../routing/connect/dial-guard.ts'
import type { Target } from '../../../routing/connect/peer.ts'
import { createRoundTrips } from '../../../routing/connect/round-trips.ts'
import { createRoutes } from '../../../routing/connect/told-contacts.ts'
import { createNote } from '../../../routing/ladder.ts'
import { type FailureCode, FmtpError } from '../../../schemas/failures.ts'
import { parseAddress, parseDomain } from '../../../schemas/text/names.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'

describe('reach', () => {
  const clock = new MovableClock()
  const poe = parseDomain('poe.net')
  const lenore = parseDomain('lenore.org')
  const note = createNote('test', { clock })
  const contact = { protocol: 'tcp', host: 'mail.lenore.org', port: 3687, priority: 0 } as const
  let dialled: Target[]

  function reachThat(fails: FailureCode) {
    dialled = []
    const answer = <T>(records: readonly T[]) => ({
      records,
      exists: true,
      ttlMs: 1,
      isSecure: false,
      server: '',
    })
    return createReach({
      breaker: createBreaker(clock),
      resolver: {
        txt: async () => answer<string>([]),
        srv: async () => answer([{ host: 'mail.lenore.org', port: 3687, priority: 0, weight: 0 }]),
        mx: async () => answer([]),
        addresses: async () => answer(['127.77.9.9']),
      },
      keys: { find: async () => [], isSecure: () => false },
      guard: createGuard({ allow: ['127.77.0.0/16'], clock }),
      dial: async target => {
        dialled.push(target)
        throw new FmtpError(fails)
      },
      peers: { find: () => undefined },
      roundTrips: createRoundTrips(),
      routes: createRoutes(clock),
      clock,
      random: () => 0,
      isIsland: false,
    })
  }

  it('does not let a contact that failed keep it from the domain of that host', async () => {
    const reach = reachThat('FMTP_NOT_MINE')
    const mallory = parseAddress('mallory@mallory.example')
    await assertCode('FMTP_NOT_MINE', () => reach.contacts([contact], mallory, poe, note))
    await assertCode('FMTP_RESTING', () => reach.contacts([contact], mallory, poe, note))
    await assertCode('FMTP_NOT_MINE', () => reach.domain(lenore, poe, note))
    assert.equal(dialled.length, 2)
  })

  it('lets a host of a domain rest that is not the domain, and none that is down', async () => {
    const wrong = reachThat('FMTP_PROOF')
    await assertCode('FMTP_PROOF', () => wrong.domain(lenore, poe, note))
    await assertCode('FMTP_RESTING', () => wrong.domain(lenore, poe, note))
    const down = reachThat('FMTP_CONNECT_FAILED')
    for (let at = 0; at < 2; at++)
      await assertCode('FMTP_CONNECT_FAILED', () => down.domain(lenore, poe, note))
    assert.equal(dialled.length, 2)
  })
})
