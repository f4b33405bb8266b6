/** The bar of commands that take a while. */
import assert from 'node:assert/strict'
import { createProgressBar, formatProgress } from '../../../../server/cli/operator/progress.ts'

describe('progress bar', () => {
  const terminal = (isTTY: boolean) => {
    const written: string[] = []
    return { isTTY, columns: 60, written, write: (text: string) => written.push(text) }
  }

  const lines: readonly (readonly [
    progress: Parameters<typeof formatProgress>[0],
    elapsedMs: number,
    line: string,
  ])[] = [
    [
      { what: 'records', done: 12_345, total: 100_000 },
      1200,
      '12,345 of 100,000 records [##..................] 9 s left',
    ],
    [{ what: 'records', done: 50, total: 100 }, 500, '50 of 100 records [##########..........]'],
    [{ what: 'files', done: 0, total: 3 }, 5000, '0 of 3 files [....................]'],
    [{ what: 'records', done: 1234 }, 5000, '1,234 records'],
    [{ what: 'backup', done: 0 }, 0, 'backup'],
  ]
  for (const [progress, elapsedMs, line] of lines)
    it(`shows ${line}`, () => assert.equal(formatProgress(progress, elapsedMs), line))

  it('is drawn ten times a second at most, in one line, and goes away', () => {
    const screen = terminal(true)
    let nowMs = 0
    const bar = createProgressBar(screen, () => nowMs)
    for (; nowMs < 1000; nowMs += 10)
      bar.show({ what: 'records of a long name', done: nowMs, total: 1_000_000 })
    assert.equal(screen.written.length, 10)
    assert.ok(
      screen.written.every(
        text => text.startsWith('\r\x1b[K') && text.length < 60 + 4 && !text.includes('\n'),
      ),
    )
    bar.end()
    assert.equal(screen.written.at(-1), '\r\x1b[K')
  })

  it('is nothing where there is no terminal', () => {
    const file = terminal(false)
    const bar = createProgressBar(file)
    bar.show({ what: 'records', done: 1, total: 2 })
    bar.end()
    assert.deepEqual(file.written, [])
  })
})
