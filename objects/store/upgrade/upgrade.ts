/**
 * Brings a store of an older version to the present one, in place (docs/operations.md). Each step looks at what is there and
 * leaves alone what is right already, so that it can end anywhere and begin again; the version is written last. While it
 * is under way the store has a version that no server takes for its own.
 */
import { keyOf } from '../layout.ts'
import type { UpgradeStep, UpgradeStore } from './pages.ts'
import { addUpToDomains, upgradeBoxed, upgradeLists, upgradeObjects } from './steps.ts'

/** The version that is written and read here. */
export const storeVersion = '2'
/** Of a store whose upgrade has begun. */
const betweenVersion = '1-2'

/** True for what `upgrade` knows. */
export function isUpgradable(version: string): boolean {
  return version === '1' || version === betweenVersion
}

export interface UpgradeProgress {
  /** What is gone through, in words for a person. */
  readonly what: string
  readonly done: number
}

/** In this order: rows of boxes give the bytes of lists, and lists say what stands where. */
const steps: readonly (readonly [what: string, step: UpgradeStep])[] = [
  ['boxes', upgradeBoxed],
  ['lists', upgradeLists],
  ['domains', addUpToDomains],
  ['objects', upgradeObjects],
]

/** How often is told how far it is. */
const tellMs = 1000

interface Progress {
  readonly atMs: number
  /** How many steps are done. */
  readonly steps: number
}

/** Upgrades a store for which `isUpgradable` is true. @throws {FmtpError} FMTP_STORE; it goes on at the next start */
export async function upgrade(
  store: UpgradeStore,
  nowMs: number,
  onProgress: (progress: UpgradeProgress) => void,
): Promise<void> {
  const key = keyOf.meta('upgrade')
  const text = store.get(key)
  const begun = text === undefined ? { atMs: nowMs, steps: 0 } : (JSON.parse(text) as Progress)
  const note = (done: number) => [key, JSON.stringify({ ...begun, steps: done } satisfies Progress)] as const
  await store.commit([{ puts: [[keyOf.meta('version'), betweenVersion], note(begun.steps)] }])
  for (const [index, [what, step]] of steps.entries()) {
    if (index < begun.steps) continue
    let done = 0
    let toldMs = performance.now()
    await step(store, begun.atMs, count => {
      done += count
      if (performance.now() - toldMs < tellMs) return
      toldMs = performance.now()
      onProgress({ what, done })
    })
    onProgress({ what, done })
    // Synced, and with it all that the step wrote.
    await store.commit([{ puts: [note(index + 1)] }])
  }
  await store.commit([{ puts: [[keyOf.meta('version'), storeVersion]], dels: [key] }])
}
