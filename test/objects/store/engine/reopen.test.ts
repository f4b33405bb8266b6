/** A store whose disk failed: when it is closed and opened again, and when it is left alone. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { longestPauseMs, type Reopenable, reopen } from '../../../../objects/store/engine/reopen.ts'

describe('reopening a store', () => {
  let folder: string
  let steps: string[]

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-reopen-'))
    steps = []
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** An engine that can not be opened so many times. */
  function engine(failures: number): Reopenable {
    let status = 'open'
    return {
      get status() {
        return status
      },
      async close() {
        steps.push('close')
        status = 'closed'
      },
      async open() {
        steps.push('open')
        if (failures-- > 0) throw new Error('no space left on device')
        status = 'open'
      },
    }
  }

  it('closes it, opens it, and leaves nothing behind', async () => {
    const { signal } = new AbortController()
    const attempts = await reopen(engine(0), { folder, signal, onPause: () => undefined })
    assert.equal(attempts, 1)
    assert.deepEqual(steps, ['close', 'open'])
    assert.equal(existsSync(join(folder, 'probe')), false)
  })

  it('tries again with growing pauses', async () => {
    const { signal } = new AbortController()
    const pauses: number[] = []
    const attempts = await reopen(engine(3), { folder, signal, onPause: ms => pauses.push(ms) })
    assert.equal(attempts, 4)
    assert.deepEqual(pauses, [100, 200, 400])
  })

  it('leaves it open for readers while the disk takes nothing', async () => {
    const controller = new AbortController()
    const pauses: number[] = []
    const working = reopen(engine(0), {
      folder: join(folder, 'gone'),
      signal: controller.signal,
      onPause: ms => {
        pauses.push(ms)
        if (pauses.length === 3) controller.abort(new Error('enough'))
      },
    })
    await assert.rejects(working)
    assert.deepEqual(steps, [])
    assert.ok(pauses.every(ms => ms <= longestPauseMs))
  })
})
