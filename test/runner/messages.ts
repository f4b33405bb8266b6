/**
 * What the runner (`../run.ts`) and its workers (`worker.ts`) say to each other: the events of mocha as plain data, because
 * tests, hooks and errors can not be sent to another process as they are.
 */

/** What every file is run with, as of mocha's options of these names. */
export interface RunOptions {
  readonly timeout: number
  readonly forbidOnly: boolean
  readonly forbidPending: boolean
  readonly grep?: string
  readonly fgrep?: string
  readonly invert: boolean
}

/** The runner orders a worker to run one file. A worker without orders is ended by closing its channel. */
export interface Order {
  readonly file: string
  readonly options: RunOptions
}

export interface PlainTest {
  readonly title: string
  readonly isHook: boolean
  readonly file: string
  readonly body: string
  readonly slowMs: number
  readonly durationMs?: number
}

export interface PlainError {
  readonly name: string
  readonly message: string
  readonly stack: string
  /** Both are there where mocha shows how they differ. */
  readonly actual?: string
  readonly expected?: string
}

/** Events of mocha that concern one test. */
export const testEvents = ['test', 'pass', 'fail', 'pending', 'retry', 'test end'] as const

export type Told =
  | { readonly event: 'suite'; readonly title: string; readonly file: string }
  | { readonly event: 'suite end' }
  | {
      readonly event: (typeof testEvents)[number]
      readonly test: PlainTest
      readonly error?: PlainError
    }
  | { readonly event: 'unloadable'; readonly error: PlainError }
  /** The file is through. `cpuMs`: what it took of processors, with the processes it waited for. */
  | { readonly event: 'through'; readonly cpuMs: number }

/** Whatever was thrown, so that it can be sent and shown. */
export function plainError(thrown: unknown): PlainError {
  if (!(thrown instanceof Error)) return { name: 'Error', message: String(thrown), stack: String(thrown) }
  const { name, message, cause } = thrown
  const because = cause instanceof Error ? `\ncause: ${cause.stack}` : ''
  const stack = `${thrown.stack ?? message}${because}`
  const { actual, expected } = thrown as { actual?: unknown; expected?: unknown }
  const differing = typeof actual === 'string' && typeof expected === 'string' ? { actual, expected } : {}
  return { name, message, stack, ...differing }
}
