/** What one check of `fmtp check` has found, and how a check is made: within its time, and whatever it throws is a failure. */
import { setMaxListeners } from 'node:events'
import { FmtpError } from '../../schemas/failures.ts'

/** `skip`: there is nothing to check, or it can not be checked here; why stands in `says`. Never a word for ok. */
export type Outcome = 'ok' | 'warn' | 'fail' | 'skip'

export interface Verdict {
  readonly outcome: Outcome
  readonly says: string
  /** What to do about it. */
  readonly todo?: string
}

export interface Finding extends Verdict {
  /** Which check. */
  readonly check: string
  /** The domain or place that it is about, where there may be several. */
  readonly about?: string
}

/** What a check gives: of several things it says itself which. */
export type Verdicts = readonly (Verdict & Partial<Pick<Finding, 'check' | 'about'>>)[]

export interface Check {
  readonly check: string
  readonly about?: string
  /** The most it may take. */
  readonly limitMs: number
  /** One verdict at least. The signal is aborted when nobody waits any more. */
  run(signal: AbortSignal): Promise<Verdicts>
}

export const ok = (says: string): Verdict => ({ outcome: 'ok', says })
export const skip = (why: string): Verdict => ({ outcome: 'skip', says: why })
export const warn = (says: string, todo: string): Verdict => ({ outcome: 'warn', says, todo })
export const fail = (says: string, todo: string): Verdict => ({ outcome: 'fail', says, todo })

/** Makes one check. Never rejects, and never takes longer than it may. */
export async function makeCheck(
  { check, about, limitMs, run }: Check,
  signal: AbortSignal,
): Promise<Finding[]> {
  const name = { check, ...(about === undefined ? {} : { about }) }
  const over = new AbortController()
  setMaxListeners(0, over.signal)
  const end = (): void => over.abort(signal.reason)
  signal.addEventListener('abort', end, { once: true })
  const late = new FmtpError('FMTP_TIMEOUT', `not done within ${limitMs / 1000} s`)
  const timer = setTimeout(() => over.abort(late), limitMs)
  try {
    signal.throwIfAborted()
    const running = run(over.signal)
    running.catch(() => undefined)
    const verdicts = await Promise.race([running, aborted(over.signal)])
    if (verdicts.length === 0) throw new FmtpError('FMTP_INTERNAL', 'the check says nothing')
    return verdicts.map(verdict => ({ ...name, ...verdict }))
  } catch (thrown) {
    return [{ ...name, ...fail(reasonOf(thrown), 'The check could not be made to its end: that is not ok.') }]
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
    over.abort()
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** Why something failed, for the operator: the detail, and the code by which it can be looked up. */
export function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof FmtpError)) return thrown instanceof Error ? thrown.message : String(thrown)
  const detail = thrown.message.replace(/^FMTP_[A-Z_]+(: |$)/, '')
  return `${detail === '' ? thrown.text : detail} (${thrown.code})`
}

/** Does the work for each, so many at a time; results in their order. */
export async function eachOf<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++)
      results[index] = await work(items[index] as T)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  return results
}
