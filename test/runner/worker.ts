/**
 * A process that runs test files, one after the other as it is told, and tells its parent what mocha says of each
 * (`messages.ts`). It ends when the parent has closed the channel and nothing keeps it alive any more.
 */
import { readFileSync } from 'node:fs'
import Mocha from 'mocha'
import { type Order, type PlainTest, plainError, type Told, testEvents } from './messages.ts'

const tickMs = 10

function tell(told: Told): void {
  process.send?.(told)
}

/** What this process took of processors until now, and those of its children that have ended. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000 + childrenCpuMs()
}

function childrenCpuMs(): number {
  if (process.platform !== 'linux') return 0
  // After the name, which may hold blanks: cutime and cstime are the 14th and 15th.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) * tickMs
}

function plainTest(test: Mocha.Test | Mocha.Hook): PlainTest {
  return {
    title: test.title,
    isHook: test.type === 'hook',
    file: test.file ?? '',
    body: test.body,
    slowMs: test.slow(),
    ...(test.duration === undefined ? {} : { durationMs: test.duration }),
  }
}

/** Sends on what a reporter is told. The base makes text of what an assertion compared. */
class Telling extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options)
    runner.on('suite', suite => {
      if (!suite.root) tell({ event: 'suite', title: suite.title, file: suite.file ?? '' })
    })
    runner.on('suite end', suite => {
      if (!suite.root) tell({ event: 'suite end' })
    })
    for (const event of testEvents)
      runner.on(event as 'fail', (test: Mocha.Test, error?: unknown) => {
        const why = error === undefined ? {} : { error: plainError(error) }
        tell({ event, test: plainTest(test), ...why })
      })
  }
}

async function runFile({ file, options }: Order): Promise<void> {
  const { grep, fgrep, ...others } = options
  const mocha = new Mocha({ ...others, reporter: Telling })
  if (grep !== undefined) mocha.grep(grep)
  if (fgrep !== undefined) mocha.fgrep(fgrep)
  mocha.addFile(file)
  await mocha.loadFilesAsync()
  await new Promise(resolve => mocha.run(resolve))
  // Mocha leaves its own behind, which would take what goes wrong in the next file.
  for (const event of ['uncaughtException', 'unhandledRejection']) process.removeAllListeners(event)
}

let beforeMs = 0
process.on('message', async (order: Order) => {
  try {
    await runFile(order)
  } catch (thrown) {
    tell({ event: 'unloadable', error: plainError(thrown) })
  }
  const nowMs = cpuMs()
  tell({ event: 'through', cpuMs: nowMs - beforeMs })
  beforeMs = nowMs
})
