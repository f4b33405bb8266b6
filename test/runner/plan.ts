/**
 * In which order tests run, and which of them at the same time: first the units, because they are quick and say most
 * precisely what is wrong; then all others side by side; at last, one by one, those that must be alone.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface Phase {
  readonly name: 'units' | 'side by side' | 'alone'
  readonly tests: readonly string[]
  /** How many files run at the same time. */
  readonly jobs: number
  /** True: a process for each file. Units share theirs: to load the same modules again would take longer than they do. */
  readonly isFresh: boolean
}

/** Files beside which nothing may run, each with the reason. */
export const alone: Readonly<Record<string, string>> = {
  'test/network/crash.test.ts': 'how often it kills depends on how much is acknowledged between two kills',
  'test/network/separate-hosts.test.ts': 'hosts of their own, whose pings and limits are of real time',
  'test/network/sync.test.ts': 'strace counts the syncs of each write',
}

/**
 * Files that take longest, longest first. They start first, or one would still run when all others are through. Only the
 * order hangs on this list: when it is stale, a run takes some seconds more, and `npm test -- --times` shows which.
 */
export const heavy: readonly string[] = [
  'test/network/leaving.test.ts',
  'test/network/reports.test.ts',
  'test/network/check-command.test.ts',
  'test/network/full-disk.test.ts',
  'test/network/damage.test.ts',
  'test/network/backup.test.ts',
  'test/network/blobs-travel.test.ts',
  'test/network/parent-blob-faults.test.ts',
  'test/network/demo.test.ts',
  'test/network/crossing.test.ts',
  'test/server/verify/verify.test.ts',
  'test/network/delivery-faults.test.ts',
  'test/objects/store/upgrade/upgrade.test.ts',
  'test/objects/store/model.test.ts',
]

/** Units are those that start no servers and no processes: neither they nor what they import of `test/`. */
function isUnit(root: string, file: string): boolean {
  const text = readFileSync(join(root, file), 'utf8')
  if (text.includes("'node:child_process'") || text.includes('/server/server.ts')) return false
  return [...text.matchAll(/^(?:import|\}) .*'(\.[^']+)'$/gm)]
    .map(([, path = '']) => join(dirname(file), path))
    .every(path => !path.startsWith('test/') || isUnit(root, path))
}

export function planOf(root: string, tests: readonly string[], jobs: number): Phase[] {
  const rank = (test: string): number => (heavy.includes(test) ? heavy.indexOf(test) : heavy.length)
  const sorted = [...tests].sort((one, other) => rank(one) - rank(other))
  const last = sorted.filter(test => Object.hasOwn(alone, test))
  const others = sorted.filter(test => !last.includes(test))
  const units = others.filter(test => isUnit(root, test))
  const rest = others.filter(test => !units.includes(test))
  const phases: Phase[] = [
    { name: 'units', tests: units, jobs, isFresh: false },
    { name: 'side by side', tests: rest, jobs, isFresh: true },
    { name: 'alone', tests: last, jobs: 1, isFresh: true },
  ]
  return phases.filter(({ tests }) => tests.length > 0)
}
