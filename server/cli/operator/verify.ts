/** `fmtp verify`: what is wrong with the store, and with `--repair` what of it was mended. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { givenUpAdvice } from '../../../objects/store/engine/damage.ts'
import { runAction } from '../../control/client.ts'
import { type RepairResult, repair } from '../../verify/repair.ts'
import type { VerifyResult } from '../../verify/verify.ts'
import { operate } from './operator.ts'
import { formatCount } from './progress.ts'

export async function verify(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      json: { type: 'boolean', default: false },
      repair: { type: 'boolean', default: false },
    },
  })
  const config = resolve(values.config)
  const isGood = ({ findings }: VerifyResult): boolean => findings === 0
  // What LevelDB finds in its files may end the process that asked for it.
  if (values.repair && process.env[guardedName] === undefined) return runGuarded()
  if (values.repair)
    return operate('verify', values.json, ports => repair(config, ports), tellRepaired, isGood)
  return operate(
    'verify',
    values.json,
    async ports => (await runAction(config, 'verify', {}, ports)) as VerifyResult,
    tell,
    isGood,
  )
}

/** Set in the process that does the work. */
const guardedName = 'FMTP_GUARDED'

/** This very command in a process of its own, so that somebody is left who says what to do. */
async function runGuarded(): Promise<number> {
  const args = [...process.execArgv, ...process.argv.slice(1)]
  const child = spawn(process.execPath, args, {
    stdio: 'inherit',
    env: { ...process.env, [guardedName]: '1' },
  })
  // It tidies up, and this one ends with it. Ctrl-C on a terminal tells both.
  const wait = (): void => undefined
  const pass = (signal: NodeJS.Signals): void => {
    child.kill(signal)
  }
  process.on('SIGINT', wait).on('SIGTERM', pass)
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  process.off('SIGINT', wait).off('SIGTERM', pass)
  if (signal === null) return code ?? 1
  process.stderr.write(
    `fmtp verify: the repair was ended by ${signal}. ${signal === 'SIGABRT' ? givenUpAdvice : ''}\n`,
  )
  return 1
}

function tellRepaired(result: RepairResult): string {
  const found = Object.entries(result.before).map(([code, count]) => `${formatCount(count)} ${code}`)
  return [
    found.length === 0 ? 'nothing was wrong' : `found ${found.join(', ')}; made ${result.mended} writes`,
    ...(result.isRebuilt ? ['LevelDB made the store anew from what it could read of its files.'] : []),
    ...(result.isNewEpoch ? ['Clients will read their lists from the start.'] : []),
    tell(result),
  ].join('\n')
}

function tell({ rows, signatures, credentials, blobs, findings, found }: VerifyResult): string {
  const { object = 0, view = 0 } = rows
  const all = Object.values(rows).reduce((sum, count) => sum + count, 0)
  const lines = found.map(({ code, key, told }) => `${code}  ${key}\n    ${told}`)
  const more = findings - found.length
  return [
    ...lines,
    ...(more > 0 ? [`and ${formatCount(more)} more`] : []),
    `read ${formatCount(all)} rows, ${formatCount(object + view)} objects, ${formatCount(signatures)} signatures, ${formatCount(blobs.files)} blobs`,
    ...(credentials.foreign > 0
      ? [
          `${formatCount(credentials.foreign)} credentials are of other domains, whose keys were not asked for.`,
        ]
      : []),
    ...(blobs.unknown > 0
      ? [`${formatCount(blobs.unknown)} files are of no blob that is known here: a kill leaves such.`]
      : []),
    findings === 0 ? 'all is well' : `${formatCount(findings)} findings: see "Verify" in docs/operations.md`,
  ].join('\n')
}
