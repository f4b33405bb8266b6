/**
 * All that `fmtp check` looks at, in the order in which it is told. What needs the running server asks it by its control socket;
 * everything else is seen with the command's own eyes: its own questions to DNS, its own calls. All of it ends in a minute.
 */
import { setMaxListeners } from 'node:events'
import { type Clock, systemClock } from '../../objects/clock.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { loadKinds } from '../config/kinds.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { askServer } from '../control/client.ts'
import type { ActionPorts } from '../operator/action.ts'
import type { HealthResult, ParentsResult, StoreHealthResult } from '../operator/health.ts'
import { checkCertificate, checkHttp } from './certificate.ts'
import { checkData, checkDisk } from './data.ts'
import { domainChecks } from './domain.ts'
import {
  type Check,
  eachOf,
  type Finding,
  fail,
  makeCheck,
  type Outcome,
  ok,
  skip,
  type Verdicts,
} from './finding.ts'
import type { AskServer, Parts } from './parts.ts'
import {
  judgeChildren,
  judgeClock,
  judgeParents,
  judgePeerKeys,
  judgeQueue,
  judgeServer,
  judgeStore,
  type Software,
} from './running.ts'

export interface CheckResult {
  /** The file. */
  readonly config: string
  /** ISO time. */
  readonly at: string
  readonly ms: number
  /** The worst of all. */
  readonly outcome: Exclude<Outcome, 'skip'>
  readonly checks: readonly Finding[]
}

export interface CheckOptions extends ActionPorts {
  readonly file: string
  /** What the running server should be. */
  readonly software: Software
  readonly clock?: Clock
}

const wholeMs = 55_000
const quickMs = 10_000
const parentsMs = 25_000
const checksAtOnce = 64

export async function runChecks(options: CheckOptions): Promise<CheckResult> {
  const { file, clock = systemClock } = options
  const [startMs, startedAt] = [performance.now(), new Date(clock.now()).toISOString()]
  const whole = AbortSignal.any([options.signal, endingSoon()])
  setMaxListeners(0, whole)
  const checks = await checkAll(options, whole)
  options.signal.throwIfAborted()
  return {
    config: file,
    at: startedAt,
    ms: Math.round(performance.now() - startMs),
    outcome: worstOf(checks),
    checks,
  }
}

function endingSoon(): AbortSignal {
  const controller = new AbortController()
  const error = new FmtpError('FMTP_TIMEOUT', `all checks together took more than ${wholeMs / 1000} s`)
  setTimeout(() => controller.abort(error), wholeMs).unref()
  return controller.signal
}

function worstOf(checks: readonly Finding[]): CheckResult['outcome'] {
  if (checks.some(({ outcome }) => outcome === 'fail')) return 'fail'
  return checks.some(({ outcome }) => outcome === 'warn') ? 'warn' : 'ok'
}

async function checkAll(options: CheckOptions, signal: AbortSignal): Promise<Finding[]> {
  const { file, software, clock = systemClock, onProgress } = options
  let config: LoadedConfig | undefined
  const checkConfig = async () => {
    config = loadConfig(file)
    loadKinds(config.kinds)
    return [ok(`${file} serves ${config.domain.map(({ name }) => name).join(', ')}`)]
  }
  const first = await makeCheck({ check: 'config', limitMs: quickMs, run: checkConfig }, signal)
  if (config === undefined || worstOf(first) === 'fail') return first
  const { health, finding } = await findServer(config, software, signal)
  const parts = { config, clock, health, ask: createAsk(config) }
  await using domains = domainChecks(parts)
  const all = [...serverChecks(parts), ...domains.checks]
  const found = new Map<Check, readonly Finding[]>()
  // Where hosts hang, what is quick is known all the same.
  const quickFirst = all.toSorted((left, right) => left.limitMs - right.limitMs)
  await eachOf(quickFirst, checksAtOnce, async check => {
    found.set(check, await makeCheck(check, signal))
    onProgress({ what: 'checks', done: found.size, total: all.length })
  })
  return [...first, ...finding, ...all.flatMap(check => found.get(check) ?? [])]
}

async function findServer(
  config: LoadedConfig,
  software: Software,
  signal: AbortSignal,
): Promise<{ readonly health: HealthResult | undefined; readonly finding: readonly Finding[] }> {
  let health: HealthResult | undefined
  const run: Check['run'] = async over => {
    const answer = await createAsk(config)('health', {}, over).catch(requireKnown)
    if (answer === undefined)
      return [
        fail(
          `no server runs on ${config.data}`,
          `Look at its log, and start it: fmtp serve --config ${config.file}`,
        ),
      ]
    health = answer as HealthResult
    return judgeServer(health, software, config)
  }
  const finding = await makeCheck({ check: 'server', limitMs: quickMs, run }, signal)
  return { health, finding }
}

/** A server of before this check was made does not know it. */
function requireKnown(thrown: unknown): never {
  if (!(thrown instanceof FmtpError && thrown.code === 'FMTP_NOT_OFFERED')) throw thrown
  throw new FmtpError('FMTP_NOT_OFFERED', 'the running server is older than this command: start it again')
}

/** One question after the other: the socket takes few at once. */
function createAsk(config: LoadedConfig): AskServer {
  let turn: Promise<unknown> = Promise.resolve()
  return (action, args, signal) => {
    const asked = turn.then(() => askServer(config, action, args, { onProgress: () => undefined, signal }))
    turn = asked.catch(() => undefined)
    return asked
  }
}

const unasked = [skip('only a running server can say')]

function serverChecks({ config, clock, health, ask }: Parts): Check[] {
  type Judge<R> = (result: R, signal: AbortSignal) => Verdicts | Promise<Verdicts>
  const asking =
    <R extends object>(action: string, judge: Judge<R>, by = ask): Check['run'] =>
    async signal => {
      if (health === undefined) return unasked
      const answer = await by(action, {}, signal)
      if (answer === undefined) throw new FmtpError('FMTP_DISCONNECTED', 'the server has gone')
      return judge(answer as R, signal)
    }
  const knowing =
    (judge: Judge<HealthResult>): Check['run'] =>
    async signal =>
      health === undefined ? unasked : judge(health, signal)
  // A parent may take its time: nobody else waits for that.
  const askParents = createAsk(config)
  const quick = (check: string, run: Check['run'], limitMs = quickMs): Check => ({ check, limitMs, run })
  return [
    quick('data', () => checkData(config)),
    quick('disk', () => checkDisk(config, health?.hasRoom)),
    quick('clock', knowing(judgeClock)),
    quick('store', asking<StoreHealthResult>('health store', judgeStore)),
    quick('queue', asking<StoreHealthResult>('health store', judgeQueue)),
    quick('peer-keys', asking<StoreHealthResult>('health store', judgePeerKeys)),
    quick(
      'parent',
      asking<ParentsResult>('health parents', ({ parents }) => judgeParents(parents), askParents),
      parentsMs,
    ),
    quick(
      'children',
      knowing(each => judgeChildren(config, each)),
    ),
    quick(
      'http',
      knowing((each, signal) => checkHttp(config, each, signal)),
    ),
    quick('certificate', signal => checkCertificate(config, health, { nowMs: clock.now(), signal })),
  ]
}
