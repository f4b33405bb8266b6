/** Reads a list for ever (docs/architecture.md): hints may be lost, so the list's head is looked at now and then all the same. */
import type { Clock } from '../../objects/clock.ts'
import type { Hints } from '../../objects/hints.ts'
import type { ListName } from '../../objects/layout.ts'
import type { Store } from '../../objects/store.ts'
import { toFmtpError } from '../../schemas/failures.ts'

const againMs = 500

/**
 * Reads a list for ever: note the list, read, wait for a hint or a while, look at the head, read again if it moved.
 * `read` takes the last number and gives the new one. Ends with the signal.
 */
export async function follow(
  list: ListName,
  from: number,
  ports: { readonly store: Store; readonly hints: Hints; readonly clock: Clock; readonly followMs: number },
  signal: AbortSignal,
  read: (after: number) => Promise<number>,
): Promise<void> {
  let after = from
  let woken = new AbortController()
  const unwatch = ports.hints.watch(list, () => woken.abort())
  signal.addEventListener('abort', () => woken.abort(), { once: true })
  try {
    while (!signal.aborted) {
      try {
        while (!signal.aborted && ports.store.database.head(list).number > after) after = await read(after)
      } catch (thrown) {
        // The store is being opened again, which takes a moment.
        if (toFmtpError(thrown).code !== 'FMTP_BUSY') throw thrown
        await ports.clock.sleep(againMs, signal)
        continue
      }
      if (signal.aborted) break
      if (!woken.signal.aborted) await ports.clock.sleep(ports.followMs, woken.signal)
      woken = new AbortController()
    }
  } finally {
    unwatch()
  }
}
