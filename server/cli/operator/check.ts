/** `fmtp check`: every check that an operator would make by hand. Its exit status is that of plugins of monitoring systems. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { toFmtpError } from '../../../schemas/failures.ts'
import { type CheckResult, runChecks } from '../../check/run.ts'
import { runAction } from '../../control/client.ts'
import { readSoftware } from '../software.ts'
import { tellCheck } from './check-text.ts'
import { operate } from './operator.ts'

const usage = 'usage: fmtp check [--seen DOMAIN] [--config FILE] [--json]'

/** `none`: nothing was checked. */
const status = { ok: 0, warn: 1, fail: 2, none: 3 } as const

/** How long whatever a check has left open may keep this process from its end. */
const lingerMs = 500

export async function check(args: string[]): Promise<number> {
  let options: ReturnType<typeof readArgs>
  try {
    options = readArgs(args)
  } catch (thrown) {
    process.stderr.write(`fmtp check: ${thrown instanceof Error ? thrown.message : thrown}\n${usage}\n`)
    return status.none
  }
  try {
    return options.seen === undefined ? await checkNow(options) : await acknowledge(options.seen, options)
  } catch (thrown) {
    process.stderr.write(`fmtp check: ${toFmtpError(thrown).stack}\n`)
    return status.none
  }
}

function readArgs(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      seen: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  return { file: resolve(values.config), seen: values.seen, isJson: values.json }
}

async function checkNow({ file, isJson }: ReturnType<typeof readArgs>): Promise<number> {
  let result: CheckResult | undefined
  const isColoured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined
  const ended = await operate(
    'check',
    isJson,
    async ports => {
      result = await runChecks({ ...ports, file, software: readSoftware() })
      return result
    },
    checked => tellCheck(checked, isColoured),
  )
  const code = result === undefined || ended !== 0 ? status.none : status[result.outcome]
  setTimeout(() => process.exit(code), lingerMs).unref()
  return code
}

/** From now on the keys that these domains have are the ones that they should have. */
async function acknowledge(pattern: string, { file, isJson }: ReturnType<typeof readArgs>): Promise<number> {
  const ended = await operate(
    'check --seen',
    isJson,
    async ports => (await runAction(file, 'check seen', { pattern }, ports)) as { readonly seen: string[] },
    ({ seen }) => `acknowledged: ${seen.join(', ')}`,
  )
  return ended === 0 ? status.ok : status.none
}
