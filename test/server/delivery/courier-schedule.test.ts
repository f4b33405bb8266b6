/** When the courier tries again, what it gives up, and that one object's trouble stays its own (protocol §10.4). */
import assert from 'node:assert/strict'
import { type FailureCode, FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import { parseDomain } from '../../../schemas/text/names.ts'
import { waitUntil } from '../../support/conditions.ts'
import { CourierRig, idOf, lenore } from '../../support/courier-rig.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

describe('Courier', () => {
  let rig: CourierRig

  beforeEach(async () => {
    rig = await CourierRig.start()
  })

  afterEach(() => rig[Symbol.asyncDispose]())

  /** The domain is down, and was tried once for entry 1. */
  async function goDown(code: FailureCode = 'FMTP_UNREACHABLE'): Promise<void> {
    rig.isOpen = false
    rig.dialError = new FmtpError(code)
    await rig.queue(1)
    await waitUntil('it is tried', () => rig.recordsOf('deliver.unreachable').length === 1)
    await rig.asleep()
  }

  /** Time passes in steps in which the domain is tried again. */
  async function passDown(ms: number): Promise<void> {
    const endMs = rig.clock.now() + ms
    while (rig.clock.now() < endMs) {
      rig.clock.advance(Math.min(4 * hourMs, Math.max(1, endMs - rig.clock.now())))
      await rig.asleep()
    }
  }

  it('forgets the schedule of a domain that is back over its own connection', async () => {
    await goDown()
    await passDown(dayMs)
    const { dials } = rig
    rig.isOpen = true
    rig.courier.wake(lenore, true)
    await rig.stands(1)
    assert.equal(rig.isDue, false)
    assert.equal(rig.dials, dials)
    rig.find(1).answer('stored')
    await waitUntil('it is settled', () => rig.cursor === 1)
    await rig.queue(2)
    await rig.stands(2)
  })

  it('does not wait any more for a domain that was heard from and has what it said to wait for', async () => {
    await rig.queue(1)
    await rig.stands(1)
    rig.find(1).answer('busy', { retryAfterMs: 20 * hourMs })
    await waitUntil('it is put off', () => rig.cursor === 1)
    rig.dialError = new FmtpError('FMTP_UNREACHABLE')
    rig.isOpen = false
    await rig.queue(2)
    await waitUntil('it waits for the domain', () => rig.isDue)
    rig.isOpen = true
    rig.courier.wake(lenore, true)
    await rig.stands(2)
    rig.find(2).answer('stored')
    await waitUntil('it is settled', () => rig.cursor === 2)
    assert.equal(await rig.countRetries(), 1)
  })

  it('gives up each entry five days after it was first tried, and then rests', async () => {
    await goDown()
    await passDown(3 * dayMs)
    await rig.queue(2)
    await passDown(2 * dayMs - hourMs)
    assert.deepEqual(rig.recordsOf('deliver.failed'), [])
    await passDown(5 * hourMs)
    await waitUntil('the first has failed', () => rig.cursor === 1)
    const [failed, ...others] = rig.recordsOf('deliver.failed')
    assert.deepEqual(others, [])
    assert.deepEqual([failed?.id, failed?.for], [idOf(1), ['lost@lenore.org']])
    assert.ok(Number(failed?.attempts) > 20, `${failed?.attempts} attempts`)
    assert.match(String(failed?.reason), /FMTP_UNREACHABLE/)

    await passDown(3 * dayMs)
    await waitUntil('the second has failed', () => rig.cursor === 2)
    await waitUntil('nothing is due', () => !rig.isDue)
    const { dials } = rig
    await passDown(dayMs)
    assert.equal(rig.dials, dials)
    assert.equal(rig.courier.workers, 0)
  })

  it('gives up what was put off five days after it was first tried, also while the domain is down', async () => {
    await rig.queue(1)
    await rig.stands(1)
    rig.find(1).answer('busy')
    await waitUntil('it is put off', () => rig.cursor === 1)
    await rig.asleep()
    rig.isOpen = false
    rig.dialError = new FmtpError('FMTP_UNREACHABLE')
    await passDown(limits.outboxMs + 5 * hourMs)
    await waitUntil('it has failed', () => rig.recordsOf('deliver.failed').length === 1)
    assert.equal(await rig.countRetries(), 0)
    await waitUntil('nothing is due', () => !rig.isDue)
  })

  const aboutDomain: readonly FailureCode[] = [
    'FMTP_RESTING',
    'FMTP_DNS_FAILED',
    'FMTP_NO_KEY',
    'FMTP_NO_HOST',
    'FMTP_WRONG_PEER',
    'FMTP_HELLO_TIMEOUT',
    'FMTP_NOT_MINE',
    'FMTP_PROOF',
    'FMTP_BINDING',
    'FMTP_GUARDED',
    'FMTP_VERSION',
  ]
  for (const code of aboutDomain) {
    it(`leaves an entry in the list when reaching its domain fails with ${code}`, async () => {
      await goDown(code)
      assert.equal(rig.isDue, true)
      assert.equal(await rig.countRetries(), 0)
      assert.equal(rig.cursor, 0)
    })
  }

  for (const code of ['FMTP_PROOF', 'FMTP_VERSION', 'FMTP_RESTING'] as const) {
    it(`leaves an entry in the list when its connection ends with ${code}`, async () => {
      await rig.queue(1)
      await rig.stands(1)
      rig.isOpen = false
      rig.find(1).fail(new FmtpError(code))
      await rig.settle()
      assert.deepEqual([rig.cursor, await rig.countRetries()], [0, 0])
    })
  }

  it('puts off one entry whose describe fails while the connection stands', async () => {
    await rig.queue(1, 2)
    await rig.stands(1, 2)
    rig.find(1).fail(new FmtpError('FMTP_UNREACHABLE'))
    rig.find(2).answer('stored')
    await waitUntil('both are settled', () => rig.cursor === 2)
    assert.equal(await rig.countRetries(), 1)
  })

  it('waits for the domain when looking up recipients finds it unreachable', async () => {
    rig.isOpen = false
    rig.lookUpError = new FmtpError('FMTP_NO_KEY')
    await rig.queue(1)
    await waitUntil('it is tried', () => rig.recordsOf('deliver.unreachable').length === 1)
    assert.equal(rig.dials, 0)
  })

  it('puts off an entry under which the connection ends again and again', async () => {
    await rig.queue(1, 2)
    for (let losses = 0; losses < 3; losses++) {
      await rig.stands(1, 2)
      rig.cut()
      await rig.asleep()
      rig.clock.advance(5000)
    }
    await waitUntil('both are put off', async () => (await rig.countRetries()) === 2)
    await waitUntil('the list is settled', () => rig.cursor === 2)
    // It may be the reason, so that a hello does not bring it back.
    await rig.asleep()
    rig.courier.wake(lenore, true)
    await rig.settle()
    await rig.asleep()
    assert.equal(rig.standing.length, 0)
    await rig.queue(3)
    await rig.stands(3)
  })

  it('takes what is due by its time, however much waits before it by number', async () => {
    await rig.queue(1, 600)
    for (let answered = 0; answered < 600; answered++) {
      await waitUntil('something stands', () => rig.standing.length > 0)
      const [first] = rig.standing
      first?.answer('busy', first.id === idOf(600) ? {} : { retryAfterMs: 2 * hourMs })
    }
    await waitUntil('all are put off', () => rig.cursor === 600)
    await rig.asleep()
    rig.clock.advance(minuteMs)
    await rig.stands(600)
    rig.find(600).answer('stored')
    await rig.asleep()
    rig.clock.advance(2 * hourMs)
    await waitUntil('several are under way', () => rig.standing.length === 64)
    // What is new has its place beside them.
    await rig.queue(601)
    await waitUntil('the new one stands too', () => rig.standing.some(({ id }) => id === idOf(601)))
    await waitUntil('all are delivered', async () => {
      for (const each of [...rig.standing]) each.answer('stored')
      return (await rig.countRetries()) === 0 && rig.cursor === 601
    })
  })

  it('waits at least as long as the answer says, also when the domain is heard from', async () => {
    await rig.queue(1)
    await rig.stands(1)
    rig.find(1).answer('busy', { retryAfterMs: 30 * minuteMs })
    await waitUntil('it is put off', () => rig.cursor === 1)
    await rig.asleep()
    rig.courier.wake(lenore, true)
    await rig.settle()
    await rig.asleep()
    rig.clock.advance(29 * minuteMs)
    await rig.asleep()
    assert.equal(rig.standing.length, 0)
    rig.clock.advance(minuteMs)
    await rig.stands(1)
  })

  it('reads what was put off once, where there is nothing', async () => {
    for (const number of [1, 2, 3, 4]) {
      await rig.queue(number)
      await rig.stands(number)
      rig.find(number).answer('stored')
      await waitUntil('it is settled', () => rig.cursor === number)
    }
    await rig.settle()
    // Two reads in the first pass: what is due, and what will be.
    assert.ok(rig.retryScans <= 2, `${rig.retryScans} reads`)
  })

  it('takes up after a restart what was put off and what was not sent', async () => {
    await rig.queue(1, 2)
    await rig.stands(1, 2)
    rig.find(1).answer('busy')
    rig.find(2).answer('stored')
    await waitUntil('both are settled', () => rig.cursor === 2)
    await rig.stop()
    await rig.queue(3)
    await rig.restart()
    await rig.stands(3)
    rig.find(3).answer('stored')
    await waitUntil('all are settled', () => rig.cursor === 3)
    await rig.asleep()
    rig.clock.advance(2 * minuteMs)
    await rig.stands(1)
  })

  it('has no worker for a domain that only says hello, or has nothing left', async () => {
    for (const name of ['stranger.example', 'lenore.org'])
      for (let hellos = 0; hellos < 3; hellos++) rig.courier.wake(parseDomain(name), true)
    assert.equal(rig.courier.workers, 0)
    await rig.queue(1)
    await rig.stands(1)
    assert.equal(rig.courier.workers, 1)
    rig.find(1).answer('stored')
    await waitUntil('it is settled', () => rig.cursor === 1)
    await rig.asleep()
    rig.clock.advance(2 * minuteMs)
    await waitUntil('its worker ends', () => rig.courier.workers === 0)
    rig.courier.wake(lenore, true)
    assert.equal(rig.courier.workers, 0)
    await rig.queue(2)
    await rig.stands(2)
  })
})
