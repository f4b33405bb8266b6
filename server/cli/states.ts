/** What became of each recipient of an object, a line each. */
import type { Result } from '../../schemas/frame.ts'
import type { StateResult } from '../delivery/status/results.ts'

export function tellStates(results: readonly Result[]): string {
  if (results.length === 0) return 'it was sent to nobody'
  const states = results as readonly StateResult[]
  const stored = states.filter(({ outcome }) => outcome === 'stored').length
  const width = Math.max(...states.map(each => each.for.length))
  const lines = states.map(each => `${each.for.padEnd(width)}  ${tellState(each)}`)
  return [...lines, `${stored} of ${states.length} have it`].join('\n')
}

function tellState({ outcome, atMs, attempts, nextAtMs, code, text }: StateResult): string {
  const at = atMs === undefined ? '' : ` ${new Date(atMs).toISOString()}`
  const why = code === undefined ? '' : `  ${text ?? ''} (${code})`
  if (outcome !== 'trying') return `${outcome}${at}${why}`
  const next = nextAtMs === undefined ? '' : `, next ${new Date(nextAtMs).toISOString()}`
  return `trying: ${attempts} times so far${next}${why}`
}
