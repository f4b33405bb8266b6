/** Work that is waited for so long and no longer. */
import type { Clock } from '../objects/clock.ts'
import { FmtpError } from '../schemas/failures.ts'

/** What the work gives. It goes on behind where it takes longer. @throws {FmtpError} FMTP_TIMEOUT, or what `makeLate` gives */
export async function within<T>(
  work: Promise<T>,
  ms: number,
  clock: Clock,
  makeLate = (): FmtpError => new FmtpError('FMTP_TIMEOUT', `nothing in ${ms} ms`),
): Promise<T> {
  const over = new AbortController()
  const late = clock.sleep(ms, over.signal).then(() => {
    throw makeLate()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => undefined)
    work.catch(() => undefined)
    over.abort('over')
  }
}
