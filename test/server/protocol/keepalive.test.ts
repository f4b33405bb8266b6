/** When a silent side is pinged, when it is in doubt and when it is given up (protocol §4.7), to the millisecond. */
import assert from 'node:assert/strict'
import { Liveness } from '../../../server/protocol/keepalive.ts'
import { MovableClock } from '../../support/clock.ts'

describe('keepalive', () => {
  const options = { pingAfterMs: 30_000, pongMs: 15_000 }
  let clock: MovableClock
  let liveness: Liveness

  beforeEach(() => {
    clock = new MovableClock({ isStill: true })
    liveness = new Liveness(options, clock)
  })

  function assertDueAfter(ms: number, due: 'ping' | 'dead'): void {
    clock.elapse(ms - 1)
    assert.equal(liveness.findDue(), undefined, `${due} comes too soon`)
    clock.elapse(1)
    assert.equal(liveness.findDue(), due)
  }

  it('pings after a silence, and gives up who stays silent', () => {
    assertDueAfter(30_000, 'ping')
    liveness.pinged()
    assertDueAfter(15_000, 'dead')
  })

  it('counts from the last sign of life, before a ping and behind it', () => {
    clock.elapse(29_000)
    liveness.heard()
    assertDueAfter(30_000, 'ping')
    liveness.pinged()
    clock.elapse(14_000)
    liveness.heard()
    assertDueAfter(30_000, 'ping')
  })

  it('doubts a second after the ping, until something is heard', () => {
    clock.elapse(30_000)
    liveness.pinged()
    clock.elapse(999)
    assert.equal(liveness.isDoubtful, false)
    clock.elapse(1)
    assert.equal(liveness.isDoubtful, true)
    liveness.heard()
    assert.equal(liveness.isDoubtful, false)
  })

  it('pings at once where there is doubt, and counts what is doubted as unused since long', () => {
    clock.elapse(1)
    liveness.heard()
    liveness.doubt()
    assert.deepEqual([liveness.findDue(), liveness.unusedMs], ['ping', Number.POSITIVE_INFINITY])
  })

  it('counts as unused what only pings went over', () => {
    liveness.used()
    clock.elapse(5000)
    liveness.heard()
    assert.equal(liveness.unusedMs, 5000)
  })

  it('is not moved by somebody who sets the time of day', () => {
    for (const ms of [3_600_000, -7_200_000]) {
      clock.advance(ms)
      assert.deepEqual([liveness.findDue(), liveness.unusedMs], [undefined, 0])
    }
    liveness.pinged()
    clock.advance(3_600_000)
    assert.deepEqual([liveness.findDue(), liveness.isDoubtful], [undefined, false])
  })
})
