/** Places for work that waits for others: who is slow gives its place away, and too many slow ones are told to come later. */
import assert from 'node:assert/strict'
import { Lanes } from '../../../server/blobs/slots.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'

describe('places for blobs', () => {
  const slowMs = 2000
  let clock: MovableClock
  let closing: AbortController
  let lanes: Lanes

  beforeEach(() => {
    clock = new MovableClock({ isStill: true })
    closing = new AbortController()
    lanes = new Lanes(1, closing.signal, clock)
  })

  const never = (): Promise<never> => new Promise(() => undefined)
  const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

  /** Enters when there is a place, and then waits for what never comes. */
  function enterAndWait(): { hasPlace: boolean; ended: Promise<unknown> } {
    const state: ReturnType<typeof enterAndWait> = { hasPlace: false, ended: never() }
    state.ended = lanes.enter().then(lane => {
      state.hasPlace = true
      return lane.wait(never())
    })
    state.ended.catch(() => undefined)
    return state
  }

  it('go to the next when who has one waits for two seconds, and not before', async () => {
    const [, second] = [enterAndWait(), enterAndWait()]
    await nextTurn()
    clock.elapse(slowMs - 1)
    await nextTurn()
    assert.equal(second.hasPlace, false)
    clock.elapse(1)
    await nextTurn()
    assert.equal(second.hasPlace, true)
  })

  it('are kept by who is one too many of the slow, which is told so', async () => {
    const waiting = Array.from({ length: 18 }, enterAndWait)
    for (let slow = 0; slow < 16; slow++) {
      await nextTurn()
      clock.elapse(slowMs)
    }
    await nextTurn()
    assert.deepEqual([waiting[16]?.hasPlace, waiting[17]?.hasPlace], [true, false])
    clock.elapse(slowMs)
    await assertCode('FMTP_BUSY', async () => waiting[16]?.ended)
  })

  it('leave no timer behind when the work is done, or all is closed', async () => {
    const lane = await lanes.enter()
    assert.equal(await lane.wait(Promise.resolve('done')), 'done')
    assert.equal(clock.timers, 0)
    const waiting = lane.wait(never())
    assert.equal(clock.timers, 1)
    closing.abort()
    await assertCode('FMTP_SHUTTING_DOWN', () => waiting)
    assert.equal(clock.timers, 0)
  })
})
