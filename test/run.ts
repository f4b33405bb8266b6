/**
 * The command behind `npm test`: runs the test files in processes of their own on all cores (`runner/plan.ts`), with one
 * report of them all and one sum. It fails when a test does, and as well when a file can not be loaded, has no tests, hangs
 * or ends its process, and when nothing was tested. `npm test -- --help` tells its options.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Crew, type Outcome } from './runner/crew.ts'
import { chooseTests, compiledOf, listTests } from './runner/files.ts'
import { plainError, type RunOptions } from './runner/messages.ts'
import { planOf } from './runner/plan.ts'
import { Report } from './runner/report.ts'
import { type Time, tableOf } from './runner/times.ts'

const usage = `npm test -- [options] [FILE|FOLDER|PATTERN ...]

Runs all tests, or those in the files named: test/network/udp.test.ts, test/wire, 'test/**/dns*'.

  -g, --grep PATTERN       only tests whose full name matches
  -f, --fgrep TEXT         only tests whose full name has this text
  -i, --invert             only those that -g or -f do not mean
  -j, --jobs N             files at the same time; 1: one after the other. Default: one a core and one more, since most of them wait
  -R, --reporter NAME      one of mocha's, or a file. Default: spec
  -O, --reporter-option K=V
  -t, --timeout MS         of a test that sets none itself
      --file-limit S       when a file hangs, and is ended. Default: 300
      --forbid-pending     a test that is skipped fails
      --times              at the end: what each file took, the slowest first
`

/** How long a process may live on when its files are through: connections that are kept alive end by themselves. */
const longestEndMs = 30_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    grep: { type: 'string', short: 'g' },
    fgrep: { type: 'string', short: 'f' },
    invert: { type: 'boolean', short: 'i', default: false },
    jobs: { type: 'string', short: 'j', default: String(availableParallelism() + 1) },
    reporter: { type: 'string', short: 'R', default: 'spec' },
    'reporter-option': { type: 'string', short: 'O', multiple: true, default: [] },
    timeout: { type: 'string', short: 't' },
    'file-limit': { type: 'string', default: '300' },
    'forbid-pending': { type: 'boolean', default: false },
    times: { type: 'boolean', default: false },
  },
})

function readOptions(root: string): RunOptions {
  const { timeout, forbidOnly } = JSON.parse(readFileSync(join(root, '.mocharc.json'), 'utf8')) as RunOptions
  return {
    timeout: values.timeout === undefined ? timeout : numberOf('timeout', values.timeout),
    forbidOnly,
    forbidPending: values['forbid-pending'],
    invert: values.invert,
    ...(values.grep === undefined ? {} : { grep: values.grep }),
    ...(values.fgrep === undefined ? {} : { fgrep: values.fgrep }),
  }
}

function numberOf(name: string, text: string): number {
  const number = Number(text)
  if (!(number > 0)) throw new Error(`--${name} wants a number, not ${text}`)
  return number
}

/** Runs what was asked for. True: all of it is well. */
async function runAll(root: string): Promise<boolean> {
  const options = readOptions(root)
  const isChoosing = options.grep !== undefined || options.fgrep !== undefined
  const phases = planOf(root, chooseTests(root, listTests(root), positionals), numberOf('jobs', values.jobs))
  const fileLimitMs = numberOf('file-limit', values['file-limit']) * 1000
  await using crew = new Crew({ fileLimitMs, endLimitMs: Math.min(fileLimitMs, longestEndMs) })
  endWithSignals(crew)
  const report = await Report.open(
    values.reporter,
    Object.fromEntries(values['reporter-option'].map(option => option.split('=', 2))),
  )
  const times: Time[] = []
  for (const { name, tests, ...how } of phases) {
    const sources = new Map(tests.map(test => [compiledOf(root, test), test]))
    const orders = [...sources.keys()].map(file => ({ file, options }))
    await crew.run(orders, how, ({ file }, outcome) => {
      const test = sources.get(file) ?? file
      tell(report, test, outcome, isChoosing)
      times.push({ ...outcome, test, phase: name })
    })
  }
  await report.end()
  if (values.times) process.stdout.write(tableOf(times))
  if (report.stats.tests === 0) process.stderr.write('nothing was tested\n')
  return report.stats.failures === 0 && report.stats.tests > 0
}

/** Puts what one file did into the report. */
function tell(report: Report, test: string, { told, output, fault }: Outcome, mayBeEmpty: boolean): void {
  if (output !== '') process.stdout.write(`\n  ${test} wrote:\n${output}`)
  const [last] = told.filter(({ event }) => event !== 'through')
  if (last === undefined && fault === undefined && !mayBeEmpty)
    report.fail(test, plainError('it has no tests'))
  for (const each of told)
    if (each.event === 'unloadable') report.fail(test, each.error)
    else report.tell(each)
  report.leaveAll()
  if (fault !== undefined) report.fail(test, plainError(fault))
}

/** Who ends this process, or reads no more of what it says, ends all that it started. */
function endWithSignals(crew: Crew): void {
  process.stdout.on('error', () => {
    crew.kill()
    process.exit(1)
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      crew.kill()
      process.exit(128 + constants.signals[signal])
    })
}

try {
  if (values.help) process.stdout.write(usage)
  else process.exitCode = (await runAll(process.cwd())) ? 0 : 1
} catch (thrown) {
  process.stderr.write(`${thrown instanceof Error ? thrown.message : thrown}\n`)
  process.exitCode = 1
}
