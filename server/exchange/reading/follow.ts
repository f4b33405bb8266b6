/** Reads a list for ever (docs/architecture.md): hints may be lost, so the list's head is looked at now and then all the same. */
import type { Clock } from '../../../objects/clock.ts'
import type { Hints } from '../../../objects/store/hints.ts'
import type { ListName } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { toFmtpError } from '../../../schemas/failures.ts'

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
  const alarm = new Alarm()
  const unwatch = ports.hints.watch(list, () => alarm.ring())
  void ringNowAndThen(alarm, ports, signal)
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
      if (!signal.aborted) await alarm.rung()
    }
  } finally {
    unwatch()
    alarm.end()
  }
}

/** A hint may be lost; and it wakes who waits for ever when there is nothing to wait for any more. */
async function ringNowAndThen(
  alarm: Alarm,
  { clock, followMs }: { readonly clock: Clock; readonly followMs: number },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && !alarm.isOver) {
    await clock.sleep(followMs, signal)
    alarm.ring()
  }
}

/** Wakes one who waits. It is rung with every message, and so is no signal: to abort one costs more than a read. */
class Alarm {
  #isOver = false
  #wake: () => void = () => undefined

  /** True when nobody will wait any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  end(): void {
    this.#isOver = true
  }

  ring(): void {
    this.#wake()
  }

  /** Resolves when it is rung. What was rung before, the list's head tells. */
  rung(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}
