/** Mocha's spec report, followed by one line with the runner's own count: `N passed, N failed`. */
import { type MochaOptions, type Runner, reporters } from 'mocha'

export default class CountingReporter extends reporters.Spec {
  constructor(runner: Runner, options: MochaOptions) {
    super(runner, options)
    runner.once('end', () => {
      const { passes = 0, failures = 0, pending = 0 } = runner.stats ?? {}
      // A skipped test is a failed one wherever this report is asked for.
      process.once('exit', () => process.stdout.write(`${passes} passed, ${failures + pending} failed\n`))
    })
  }
}
