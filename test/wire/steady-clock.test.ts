/** Timers by steady time: those of the machine, in Node and as in a browser, and those that tests move. */
import assert from 'node:assert/strict'
import { systemSteadyClock as machine } from '../../wire/steady-clock.ts'
import { MovableClock } from '../support/clock.ts'
import { waitUntil } from '../support/conditions.ts'

describe('the steady clock of the machine', () => {
  it('goes on, and calls once or again and again until it is stopped', async () => {
    const [startMs, called] = [machine.steadyMs(), { once: 0, again: 0, never: 0 }]
    machine.after(1, () => called.once++)
    machine.after(1, () => called.never++).stop()
    machine.every(1, () => called.never++).stop()
    const timer = machine.every(1, () => called.again++)
    await waitUntil('it is called three times', () => called.again >= 3)
    timer.stop()
    assert.deepEqual([called.once, called.never], [1, 0])
    assert.ok(machine.steadyMs() - startMs >= 2)
  })

  it('keeps no process alive', () => {
    const held = (): number => process.getActiveResourcesInfo().filter(what => what === 'Timeout').length
    const before = held()
    const timers = [machine.after(60_000, assert.fail), machine.every(60_000, assert.fail)]
    assert.equal(held(), before)
    for (const timer of timers) timer.stop()
  })

  it('takes the timers of a browser, which are numbers', () => {
    const { setTimeout, setInterval } = globalThis
    try {
      Object.assign(globalThis, { setTimeout: () => 7, setInterval: () => 8 })
      for (const timer of [machine.after(1, assert.fail), machine.every(1, assert.fail)]) timer.stop()
    } finally {
      Object.assign(globalThis, { setTimeout, setInterval })
    }
  })
})

describe('a clock that tests move', () => {
  it('calls each timer at its very time, in their order, however far it is moved', () => {
    const clock = new MovableClock({ isStill: true })
    const startMs = clock.steadyMs()
    const calls: (readonly [what: string, ms: number])[] = []
    const note = (what: string) => () => calls.push([what, Math.round(clock.steadyMs() - startMs)])
    const timer = clock.every(40, note('every'))
    clock.after(100, note('after'))
    clock.after(70, () => clock.after(20, note('then')))
    clock.elapse(130)
    timer.stop()
    clock.elapse(1000)
    const expected = [
      ['every', 40],
      ['every', 80],
      ['then', 90],
      ['after', 100],
      ['every', 120],
    ]
    assert.deepEqual(calls, expected)
    assert.equal(clock.timers, 0)
  })

  it('leaves them alone when only the time of day is moved', () => {
    const clock = new MovableClock({ isStill: true })
    const [dayMs, steadyMs] = [clock.now(), clock.steadyMs()]
    clock.after(1, assert.fail)
    clock.advance(60_000)
    assert.deepEqual([clock.now() - dayMs, clock.steadyMs() - steadyMs], [60_000, 0])
  })

  it('goes on with the machine where it does not stand still', async () => {
    const clock = new MovableClock()
    let calls = 0
    const timer = clock.every(1, () => calls++)
    await waitUntil('it is called twice', () => calls >= 2)
    timer.stop()
    let isOver = false
    clock.after(60_000, () => {
      isOver = true
    })
    clock.elapse(59_990)
    await waitUntil('the last moment passes by itself', () => isOver)
  })
})
