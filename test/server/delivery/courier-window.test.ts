/** The courier's window: always full while there is enough, and never a step ahead of what is settled. */
import assert from 'node:assert/strict'
import { FmtpError } from '../../../schemas/failures.ts'
import { waitUntil } from '../../support/conditions.ts'
import { CourierRig, lenore } from '../../support/courier-rig.ts'

describe('Courier', () => {
  let rig: CourierRig

  beforeEach(async () => {
    rig = await CourierRig.start()
  })

  afterEach(() => rig[Symbol.asyncDispose]())

  it('starts the next entry as soon as one is settled', async () => {
    await rig.queue(1, 300)
    await waitUntil('the window is full', () => rig.standing.length === 256)
    rig.find(7).answer('stored')
    await waitUntil('it is full again', () => rig.standing.length === 256)
    assert.ok(rig.find(257))
  })

  it('starts what is queued while others are under way', async () => {
    await rig.queue(1, 2)
    await rig.stands(1, 2)
    await rig.queue(3)
    await rig.stands(1, 2, 3)
  })

  it('never moves its cursor over an entry that is not settled', async () => {
    await rig.queue(1, 4)
    await rig.stands(1, 2, 3, 4)
    for (const number of [2, 3, 4]) rig.find(number).answer('stored')
    await rig.stands(1)
    await rig.settle()
    assert.equal(rig.cursor, 0)
    rig.find(1).answer('stored')
    await waitUntil('all are settled', () => rig.cursor === 4)
  })

  it('puts off one entry on disk and goes on', async () => {
    await rig.queue(1, 2)
    await rig.stands(1, 2)
    rig.find(1).answer('busy')
    rig.find(2).answer('stored')
    await waitUntil('both are settled', () => rig.cursor === 2)
    assert.equal(await rig.countRetries(), 1)
  })

  it('tries again what was put off when the domain is heard from', async () => {
    await rig.queue(1)
    await rig.stands(1)
    rig.find(1).answer('busy')
    await waitUntil('it is put off', () => rig.cursor === 1)
    rig.courier.wake(lenore, true)
    await rig.stands(1)
    rig.find(1).answer('stored')
    await waitUntil('nothing is put off', async () => (await rig.countRetries()) === 0)
  })

  it('leaves what is unsettled when the connection ends, and sends only that again', async () => {
    await rig.queue(1, 3)
    await rig.stands(1, 2, 3)
    rig.find(2).answer('stored')
    rig.dialError = new FmtpError('FMTP_UNREACHABLE')
    rig.cut()
    await rig.queue(4)
    await waitUntil('it waits for the domain', () => rig.isDue)
    assert.equal(rig.cursor, 0)
    assert.equal(rig.standing.length, 0)
    rig.isOpen = true
    rig.courier.wake(lenore, true)
    await rig.stands(1, 3, 4)
    for (const each of rig.standing) each.answer('stored')
    await waitUntil('all are settled', () => rig.cursor === 4)
  })

  it('keeps room for a message, however much bulk is under way', async () => {
    await rig.queue(1, 400, 'bulk')
    await waitUntil('bulk has all that it may', () => rig.standing.length === 192)
    await rig.queue(1000)
    await waitUntil('the message is under way', () => rig.standing.length === 193)
    assert.ok(rig.find(1000))
    await rig.settle()
    assert.equal(rig.standing.length, 193)
  })

  it('takes four messages for one of bulk while both wait', async () => {
    rig.isOpen = false
    rig.dialError = new FmtpError('FMTP_UNREACHABLE')
    await rig.queue(1, 300, 'bulk')
    await rig.queue(1001, 1300)
    await waitUntil('it waits for the domain', () => rig.isDue)
    await rig.settle()
    rig.dialError = undefined
    rig.courier.wake(lenore, true)
    await waitUntil('the window is full', () => rig.standing.length === 256)
    const bulk = rig.standing.filter(({ id }) => Number(id.split('.')[0]) < 1000).length
    assert.equal(bulk, 51)
    for (const each of [...rig.standing]) each.answer('stored')
    await waitUntil('all that is left is under way', () => rig.standing.length > 0)
    for (let count = 0; rig.cursor < 300 || rig.bulkCursor < 300; count++) {
      assert.ok(count < 10_000, 'it ends')
      for (const each of [...rig.standing]) each.answer('stored')
      await rig.settle()
    }
  })

  it('takes up bulk after a restart', async () => {
    await rig.queue(1, 3, 'bulk')
    await rig.stands(1, 2, 3)
    await rig.stop()
    await rig.restart()
    await rig.stands(1, 2, 3)
    rig.find(2).answer('busy')
    await waitUntil('it is put off', async () => (await rig.countRetries('bulk')) === 1)
  })
})
