/**
 * One report of many runs: the events of all files (`messages.ts`), told to any reporter of mocha as though one run had
 * been. A file comes as a block when it is through, so that those that run side by side do not mix.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import Mocha from 'mocha'
import type { PlainError, PlainTest, Told, testEvents } from './messages.ts'

export class Report {
  readonly stats: Mocha.Stats = { suites: 0, tests: 0, passes: 0, pending: 0, failures: 0 }
  readonly #runner: Mocha.Runner
  readonly #reporter: Mocha.reporters.Base
  #suite: Mocha.Suite = Object.assign(new Mocha.Suite(''), { root: true })
  #test: Mocha.Test | Mocha.Hook | undefined

  private constructor(Reporter: Mocha.ReporterConstructor, options: Mocha.MochaOptions) {
    this.#runner = new Mocha.Runner(this.#suite, {})
    // Reporters keep this object: counts go into it, none takes its place.
    this.#runner.stats = this.stats
    this.#count()
    this.#reporter = new Reporter(this.#runner, options)
  }

  /** @param reporter one of mocha's, or a file that exports one */
  static async open(
    reporter: string,
    reporterOption: Readonly<Record<string, string>> = {},
  ): Promise<Report> {
    const known = new Map<string, unknown>(Object.entries(Mocha.reporters)).get(reporter)
    const found = known ?? (await import(pathToFileURL(resolve(reporter)).href)).default
    // Of two names that mocha has for it, some reporters read the one and some the other.
    const options = { reporterOption, reporterOptions: reporterOption }
    const report = new Report(found as Mocha.ReporterConstructor, options)
    report.stats.start = new Date()
    report.#runner.emit('start')
    return report
  }

  /** An event of mocha; others are for the runner. */
  tell(told: Told): void {
    if (told.event === 'suite') this.#enter(told.title, told.file)
    else if (told.event === 'suite end') this.#leave()
    else if ('test' in told) this.#tellOfTest(told.event, told.test, told.error)
  }

  /** A failure that belongs to no test, in the suite that a file has come to. */
  fail(title: string, error: PlainError): void {
    const about = { title, isHook: false, file: '', body: '', slowMs: 0 }
    this.#tellOfTest('test', about)
    this.#tellOfTest('fail', about, error)
    this.#tellOfTest('test end', about)
  }

  /** Ends what a file has left open, as one does whose process is gone. */
  leaveAll(): void {
    while (!this.#suite.root) this.#leave()
  }

  async end(): Promise<void> {
    const { start = new Date() } = this.stats
    this.stats.end = new Date()
    this.stats.duration = this.stats.end.getTime() - start.getTime()
    this.#runner.emit('end')
    const { done } = this.#reporter
    if (done !== undefined)
      await new Promise<unknown>(written => done.call(this.#reporter, this.stats.failures, written))
  }

  #count(): void {
    const names = {
      suite: 'suites',
      'test end': 'tests',
      pass: 'passes',
      pending: 'pending',
      fail: 'failures',
    }
    for (const [event, name] of Object.entries(names) as [string, Counter][])
      this.#runner.on(event as 'fail', () => {
        this.stats[name]++
      })
  }

  #enter(title: string, file: string): void {
    this.#suite = Mocha.Suite.create(this.#suite, title)
    this.#suite.file = file
    this.#runner.emit('suite', this.#suite)
  }

  #leave(): void {
    this.#runner.emit('suite end', this.#suite)
    this.#suite = this.#suite.parent ?? this.#suite
  }

  #tellOfTest(event: (typeof testEvents)[number], plain: PlainTest, error?: PlainError): void {
    // The events of one test come without others between them: from the first on it is the same object.
    const isSame = event !== 'test' && this.#test?.title === plain.title && this.#test.parent === this.#suite
    const test = isSame && this.#test !== undefined ? this.#test : revive(plain, this.#suite)
    this.#test = test
    if (plain.durationMs !== undefined) test.duration = plain.durationMs
    if (event === 'pass') test.state = 'passed'
    if (event === 'fail') test.state = 'failed'
    this.#runner.emit(event, test, error === undefined ? undefined : Object.assign(new Error(), error))
  }
}

type Counter = 'suites' | 'tests' | 'passes' | 'pending' | 'failures'

function revive(plain: PlainTest, parent: Mocha.Suite): Mocha.Test | Mocha.Hook {
  const Kind = plain.isHook ? Mocha.Hook : Mocha.Test
  const test = new Kind(plain.title, () => undefined)
  test.parent = parent
  test.file = plain.file
  test.body = plain.body
  test.slow(plain.slowMs)
  return test
}
