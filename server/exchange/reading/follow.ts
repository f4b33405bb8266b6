/** Reads a list for ever (docs/architecture.md): hints may be lost, so the list's head is looked at now and then all the same. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../../objects/clock.ts'
import type { Hints } from '../../../objects/store/hints.ts'
import type { ListName } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { toFmtpError } from '../../../schemas/failures.ts'

const againMs = 500

/** Up to where a follower has read. */
export interface Reached {
  /** Number of the last entry that it looked at. */
  readonly last: number
  /** True where nothing stood behind that. */
  readonly isComplete: boolean
}

/**
 * Reads a list for ever: note the list and its head, read, wait for a hint or a while, look at the head, read again if it
 * moved. `read` takes a number and reads on behind it. Ends with the signal.
 */
export async function follow(
  list: ListName,
  from: number,
  ports: { readonly store: Store; readonly hints: Hints; readonly clock: Clock; readonly followMs: number },
  signal: AbortSignal,
  read: (after: number) => Promise<Reached>,
): Promise<void> {
  const headOf = (): number => ports.store.database.head(list).number

  let after = from

  /** Reads until nothing is left. What was read is not read again, also when a later page fails. */
  async function readOn(): Promise<void> {
    for (let head = headOf(); !signal.aborted && head > after; head = headOf()) {
      const { last, isComplete } = await read(after)
      // The entries at the end may have gone: the head stays where it was, and nobody comes that far by reading.
      after = isComplete ? Math.max(last, head) : last
      // What there is to read comes from memory: others must have their turn.
      if (!isComplete) await nextTurn()
    }
  }

  const alarm = new Alarm()
  const unwatch = ports.hints.watch(list, () => alarm.ring())
  void ringNowAndThen(alarm, ports, signal)
  try {
    while (!signal.aborted) {
      try {
        await readOn()
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
