/**
 * Who writes under a condition looks again where it did not hold: somebody else was first. Others get their turn between,
 * and who is never first is told to come back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FmtpError } from '../../schemas/failures.ts'

const patienceMs = 3000
/** So many tries follow each other at once, as somebody has just been first; then each a little later. */
const promptTries = 16
const pauseMostMs = 50

/**
 * What the first attempt gives that was written; `undefined` of one stands for not written.
 * @throws {FmtpError} FMTP_BUSY when none was for 3 s
 */
export async function untilWritten<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  const startMs = performance.now()
  for (let tries = 1; ; tries++) {
    const result = await attempt()
    if (result !== undefined) return result
    if (performance.now() - startMs > patienceMs)
      throw new FmtpError('FMTP_BUSY', `others were first ${tries} times`, { retryAfterMs: patienceMs })
    if (tries >= promptTries) await sleep(Math.min(tries, pauseMostMs))
  }
}
