/** Room on the disk: when it is told that there is too little, and when that there is enough again. */
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { DiskWatch } from '../../../server/limits/disk-space.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode, waitUntil } from '../../support/conditions.ts'

describe('a watched disk', () => {
  const clock = new MovableClock()
  let events: string[]
  let free: number
  let looks: number

  beforeEach(() => {
    events = []
    free = 1000
    looks = 0
  })

  async function start(leastBytes: number, measure?: () => Promise<number>): Promise<DiskWatch> {
    const onEvent = (event: string): void => {
      events.push(event)
    }
    const watch = await DiskWatch.open({
      folder: tmpdir(),
      leastBytes,
      clock,
      onEvent,
      measure:
        measure ??
        (async () => {
          looks++
          return free
        }),
    })
    watch.start()
    return watch
  }

  async function look(bytes: number): Promise<void> {
    free = bytes
    const before = looks
    clock.advance(2000)
    await waitUntil('it looks', () => looks > before)
  }

  it('is full below its floor, and free again with a little more, told once each time', async () => {
    await using watch = await start(500)
    watch.requireRoom()
    await look(499)
    assert.equal(watch.hasRoom, false)
    await assertCode('FMTP_FULL', () => watch.requireRoom())
    await look(400)
    await look(510)
    assert.deepEqual(events, ['disk.full'])
    await look(530)
    watch.requireRoom()
    assert.deepEqual(events, ['disk.full', 'disk.free'])
  })

  it('has no room for what would lead below the floor', async () => {
    await using watch = await start(500)
    watch.requireRoom(500)
    await assertCode('FMTP_FULL', () => watch.requireRoom(501))
  })

  it('is looked at no more for many requests, and not at all without a floor', async () => {
    {
      await using watch = await start(500)
      for (let count = 0; count < 1000; count++) watch.requireRoom()
      assert.equal(looks, 1)
    }
    await using watch = await start(0)
    watch.requireRoom(Number.MAX_SAFE_INTEGER)
    assert.equal(looks, 1)
  })

  it('that says nothing is not full', async () => {
    await using watch = await start(500, () => Promise.reject(new Error('EIO')))
    watch.requireRoom(1000)
    assert.deepEqual(events, [])
  })
})
