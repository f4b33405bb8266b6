import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { decodeFrame } from '../../wire/codec.ts'
import { type Answer, answerError, failureAnswer, type Inquiry, Pairing } from '../../wire/pairing.ts'
import { MovableClock } from '../support/clock.ts'
import { assertCode, waitUntil } from '../support/conditions.ts'

interface Side {
  readonly pairing: Pairing
  /** Texts that this side sent. */
  readonly sent: string[]
  readonly pressures: ('pressure' | 'relief')[]
}

interface Answers {
  describe?(body: unknown): Promise<Answer>
  request?(inquiry: Inquiry): Promise<Answer>
}

/** A pairing whose texts are kept; `deliver` brings them to the other side, in order. */
function createSide(
  answers: Answers,
  window: { frames?: number; bytes?: number } = {},
  clock = new MovableClock({ isStill: true }),
): Side {
  const sent: string[] = []
  const pressures: ('pressure' | 'relief')[] = []
  const pairing = new Pairing(
    {
      clock,
      send: text => {
        sent.push(text)
      },
      onPressure: () => pressures.push('pressure'),
      onRelief: () => pressures.push('relief'),
      drained: async () => undefined,
      answerDescribe: async ({ object }) =>
        (await answers.describe?.((object as { body?: unknown }).body)) ?? { outcome: 'stored' },
      answerRequest: async inquiry => (await answers.request?.(inquiry)) ?? { outcome: 'absent' },
    },
    window,
  )
  return { pairing, sent, pressures }
}

function deliver(from: Side, to: Side): void {
  for (const text of from.sent.splice(0)) to.pairing.take(decodeFrame(text), text.length)
}

/** Delivers both ways until nothing moves any more. */
async function settle(left: Side, right: Side): Promise<void> {
  do {
    deliver(left, right)
    deliver(right, left)
    await sleep(0)
  } while (left.sent.length + right.sent.length > 0)
}

function gates() {
  const open = new Map<unknown, (answer: Answer) => void>()
  return {
    open: (key: unknown) => open.get(key)?.({ outcome: 'stored', code: `FMTP_${String(key).slice(0, 1)}` }),
    waiting: () => [...open.keys()],
    wait: (key: unknown) => new Promise<Answer>(resolve => open.set(key, resolve)),
  }
}

describe('pairing', () => {
  it('answers a ping by itself, which is work for nobody, and sends none into a full window', async () => {
    const gate = gates()
    const asker = createSide({})
    const answerer = createSide({ request: () => Promise.reject(new Error('asked')), describe: gate.wait })
    assert.equal(asker.pairing.ping(), true)
    assert.equal(asker.pairing.hasWork, false)
    deliver(asker, answerer)
    assert.deepEqual(
      answerer.sent.map(text => JSON.parse(text)),
      [{ verb: 'answer', re: 1, outcome: 'found' }],
    )
    assert.deepEqual([answerer.pairing.hasWork, asker.pairing.awaits(1)], [false, false])
    deliver(answerer, asker)
    asker.pairing.setWindow(1, undefined)
    const asked = asker.pairing.describe({ object: { body: 'A' } })
    assert.deepEqual(
      [asker.pairing.ping(), asker.pairing.hasWork, asker.pairing.awaits(2)],
      [false, true, true],
    )
    deliver(asker, answerer)
    assert.equal(answerer.pairing.hasWork, true)
    gate.open('A')
    await settle(asker, answerer)
    await asked
    assert.deepEqual([asker.pairing.hasWork, answerer.pairing.hasWork], [false, false])
  })

  it('gives each question its own answer, in whatever order they come', async () => {
    const gate = gates()
    const asker = createSide({})
    const answerer = createSide({ describe: gate.wait })
    const asked = ['A', 'B', 'C'].map(body => asker.pairing.describe({ object: { body } }))
    deliver(asker, answerer)
    for (const body of ['C', 'A', 'B']) gate.open(body)
    await settle(asker, answerer)
    assert.deepEqual(
      (await Promise.all(asked)).map(({ code }) => code),
      ['FMTP_A', 'FMTP_B', 'FMTP_C'],
    )
    assert.equal(asker.pairing.unanswered, 0)
  })

  it('sends no more than the other side lets stand unanswered, by frames and by bytes', async () => {
    for (const [frames, bytes, expected] of [
      [2, undefined, 2],
      [undefined, 1500, 2],
    ] as const) {
      const gate = gates()
      const asker = createSide({})
      const answerer = createSide({ describe: gate.wait })
      asker.pairing.setWindow(frames, bytes)
      const body = (at: number): string => 'ABCD'.charAt(at).repeat(1000)
      const asked = [0, 1, 2, 3].map(at => asker.pairing.describe({ object: { body: body(at) } }))
      await settle(asker, answerer)
      assert.equal(gate.waiting().length, expected)
      for (const at of [0, 1, 2, 3]) {
        gate.open(body(at))
        await settle(asker, answerer)
      }
      assert.equal((await Promise.all(asked)).length, 4)
    }
  })

  it('asks for a pause while more stands unanswered than its own window', async () => {
    const gate = gates()
    const asker = createSide({})
    const answerer = createSide({ describe: gate.wait }, { frames: 2 })
    for (const body of ['A', 'B']) void asker.pairing.describe({ object: { body } })
    deliver(asker, answerer)
    assert.deepEqual(answerer.pressures, ['pressure'])
    gate.open('B')
    await settle(asker, answerer)
    assert.deepEqual(answerer.pressures, ['pressure', 'relief'])
  })

  it('fails what is unanswered when the connection closes, and all that is asked later', async () => {
    const asker = createSide({})
    const asked = asker.pairing.describe({ object: {} })
    asker.pairing.close()
    await assertCode('FMTP_DISCONNECTED', () => asked)
    await assertCode('FMTP_DISCONNECTED', () => asker.pairing.request({ address: 'lost@lenore.org' }))
  })

  it('wakes who waits for the window when the connection closes', async () => {
    const asker = createSide({})
    asker.pairing.setWindow(1, undefined)
    const asked = [asker.pairing.describe({ object: {} }), asker.pairing.describe({ object: {} })]
    const failures = await Promise.allSettled([...asked, Promise.resolve().then(() => asker.pairing.close())])
    assert.deepEqual(
      failures.map(({ status }) => status),
      ['rejected', 'rejected', 'fulfilled'],
    )
  })

  describe('of what is not answered in time', () => {
    let clock: MovableClock
    let asker: Side
    const late = { verb: 'answer', re: 1, outcome: 'stored' } as const
    const looking = { verb: 'answer', re: 1, outcome: 'looking' } as const

    beforeEach(() => {
      clock = new MovableClock({ isStill: true })
      asker = createSide({}, {}, clock)
      asker.pairing.setWindow(2, undefined)
    })

    /** The code with which it failed, or how it was answered, so far. */
    function ask(): { now: string | undefined } {
      const state: { now: string | undefined } = { now: undefined }
      asker.pairing.describe({ object: {} }).then(
        ({ outcome }) => {
          state.now = outcome
        },
        (error: FmtpError) => {
          state.now = error.code
        },
      )
      return state
    }

    async function pass(ms: number): Promise<void> {
      clock.elapse(ms)
      await sleep(0)
    }

    it('gives up each in its turn, which makes room in the window, and passes over a late answer', async () => {
      const first = ask()
      await pass(limits.answerMs / 2)
      const [second, third] = [ask(), ask()]
      await pass(limits.answerMs / 2 - 1)
      assert.deepEqual([first.now, asker.sent.length], [undefined, 2], 'it still has time')
      await pass(1)
      assert.deepEqual([first.now, second.now, third.now], ['FMTP_TIMEOUT', undefined, undefined])
      assert.equal(asker.sent.length, 3, 'there is room for the third')
      asker.pairing.take(late, 10)
      asker.pairing.take({ ...late, re: 3 }, 10)
      await pass(limits.answerMs / 2)
      assert.deepEqual([second.now, third.now, asker.pairing.unanswered], ['FMTP_TIMEOUT', 'stored', 0])
    })

    it('waits as long once more when it is told that it takes longer, and only once', async () => {
      const asked = ask()
      await pass(limits.answerMs - 1)
      asker.pairing.take(looking, 10)
      await pass(limits.answerMs / 2)
      asker.pairing.take(looking, 10)
      await pass(limits.answerMs / 2 - 1)
      assert.equal(asked.now, undefined)
      await pass(limits.answerMs / 10)
      assert.equal(asked.now, 'FMTP_TIMEOUT')
    })

    it('is not moved by somebody who sets the time of day', async () => {
      const asked = ask()
      for (const ms of [limits.answerMs * 10, -limits.answerMs * 20]) {
        clock.advance(ms)
        await pass(limits.answerMs / 3)
        assert.equal(asked.now, undefined)
      }
      await pass(limits.answerMs / 2)
      assert.equal(asked.now, 'FMTP_TIMEOUT')
    })

    it('looks with one timer from the first question on, and with none when it is closed', () => {
      assert.equal(clock.timers, 0)
      for (let count = 0; count < 5; count++) ask()
      assert.equal(clock.timers, 1)
      asker.pairing.close()
      assert.equal(clock.timers, 0)
    })
  })

  it('follows: objects come after the answer, until the follower ends it', async () => {
    const inquiries: Inquiry[] = []
    const asker = createSide({})
    const answerer = createSide({
      request: async inquiry => {
        inquiries.push(inquiry)
        return { outcome: 'found' }
      },
    })
    const stopping = new AbortController()
    const seen: unknown[] = []
    const reply = asker.pairing.request(
      { list: { of: 'box' }, follow: true },
      ({ object }) => seen.push(object),
      stopping.signal,
    )
    await settle(asker, answerer)
    assert.equal((await reply).answer.outcome, 'found')
    const [inquiry] = inquiries
    inquiry?.describe({ object: { a: 1 } })
    await settle(asker, answerer)
    assert.deepEqual(seen, [{ a: 1 }])
    stopping.abort()
    await settle(asker, answerer)
    assert.equal(inquiry?.signal.aborted, true)
    inquiry?.describe({ object: { a: 2 } })
    await settle(asker, answerer)
    assert.deepEqual(seen, [{ a: 1 }], 'what is late is passed over')
  })

  it('ends a follow that its connection ends', async () => {
    const signals: AbortSignal[] = []
    const asker = createSide({})
    const answerer = createSide({
      request: async ({ signal }) => {
        signals.push(signal)
        return { outcome: 'found' }
      },
    })
    void asker.pairing.request({ list: { of: 'box' }, follow: true }).catch(() => undefined)
    await settle(asker, answerer)
    answerer.pairing.close()
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true],
    )
  })

  it('refuses a number that is still open, and frees it with the answer', async () => {
    const gate = gates()
    const answerer = createSide({ describe: gate.wait })
    const frame = { verb: 'describe', n: 1, object: { body: 'A' } } as const
    answerer.pairing.take(frame, 10)
    assert.throws(() => answerer.pairing.take(frame, 10), { code: 'FMTP_DUPLICATE_N' })
    gate.open('A')
    await waitUntil('the answer', () => answerer.sent.length === 1)
    answerer.pairing.take(frame, 10)
  })

  const unexpected = [
    { verb: 'answer', re: 1, outcome: 'stored' },
    { verb: 'describe', re: 1, object: {} },
  ] as const
  for (const frame of unexpected) {
    it(`takes no ${frame.verb} to something it never asked`, () => {
      assert.throws(() => createSide({}).pairing.take(frame, 10), { code: 'FMTP_UNEXPECTED_ANSWER' })
    })
  }

  it('takes no describe that neither asks nor answers', () => {
    assert.throws(() => createSide({}).pairing.take({ verb: 'describe', object: {} }, 10), {
      code: 'FMTP_BAD_FRAME',
    })
  })

  it('answers a failure with its code and public text, and never its detail', async () => {
    const asker = createSide({})
    const answerer = createSide({
      describe: () => Promise.reject(new FmtpError('FMTP_RATE', 'secret', { retryAfterMs: 7 })),
    })
    const asked = asker.pairing.describe({ object: {} })
    await settle(asker, answerer)
    const answer = await asked
    assert.deepEqual([answer.outcome, answer.code, answer.retryAfterMs], ['busy', 'FMTP_RATE', 7])
    assert.ok(!JSON.stringify(answer).includes('secret'))
  })
})

describe('answers as errors', () => {
  const answers: readonly (readonly [answer: Answer, code: string, isTemporary: boolean])[] = [
    [{ outcome: 'refused', code: 'FMTP_REFUSED' }, 'FMTP_REFUSED', false],
    [{ outcome: 'busy', code: 'FMTP_QUOTA' }, 'FMTP_QUOTA', true],
    [{ outcome: 'busy', code: 'FMTP_OF_A_LATER_VERSION' }, 'FMTP_BUSY', true],
    [{ outcome: 'refused', code: 'toString' }, 'FMTP_REFUSED', false],
    [{ outcome: 'refused' }, 'FMTP_REFUSED', false],
  ]
  for (const [answer, code, isTemporary] of answers) {
    it(`${answer.outcome} ${answer.code ?? ''} is ${code}`, () => {
      const error = answerError(answer)
      assert.deepEqual([error.code, error.isTemporary], [code, isTemporary])
    })
  }

  it('an unexpected throw is FMTP_INTERNAL, which may pass', () => {
    const answer = failureAnswer(new TypeError('undefined is not a raven'))
    assert.deepEqual([answer.outcome, answer.code], ['busy', 'FMTP_INTERNAL'])
    assert.ok(!JSON.stringify(answer).includes('raven'))
  })
})
