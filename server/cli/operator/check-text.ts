/** What was checked, for people: a line each, what to do in the one below, and at the end whether all is well. */
import type { Finding, Outcome } from '../../check/finding.ts'
import type { CheckResult } from '../../check/run.ts'

export function tellCheck({ checks, outcome, ms }: CheckResult, isColoured: boolean): string {
  const width = Math.max(...checks.map(({ check }) => check.length))
  const lines = checks.flatMap(each => tellFinding(each, width, isColoured))
  const count = (wanted: Outcome): number => checks.filter(each => each.outcome === wanted).length
  const skipped = count('skip') === 0 ? '' : `, ${count('skip')} not checked`
  const seconds = (ms / 1000).toFixed(1)
  const end =
    outcome === 'ok'
      ? `all is well: ${count('ok')} ok${skipped}`
      : `${count('fail')} failed, ${count('warn')} ${count('warn') === 1 ? 'warning' : 'warnings'}, ${count('ok')} ok${skipped}`
  return [...lines, '', `${paint(outcome, end, isColoured)}  (${seconds} s)`].join('\n')
}

function tellFinding(
  { check, about, outcome, says, todo }: Finding,
  width: number,
  isColoured: boolean,
): string[] {
  const name = about === undefined ? '' : `${harmless(about)}: `
  const why = outcome === 'skip' ? `(${harmless(says)})` : harmless(says)
  const line = `${paint(outcome, outcome.padEnd(4), isColoured)}  ${check.padEnd(width)}  ${name}${why}`
  return todo === undefined ? [line] : [line, `${' '.repeat(width + 8)}${harmless(todo)}`]
}

/** Names and records of others may hold what a terminal obeys, or what turns a line around. */
function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}

const colours: Readonly<Record<Outcome, number>> = { ok: 32, warn: 33, fail: 31, skip: 2 }

function paint(outcome: Outcome, text: string, isColoured: boolean): string {
  return isColoured ? `\u001b[${colours[outcome]}m${text}\u001b[0m` : text
}
