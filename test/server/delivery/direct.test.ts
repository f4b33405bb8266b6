/** Reaching a recipient's devices: whom it asks for contacts, how often, and whom it finds. */
import assert from 'node:assert/strict'
import type { Peer } from '../../../routing/connect/peer.ts'
import type { LookupOutcome } from '../../../routing/lookup/lookup.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, parseAddress, parseDomain } from '../../../schemas/text/names.ts'
import { createDirect, type ReachDirect } from '../../../server/delivery/direct.ts'
import { MovableClock } from '../../support/clock.ts'
import { handDomain, handProfile, handUser } from '../../support/hand.ts'

const poe = parseDomain('poe.net')
const lost = parseAddress('lost@lenore.org')
const contact = { host: '127.77.30.2', port: 8000, protocol: 'tcp' as const, priority: 1 }

describe('reachDirect', () => {
  let clock: MovableClock
  let looked: number
  let live: Peer | undefined
  let device: Peer | undefined
  let profile: FmtpObject
  let reachDirect: ReachDirect

  beforeEach(() => {
    clock = new MovableClock()
    looked = 0
    live = undefined
    device = undefined
    profile = handProfile(handUser(handDomain('lenore.org'), lost))
    reachDirect = createDirect({
      clock,
      peers: { find: () => live },
      lookup: async (): Promise<LookupOutcome> => {
        looked++
        return { outcome: 'found', object: profile, trail: [], ageMs: 0 }
      },
      reach: {
        find: () => undefined,
        findFront: () => undefined,
        isFront: () => false,
        domain: () => Promise.reject(new FmtpError('FMTP_UNREACHABLE')),
        front: () => Promise.reject(new FmtpError('FMTP_UNREACHABLE')),
        contacts: async () => {
          if (device === undefined) throw new FmtpError('FMTP_CONNECT_FAILED')
          return device
        },
      },
      onStep: () => undefined,
    })
  })

  async function reached(to: readonly Address[] = [lost]): Promise<readonly Peer[]> {
    const peers: Peer[] = []
    await reachDirect(to, poe, peer => peers.push(peer))
    return peers
  }

  it('asks once in five seconds for the contacts of who has none', async () => {
    for (let messages = 0; messages < 10; messages++) assert.deepEqual(await reached(), [])
    assert.equal(looked, 1)
    clock.advance(5001)
    await reached()
    assert.equal(looked, 2)
  })

  it('finds a device that connected meanwhile', async () => {
    await reached()
    live = { name: lost } as Peer
    assert.deepEqual(await reached(), [live])
  })

  it('calls a recommended device each time', async () => {
    profile = { ...profile, contacts: [contact] } as FmtpObject
    assert.deepEqual(await reached(), [])
    device = { name: lost } as Peer
    assert.deepEqual(await reached(), [device])
  })

  it('brings in turn what comes while a device is called, also where it is connected a moment before', async () => {
    profile = { ...profile, contacts: [contact] } as FmtpObject
    device = { name: lost } as Peer
    // At every moment of the call.
    for (let turns = 0; turns < 30; turns++) {
      live = undefined
      const came: string[] = []
      const first = reachDirect([lost], poe, () => came.push('user'))
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      live = device
      await Promise.all([first, reachDirect([lost], poe, () => came.push('message'))])
      assert.deepEqual(came, ['user', 'message'], `after ${turns} turns`)
      await new Promise(resolve => setImmediate(resolve))
    }
  })

  it('remembers for each recipient by itself', async () => {
    await reached()
    await reached([lost, parseAddress('raven@lenore.org')])
    assert.equal(looked, 3)
  })
})
