/** What the test files took, as a table: by the clock, and of processors where that can be known. */
import type { Phase } from './plan.ts'

export interface Time {
  readonly test: string
  readonly phase: Phase['name']
  readonly wallMs: number
  /** Its process and those that it waited for. */
  readonly cpuMs?: number
}

export function tableOf(times: readonly Time[]): string {
  const rows = [...times]
    .sort((one, other) => other.wallMs - one.wallMs)
    .map(({ test, phase, wallMs, cpuMs }) => row(seconds(wallMs), seconds(cpuMs), `${test} (${phase})`))
  const sum = times.reduce((cpuMs, time) => cpuMs + (time.cpuMs ?? 0), 0)
  return ['', row('clock', 'CPU', 'seconds of'), ...rows, row('', seconds(sum), 'all')]
    .join('\n')
    .concat('\n')
}

function row(...[clock, cpu, what]: readonly [string, string, string]): string {
  return `${clock.padStart(8)} ${cpu.padStart(8)}  ${what}`
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? '?' : (ms / 1000).toFixed(1)
}
