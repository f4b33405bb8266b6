/** Which connections stay though they are of no use (protocol §4.7): those to peers that are kept. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { FmtpError } from '../../../schemas/failures.ts'
import { Connections } from '../../../server/protocol/connections.ts'
import type { Session } from '../../../server/protocol/session.ts'
import { channelPair } from '../../../wire/pair.ts'
import { MovableClock } from '../../support/clock.ts'

describe('connections that are kept', () => {
  /** As far as it is looked at here. */
  function sessionOf(name: string): Session & { hasLeft: boolean } {
    const [channel] = channelPair(randomBytes(32).toString('base64url'))
    const session = {
      hasLeft: false,
      standing: { role: 'server', name, as: 'lenore.org', remote: channel.remote },
      ...{ remote: channel.remote, as: 'lenore.org', isOpen: true, hasWork: false, unusedMs: 3_600_000 },
      close: () => undefined,
      leave: () => {
        session.hasLeft = true
      },
    }
    return session as unknown as Session & { hasLeft: boolean }
  }

  it('neither idle nor make room', async () => {
    const clock = new MovableClock({ isStill: true })
    const connections = new Connections({
      clock,
      ...{ sessionsPerPeer: 8, connectionsPerHost: 8, connections: 2, idleMs: 40_000 },
      keeps: name => name === 'parent.example',
      isExempt: () => false,
      isKnown: async () => true,
      refuse: () => new FmtpError('FMTP_RATE'),
    })
    const [parent, poe, raven] = ['parent.example', 'poe.net', 'raven.example'].map(sessionOf)
    for (const session of [parent, poe, raven] as Session[]) await connections.identify(session)
    assert.deepEqual([parent?.hasLeft, poe?.hasLeft], [false, true], 'the third had no room')
    for (const session of [parent, raven] as Session[]) connections.add(session)
    clock.elapse(60_000)
    assert.deepEqual([parent?.hasLeft, raven?.hasLeft], [false, true])
    connections.closeAll()
    assert.equal(clock.timers, 0)
  })
})
