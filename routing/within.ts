/** Work that is waited for so long and no longer. */
import type { Clock } from '../objects/clock.ts'
import { FmtpError } from '../schemas/failures.ts'

/** What the work gives. It goes on behind where it takes longer. @throws {FmtpError} FMTP_TIMEOUT */
export async function within<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const over = new AbortController()
  const late = clock.sleep(ms, over.signal).then(() => {
    throw new FmtpError('FMTP_TIMEOUT', `nothing in ${ms} ms`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => undefined)
    work.catch(() => undefined)
    over.abort('over')
  }
}
