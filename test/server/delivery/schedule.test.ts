import assert from 'node:assert/strict'
import { waitMs } from '../../../server/delivery/schedule.ts'

describe('the schedule of attempts', () => {
  const minuteMs = 60_000
  const minutes = [1, 5, 15, 30, 60, 120, 240, 240]
  for (const [index, wait] of minutes.entries()) {
    it(`waits ${wait} minutes after attempt ${index + 1}, never less and at most a tenth more`, () => {
      assert.equal(waitMs(index + 1, 0), wait * minuteMs)
      assert.equal(waitMs(index + 1, 1), (wait * minuteMs * 11) / 10)
    })
  }
})
