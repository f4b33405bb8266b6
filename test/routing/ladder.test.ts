import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { climb, firstOf, type Rung, type Step } from '../../routing/ladder.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { MovableClock } from '../support/clock.ts'
import { assertCode, waitUntil } from '../support/conditions.ts'

const clock = new MovableClock()

/** A rung that answers, has nothing, or fails with a code. */
function rung(name: string, answer: string | undefined, code?: FailureCode): Rung<string> {
  return {
    name,
    climb: note =>
      note.step('ask', { name }, () => {
        if (code !== undefined) throw new FmtpError(code, `${name} failed`)
        return answer
      }),
  }
}

const shortly = (trail: readonly Step[]): string[] =>
  trail.map(step => `${step.rung} ${step.what} ${step.outcome}`)

describe('climb', () => {
  it('stops at the first rung that answers, and keeps every step', async () => {
    const seen: Step[] = []
    const climbed = await climb(
      [
        rung('local', undefined),
        rung('parent', undefined, 'FMTP_TIMEOUT'),
        rung('domain', 'found'),
        rung('never', 'x'),
      ],
      { clock, onStep: step => seen.push(step) },
    )
    assert.equal(climbed.found, 'found')
    assert.equal(climbed.error, undefined)
    assert.deepEqual(shortly(climbed.trail), ['local ask miss', 'parent ask FMTP_TIMEOUT', 'domain ask ok'])
    assert.deepEqual(seen, climbed.trail)
  })

  it('that finds nothing tells the last failure', async () => {
    const climbed = await climb(
      [rung('a', undefined, 'FMTP_TIMEOUT'), rung('b', undefined, 'FMTP_DNS_FAILED'), rung('c', undefined)],
      { clock },
    )
    assert.equal(climbed.found, undefined)
    assert.equal(climbed.error?.code, 'FMTP_DNS_FAILED')
    assert.equal(climbed.trail.length, 3)
  })

  describe('past a rung that takes long', () => {
    const slow = (found: string | undefined, ms: number, code?: FailureCode): Rung<string> => ({
      ...rung('slow', found, code),
      patienceMs: 20,
      climb: async note => {
        await sleep(ms)
        return rung('slow', found, code).climb(note)
      },
    })

    it('goes on beside it, and takes what answers first', async () => {
      const rungs = [slow('late', 150), rung('next', 'found'), rung('never', 'x')]
      const climbed = await climb(rungs, { clock })
      assert.deepEqual([climbed.found, climbed.rung], ['found', 'next'])
      await sleep(200)
      assert.deepEqual(shortly(climbed.trail), ['next ask ok'], 'what ends later is not told')
    })

    it('takes its answer where the next has none, or takes longer still', async () => {
      for (const next of [rung('next', undefined), slow('too late', 1000)]) {
        const climbed = await climb([slow('late', 60), next], { clock })
        assert.deepEqual([climbed.found, climbed.rung], ['late', 'slow'])
      }
    })

    it('goes no further where it answers in time', async () => {
      const climbed = await climb([slow('found', 5), rung('next', 'x')], { clock })
      assert.deepEqual(shortly(climbed.trail), ['slow ask ok'])
    })

    it('tells the failure of the last, whichever failed first', async () => {
      const rungs = [slow(undefined, 60, 'FMTP_TIMEOUT'), rung('next', undefined, 'FMTP_DNS_FAILED')]
      const climbed = await climb(rungs, { clock })
      assert.deepEqual([climbed.found, climbed.error?.code], [undefined, 'FMTP_DNS_FAILED'])
      assert.deepEqual(shortly(climbed.trail), ['next ask FMTP_DNS_FAILED', 'slow ask FMTP_TIMEOUT'])
    })

    it('waits for each where every rung is climbed', async () => {
      const climbed = await climb([slow('late', 60), rung('next', 'x')], { clock, isThorough: true })
      assert.deepEqual(shortly(climbed.trail), ['slow ask ok', 'next ask ok'])
      assert.equal(climbed.found, 'late')
    })
  })

  it('of no rungs finds nothing, and nothing failed', async () => {
    assert.deepEqual(await climb([], { clock }), { found: undefined, trail: [], error: undefined })
  })

  it('takes an unexpected throw for FMTP_INTERNAL, and climbs on', async () => {
    const broken: Rung<string> = {
      name: 'broken',
      climb: note =>
        note.step('ask', {}, () => {
          throw new TypeError('nevermore')
        }),
    }
    const climbed = await climb([broken, rung('next', 'found')], { clock })
    assert.equal(climbed.found, 'found')
    assert.deepEqual(shortly(climbed.trail), ['broken ask FMTP_INTERNAL', 'next ask ok'])
  })

  it('notes details of what was found, and of what failed the reason', async () => {
    const noted: Rung<number> = {
      name: 'r',
      async climb(note) {
        note.add('look', 'miss', { about: 'x' })
        return note.step(
          'count',
          found => ({ found }),
          () => 3,
        )
      },
    }
    const { trail } = await climb([noted], { clock })
    assert.deepEqual(
      trail.map(({ detail }) => detail),
      [{ about: 'x' }, { found: 3 }],
    )
    const failed = await climb([rung('r', undefined, 'FMTP_TIMEOUT')], { clock })
    assert.deepEqual(failed.trail[0]?.detail, { name: 'r', reason: 'FMTP_TIMEOUT: r failed' })
  })
})

describe('firstOf', () => {
  /** Attempts that end when the test says so. */
  function attempts(count: number) {
    const started: { resolve(value: string): void; reject(error: Error): void; signal: AbortSignal }[] = []
    const make = () => (signal: AbortSignal) =>
      new Promise<string>((resolve, reject) => started.push({ resolve, reject, signal }))
    return { started, list: Array.from({ length: count }, make) }
  }
  const failure = (code: FailureCode): FmtpError => new FmtpError(code)
  const later = new MovableClock()

  // Who lost the race may still sleep.
  after(() => later.advance(3_600_000))

  it('starts the next when the one before has failed', async () => {
    const { started, list } = attempts(3)
    const first = firstOf(list, 60_000, later)
    assert.equal(started.length, 1)
    started[0]?.reject(failure('FMTP_CONNECT_FAILED'))
    await waitUntil('the second', () => started.length === 2)
    started[1]?.resolve('second')
    assert.equal(await first, 'second')
  })

  it('starts the next when its time has come, and the first that succeeds wins over all', async () => {
    const { started, list } = attempts(3)
    const first = firstOf(list, 250, later)
    later.advance(250)
    await waitUntil('the second', () => started.length === 2)
    later.advance(250)
    await waitUntil('the third', () => started.length === 3)
    started[2]?.resolve('third')
    assert.equal(await first, 'third')
    assert.deepEqual(
      started.map(({ signal }) => signal.aborted),
      [true, true, true],
    )
  })

  it('starts none after one has won', async () => {
    const { started, list } = attempts(2)
    const first = firstOf(list, 100, later)
    started[0]?.resolve('first')
    assert.equal(await first, 'first')
    later.advance(1000)
    await new Promise(setImmediate)
    assert.equal(started.length, 1)
  })

  it('fails with the last failure when all fail, and with FMTP_UNREACHABLE when there is nothing to try', async () => {
    const { started, list } = attempts(2)
    const first = firstOf(list, 60_000, later)
    started[0]?.reject(failure('FMTP_TIMEOUT'))
    await waitUntil('the second', () => started.length === 2)
    started[1]?.reject(failure('FMTP_WRONG_PEER'))
    await assertCode('FMTP_WRONG_PEER', () => first)
    await assertCode('FMTP_UNREACHABLE', () => firstOf([], 250, later))
  })

  it('fails when the last ones fail late, after nothing was left to start', async () => {
    const { started, list } = attempts(2)
    const first = firstOf(list, 250, later)
    later.advance(250)
    await waitUntil('the second', () => started.length === 2)
    later.advance(250)
    await new Promise(setImmediate)
    started[1]?.reject(failure('FMTP_TIMEOUT'))
    started[0]?.reject(failure('FMTP_CONNECT_FAILED'))
    await assertCode('FMTP_CONNECT_FAILED', () => first)
  })
})
