/** The contacts of a recipient (protocol §10.3, §10.4): by priority, overlapping, the quickest first, and who may answer. */
import assert from 'node:assert/strict'
import { createBreaker } from '../../../routing/connect/circuit-breaker.ts'
import { createReach } from '../../../routing/connect/connect.ts'
import { recommendedRungs } from '../../../routing/connect/contact-rungs.ts'
import { createGuard } from '../../../routing/connect/dial-guard.ts'
import type { Peer, Target } from '../../../routing/connect/peer.ts'
import { createRoundTrips, type RoundTrips } from '../../../routing/connect/round-trips.ts'
import { createRoutes } from '../../../routing/connect/told-contacts.ts'
import { type Climb, climb, type Step } from '../../../routing/ladder.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Contact } from '../../../schemas/kinds/contact.ts'
import { limits } from '../../../schemas/limits.ts'
import { parseAddress, parseDomain } from '../../../schemas/text/names.ts'
import { MovableClock } from '../../support/clock.ts'
import { waitUntil } from '../../support/conditions.ts'

const poe = parseDomain('poe.net')
const lost = parseAddress('lost@lenore.org')

describe('recommended contacts', () => {
  let clock: MovableClock
  let roundTrips: RoundTrips
  /** Ports that were dialled, in this order, and how each call ends. */
  let dialled: number[]
  let calls: Map<number, { answer(): void; fail(): void; readonly signal: AbortSignal }>

  beforeEach(() => {
    clock = new MovableClock()
    roundTrips = createRoundTrips()
    dialled = []
    calls = new Map()
    reach = createReach({
      breaker: createBreaker(clock),
      resolver: {
        txt: () => Promise.reject(new FmtpError('FMTP_DNS_FAILED')),
        srv: () => Promise.reject(new FmtpError('FMTP_DNS_FAILED')),
        mx: () => Promise.reject(new FmtpError('FMTP_DNS_FAILED')),
        addresses: () => Promise.reject(new FmtpError('FMTP_DNS_FAILED')),
      },
      keys: { find: async () => [], isSecure: () => false },
      guard: createGuard({ allow: ['127.77.0.0/16'], clock }),
      dial: (target: Target, _, signal) => {
        dialled.push(target.port)
        return new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(new FmtpError('FMTP_CONNECT_FAILED', 'aborted')))
          calls.set(target.port, {
            answer: () => resolve({ name: lost, host: `127.77.9.9:${target.port}` } as Peer),
            fail: () => reject(new FmtpError('FMTP_CONNECT_FAILED')),
            signal,
          })
        })
      },
      peers: { find: () => undefined },
      roundTrips,
      routes: createRoutes(clock),
      clock,
      random: () => 0,
      isIsland: false,
    })
  })
  let reach: ReturnType<typeof createReach>

  // Who lost the race may still sleep.
  afterEach(() => clock.advance(3_600_000))

  const contact = (port: number, priority: number): Contact => ({
    ...{ protocol: 'tcp', host: '127.77.9.9', port, priority },
  })
  const climbThem = (...contacts: Contact[]): Promise<Climb<Peer>> =>
    climb(recommendedRungs(contacts, { owner: lost, as: poe }, reach), { clock })
  const call = (port: number) => waitUntil(`a call to ${port}`, () => calls.get(port))
  const dials = (trail: readonly Step[]) =>
    trail.filter(({ what }) => what === 'dial').map(({ outcome, detail, ms }) => [outcome, detail.port, ms])

  it('are called by priority, and the next priority only when all of one have failed', async () => {
    const climbing = climbThem(contact(3003, 9), contact(3001, 0), contact(3002, 0))
    ;(await call(3001)).fail()
    const second = await call(3002)
    clock.advance(60_000)
    await new Promise(setImmediate)
    assert.deepEqual(dialled, [3001, 3002])
    second.fail()
    ;(await call(3003)).answer()
    const { found, trail } = await climbing
    assert.equal(found?.host, '127.77.9.9:3003')
    assert.deepEqual(
      dials(trail).map(([outcome, port]) => [outcome, port]),
      [
        ['FMTP_CONNECT_FAILED', 3001],
        ['FMTP_CONNECT_FAILED', 3002],
        ['ok', 3003],
      ],
    )
  })

  it('of one priority are called 250 ms apart, and who lost is no failure and does not rest', async () => {
    const climbing = climbThem(contact(3001, 0), contact(3002, 0))
    const slow = await call(3001)
    clock.advance(limits.nextHostMs / 2)
    await new Promise(setImmediate)
    assert.deepEqual(dialled, [3001])
    clock.advance(limits.nextHostMs / 2)
    ;(await call(3002)).answer()
    const { found, trail } = await climbing
    assert.equal(found?.host, '127.77.9.9:3002')
    assert.equal(slow.signal.aborted, true)
    await new Promise(setImmediate)
    assert.deepEqual(
      dials(trail).map(([outcome, port]) => [outcome, port]),
      [
        ['ok', 3002],
        ['unneeded', 3001],
      ],
    )
    assert.ok(Number(dials(trail)[1]?.[2]) >= limits.nextHostMs)
    // It would rest, had it failed.
    const again = climbThem(contact(3001, 0))
    ;(await waitUntil('another call', () => (dialled.length === 3 ? calls.get(3001) : undefined))).answer()
    assert.equal((await again).found?.host, '127.77.9.9:3001')
  })

  it('of one priority are called in the order in which they answered before', async () => {
    roundTrips.measure('127.77.9.9:3002', 80)
    roundTrips.measure('127.77.9.9:3003', 20)
    const climbing = climbThem(contact(3001, 0), contact(3002, 0), contact(3003, 0), contact(3004, 1))
    ;(await call(3003)).fail()
    ;(await call(3002)).fail()
    ;(await call(3001)).fail()
    ;(await call(3004)).answer()
    await climbing
    assert.deepEqual(dialled, [3003, 3002, 3001, 3004])
  })

  it('rest for ten minutes after a failure, and say so in the trail', async () => {
    const climbing = climbThem(contact(3001, 0))
    ;(await call(3001)).fail()
    await climbing
    clock.advance(limits.restMs - 5000)
    const resting = await climbThem(contact(3001, 0))
    assert.deepEqual(
      resting.trail.map(({ what, outcome }) => [what, outcome]),
      [['addresses', 'FMTP_RESTING']],
    )
    assert.deepEqual(dialled, [3001])
    clock.advance(5000)
    calls.clear()
    const again = climbThem(contact(3001, 0))
    ;(await call(3001)).answer()
    assert.equal((await again).found?.name, lost)
  })

  it('outside what may be dialled are a step of their own', async () => {
    const climbed = await climbThem({ protocol: 'tcp', host: '10.1.2.3', port: 3687, priority: 0 })
    assert.deepEqual(dials(climbed.trail)[0]?.slice(0, 2), ['FMTP_GUARDED', 3687])
    assert.deepEqual(dialled, [])
  })
})

describe('round trips', () => {
  it('are smoothed over the last answers', () => {
    const trips = createRoundTrips()
    assert.equal(trips.find('poe.net:3687'), undefined)
    trips.measure('poe.net:3687', 100)
    assert.equal(trips.find('poe.net:3687'), 100)
    trips.measure('poe.net:3687', 20)
    assert.equal(trips.find('poe.net:3687'), 90)
  })

  it('leave contacts that were never measured as they stand, behind the others', () => {
    const trips = createRoundTrips()
    const at = (port: number): Contact => ({ protocol: 'tcp', host: '127.77.9.9', port, priority: 0 })
    trips.measure('127.77.9.9:3', 1)
    assert.deepEqual(
      trips.sort([at(1), at(2), at(3)]).map(({ port }) => port),
      [3, 1, 2],
    )
  })
})
