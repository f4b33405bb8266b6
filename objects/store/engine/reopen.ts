/**
 * Brings a store back whose disk did not take a batch (docs/architecture.md). LevelDB leaves half a record in its log then,
 * behind which later ones are lost at the next recovery, or refuses every write for ever; closed and opened again it begins
 * a new log. That is tried once the disk takes something again: until then the open store is still good for reading.
 */
import { rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The engine, as far as it can be closed and opened. */
export interface Reopenable {
  readonly status: string
  open(): Promise<void>
  close(): Promise<void>
}

export const firstPauseMs = 100
export const longestPauseMs = 5000
/** An opening writes the log anew as a table, and tables of other logs: each as large as the engine's write buffer, 4 MiB. */
const openingBytes = 8 * 1024 * 1024
const chunk = Buffer.alloc(1024 * 1024, 0x2e)

export interface ReopenOptions {
  /** The data folder. */
  readonly folder: string
  readonly signal: AbortSignal
  /** Called after an attempt that failed, with what comes before the next one. */
  onPause(pauseMs: number): void
}

/** Resolves when the store was opened again, with how many attempts that took. @throws the reason of the signal */
export async function reopen(
  engine: Reopenable,
  { folder, signal, onPause }: ReopenOptions,
): Promise<number> {
  let pauseMs = firstPauseMs
  for (let attempts = 1; ; attempts++) {
    signal.throwIfAborted()
    try {
      if (engine.status === 'open') await writeProbe(folder)
      signal.throwIfAborted()
      await engine.close()
      await engine.open()
      return attempts
    } catch {
      // Whatever it is, it may pass: a disk that is full, one that is gone for a while, too many open files.
    }
    onPause(pauseMs)
    await sleep(pauseMs, undefined, { signal })
    pauseMs = Math.min(2 * pauseMs, longestPauseMs)
  }
}

const probeName = 'probe'

/** Throws where the disk does not take what an opening may write. */
async function writeProbe(folder: string): Promise<void> {
  const file = join(folder, probeName)
  try {
    const handle = await open(file, 'w', 0o600)
    try {
      for (let bytes = 0; bytes < openingBytes; bytes += chunk.length) await handle.writeFile(chunk)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } finally {
    removeProbe(folder)
  }
}

/** Takes away what a killed server left. */
export function removeProbe(folder: string): void {
  rmSync(join(folder, probeName), { force: true })
}
