/** A bar on standard error for a person who waits; nothing where standard error is no terminal. */
import type { Progress } from '../../operator/action.ts'

export interface ProgressBar {
  show(progress: Progress): void
  /** Takes it away. */
  end(): void
}

export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const everyMs = 100
const barWidth = 20
const eraseLine = '\r\x1b[K'

export function createProgressBar(terminal: Terminal, now: () => number = Date.now): ProgressBar {
  if (terminal.isTTY !== true) return { show: () => undefined, end: () => undefined }
  let what = ''
  let startMs = 0
  let drawnMs = Number.NEGATIVE_INFINITY
  return {
    show(progress) {
      const nowMs = now()
      if (progress.what !== what) {
        what = progress.what
        startMs = nowMs
      } else if (nowMs - drawnMs < everyMs) return
      drawnMs = nowMs
      const line = formatProgress(progress, nowMs - startMs).slice(0, (terminal.columns ?? 80) - 1)
      terminal.write(`${eraseLine}${line}`)
    },
    end() {
      if (what !== '') terminal.write(eraseLine)
      what = ''
    },
  }
}

/** `12,345 of 100,000 records [####----------------] 8 s left`; without a total only how many are done. */
export function formatProgress({ what, done, total }: Progress, elapsedMs: number): string {
  if (total === undefined || total === 0) return done === 0 ? what : `${formatCount(done)} ${what}`
  const part = Math.min(1, done / total)
  const full = Math.round(part * barWidth)
  const bar = `${'#'.repeat(full)}${'.'.repeat(barWidth - full)}`
  const leftMs = part === 0 ? Number.POSITIVE_INFINITY : (elapsedMs * (1 - part)) / part
  // The first guesses are no better than none.
  const left =
    elapsedMs < 1000 || leftMs === Number.POSITIVE_INFINITY ? '' : ` ${Math.ceil(leftMs / 1000)} s left`
  return `${formatCount(done)} of ${formatCount(total)} ${what} [${bar}]${left}`
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}
