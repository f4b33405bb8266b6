/** The courier's cursor moved back (protocol §10.6): what stands behind it comes once more, whatever is under way meanwhile. */
import assert from 'node:assert/strict'
import { waitUntil } from '../../support/conditions.ts'
import { CourierRig, idOf, lenore } from '../../support/courier-rig.ts'

describe('Courier', () => {
  let rig: CourierRig

  beforeEach(async () => {
    rig = await CourierRig.start()
  })

  afterEach(() => rig[Symbol.asyncDispose]())

  /** Answers all that stands at the peer, and what comes, until the cursor is there; gives what stood, in order. */
  async function answerUntil(cursor: number): Promise<string[]> {
    const ids: string[] = []
    await waitUntil(`the cursor is at ${cursor}`, () => {
      for (const each of [...rig.standing]) {
        ids.push(each.id)
        each.answer('stored')
      }
      return rig.cursor === cursor && rig.standing.length === 0
    })
    await rig.settle()
    assert.deepEqual(rig.standing, [])
    return ids
  }

  it('sends once more what was settled, when its worker has ended', async () => {
    await rig.queue(1, 4)
    await waitUntil('they stand there', () => rig.standing.length === 4)
    await answerUntil(4)
    await rig.asleep()
    rig.clock.advance(60_000)
    await waitUntil('it has ended', () => rig.courier.workers === 0)
    assert.equal(rig.courier.settled(lenore), 4)
    await rig.courier.resend(lenore, 1)
    assert.equal(rig.cursor, 1)
    assert.equal(rig.courier.settled(lenore), 1)
    await rig.stands(2, 3, 4)
    assert.deepEqual(await answerUntil(4), [2, 3, 4].map(idOf))
    assert.equal(rig.courier.settled(lenore), 4)
    rig.clock.advance(60_000)
    await waitUntil('it has ended again', () => rig.courier.workers === 0)
  })

  it('has on the disk what comes once more', async () => {
    await rig.queue(1, 4)
    await waitUntil('they stand there', () => rig.standing.length === 4)
    await answerUntil(4)
    await rig.courier.resend(lenore, 2)
    await rig.stands(3, 4)
    await rig.restart()
    await rig.stands(3, 4)
    assert.deepEqual(await answerUntil(4), [3, 4].map(idOf))
  })

  it('sends once more while others are under way, and settles both', async () => {
    await rig.queue(1, 5)
    await rig.stands(1, 2, 3, 4, 5)
    for (const number of [1, 2, 4]) rig.find(number).answer('stored')
    await waitUntil('two are settled', () => rig.cursor === 2)
    await rig.courier.resend(lenore, 0)
    await waitUntil('all stand there again', () => rig.standing.length === 7)
    const ids = await answerUntil(5)
    assert.deepEqual(ids.sort(), [1, 2, 3, 3, 4, 5, 5].map(idOf))
    await rig.queue(6)
    assert.deepEqual(await answerUntil(6), [idOf(6)])
    // What was settled twice is not taken for settled the next time.
    await rig.courier.resend(lenore, 0)
    assert.deepEqual((await answerUntil(6)).sort(), [1, 2, 3, 4, 5, 6].map(idOf))
  })

  it('sends once more while its list is being read', async () => {
    await rig.queue(1, 3)
    await waitUntil('they stand there', () => rig.standing.length === 3)
    await answerUntil(3)
    const entries = rig.database.entries.bind(rig.database)
    let open: () => void = () => undefined
    const gate = new Promise<void>(resolve => {
      open = resolve
    })
    let reading = 0
    rig.database.entries = async (...query) => {
      reading++
      const read = await entries(...query)
      await gate
      return read
    }
    await rig.queue(4)
    await waitUntil('it reads', () => reading > 0)
    await rig.courier.resend(lenore, 1)
    open()
    assert.deepEqual(await answerUntil(4), [2, 3, 4].map(idOf))
  })

  it('sends once more although its cursor is being saved', async () => {
    await rig.queue(1, 3)
    await rig.stands(1, 2, 3)
    const commit = rig.database.commit.bind(rig.database)
    let saved: () => void = () => undefined
    const gate = new Promise<void>(resolve => {
      saved = resolve
    })
    let saving = 0
    rig.database.commit = async writes => {
      const written = await commit(writes)
      if (writes.some(({ isRelaxed }) => isRelaxed)) {
        saving++
        await gate
      }
      return written
    }
    for (const each of [...rig.standing]) each.answer('stored')
    await waitUntil('it saves', () => saving > 0)
    await rig.courier.resend(lenore, 0)
    saved()
    assert.deepEqual(await answerUntil(3), [1, 2, 3].map(idOf))
  })

  it('sends once more although its cursor was about to be saved', async () => {
    await rig.queue(1, 3)
    await rig.stands(1, 2, 3)
    for (const each of [...rig.standing]) each.answer('stored')
    // Settled in memory, and not on the disk yet.
    await waitUntil('all are settled', () => rig.courier.settled(lenore) === 3)
    const moved = rig.courier.resend(lenore, 0)
    await moved
    await new Promise(resolve => setTimeout(resolve, 100))
    assert.equal(rig.cursor, 0)
    assert.deepEqual(await answerUntil(3), [1, 2, 3].map(idOf))
  })
})
