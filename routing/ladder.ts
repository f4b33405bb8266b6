/**
 * Climbs a ladder of rungs (protocol §10.1): the first that answers wins, and every step is kept. The trail is the log
 * line, the report's explanation and `fmtp trace` in one.
 */
import type { Clock } from '../objects/clock.ts'
import { type FailureCode, FmtpError, toFmtpError } from '../schemas/failures.ts'

/** One thing that was tried. */
export interface Step {
  /** `local`, `domain`, `recommended`, … */
  readonly rung: string
  /** What was done there: `cache`, `mx`, `hosts`, `key`, `connect`, `tls`, `hello`, `dial`, `request`, … */
  readonly what: string
  /** `ok`, `miss` (honestly nothing there), `unneeded` (another attempt won), or the code of what failed. */
  readonly outcome: 'ok' | 'miss' | 'unneeded' | FailureCode
  readonly ms: number
  /** Who was asked and what came, for the reader of the trail. */
  readonly detail: Readonly<Record<string, unknown>>
}

/** Notes what a rung does while it does it. */
export interface Note {
  /**
   * Runs `work` as one step. `detail` may look at the result; an error is noted with its code and thrown on. `asked` is
   * noted in either case.
   */
  step<T>(
    what: string,
    detail: Step['detail'] | ((result: T) => Step['detail']),
    work: () => T | Promise<T>,
    asked?: Step['detail'],
  ): Promise<T>
  add(what: string, outcome: Step['outcome'], detail: Step['detail'], ms?: number): void
  /** The same, silent from when the signal aborts: what is torn down then has not failed. */
  until(signal: AbortSignal): Note
}

export interface Rung<T> {
  readonly name: string
  /** Ms after which the next rung is climbed beside it. Missing: it waits for this one. */
  readonly patienceMs?: number
  /** `undefined`: nothing here, climb on. An error is kept and climbed past. */
  climb(note: Note): Promise<T | undefined>
}

export interface Climb<T> {
  readonly found: T | undefined
  readonly trail: readonly Step[]
  /** The rung that answered. */
  readonly rung?: string
  /** Of the last rung that failed. */
  readonly error: FmtpError | undefined
}

export interface ClimbPorts {
  readonly clock: Clock
  /** Called with each step as it is made. */
  readonly onStep?: ((step: Step) => void) | undefined
  /** True: the rungs behind the one that answers are climbed too, for who wants to know of each. */
  readonly isThorough?: boolean
}

interface Answer<T> {
  readonly found: T
  readonly rung: string
}

export async function climb<T>(rungs: readonly Rung<T>[], ports: ClimbPorts): Promise<Climb<T>> {
  const trail: Step[] = []
  const over = { aborted: false }
  /** By the place of the rung. */
  const errors: FmtpError[] = []
  let answer: Answer<T> | undefined
  let tell = (): void => undefined
  const answered = new Promise<void>(resolve => {
    tell = resolve
  })
  /** Those that were not waited for. */
  const beside: Promise<void>[] = []
  for (const [place, rung] of rungs.entries()) {
    const note = createNote(rung.name, ports, step => trail.push(step), over)
    const climbing = rung.climb(note).then(
      found => {
        if (found === undefined) return
        answer ??= { found, rung: rung.name }
        tell()
      },
      thrown => {
        errors[place] = toFmtpError(thrown)
      },
    )
    const isLast = place === rungs.length - 1
    const patienceMs = ports.isThorough === true || isLast ? undefined : rung.patienceMs
    if (patienceMs === undefined && beside.length === 0) await climbing
    else if (!(await endsWithin([climbing, answered], patienceMs, ports.clock))) beside.push(climbing)
    if (answer !== undefined && ports.isThorough !== true) break
  }
  if (answer === undefined && beside.length > 0) await Promise.race([Promise.all(beside), answered])
  // What ends later is nobody's affair.
  over.aborted = true
  if (answer !== undefined) return { ...answer, trail, error: undefined }
  return { found: undefined, trail, error: errors.at(-1) }
}

/** False where none of these ended in time. Without a time they are waited for. */
async function endsWithin(works: Promise<void>[], ms: number | undefined, clock: Clock): Promise<boolean> {
  const over = new AbortController()
  const ended = works.map(each => each.then(() => true))
  const late = ms === undefined ? [] : [clock.sleep(ms, over.signal).then(() => false)]
  const isEnded = await Promise.race([...ended, ...late])
  over.abort('over')
  return isEnded
}

export function createNote(
  rung: string,
  ports: ClimbPorts,
  keep: (step: Step) => void = () => undefined,
  until?: Pick<AbortSignal, 'aborted'>,
): Note {
  function add(what: string, outcome: Step['outcome'], detail: Step['detail'], ms = 0): void {
    if (until?.aborted === true) return
    const step = { rung, what, outcome, ms, detail }
    keep(step)
    ports.onStep?.(step)
  }
  return {
    add,
    until: signal =>
      createNote(rung, ports, keep, {
        get aborted() {
          return signal.aborted || until?.aborted === true
        },
      }),
    async step(what, detail, work, asked = {}) {
      const { clock } = ports
      const startMs = clock.steadyMs()
      const tookMs = (): number => Math.round(clock.steadyMs() - startMs)
      try {
        const result = await work()
        const seen = { ...asked, ...(typeof detail === 'function' ? detail(result) : detail) }
        add(what, result === undefined ? 'miss' : 'ok', seen, tookMs())
        return result
      } catch (thrown) {
        const error = toFmtpError(thrown)
        const seen = { ...asked, ...(typeof detail === 'function' ? {} : detail) }
        add(what, error.code, { ...seen, reason: error.message }, tookMs())
        throw error
      }
    },
  }
}

/**
 * Runs attempts overlapping: the next starts when the one before failed or `staggerMs` passed; the first that succeeds
 * wins and the others are aborted. Throws the last failure when all fail.
 */
export async function firstOf<T>(
  attempts: readonly ((signal: AbortSignal) => Promise<T>)[],
  staggerMs: number,
  clock: Clock,
): Promise<T> {
  const controller = new AbortController()
  let failure = new FmtpError('FMTP_UNREACHABLE', 'nothing to try')
  try {
    return await new Promise<T>((resolve, reject) => {
      let running = 0
      let next = 0
      const start = (): void => {
        const attempt = attempts[next++]
        if (attempt === undefined) {
          if (running === 0) reject(failure)
          return
        }
        running++
        const over = new AbortController()
        attempt(controller.signal).then(resolve, thrown => {
          running--
          failure = toFmtpError(thrown)
          // Whoever waited for the next one to start has gone: nobody else sees that this was the last.
          if (over.signal.aborted && running === 0 && next >= attempts.length) reject(failure)
          over.abort()
        })
        clock.sleep(staggerMs, over.signal).then(() => {
          over.abort()
          if (!controller.signal.aborted) start()
        })
      }
      start()
    })
  } finally {
    controller.abort()
  }
}
