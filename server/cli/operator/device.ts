/** `fmtp device list` and `device revoke`: what an operator does about a device that its user has lost. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import { runAction } from '../../control/client.ts'
import type { DevicesResult } from '../../operator/keys.ts'
import { operate } from './operator.ts'

const usage = 'usage: fmtp device list ADDRESS | device revoke ADDRESS THUMBPRINT'

export async function device(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    // A thumbprint may begin with a dash, and is no option then.
    args: args.map(arg => (isThumbprint(arg) ? `=${arg}` : arg)),
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      json: { type: 'boolean', default: false },
    },
  })
  const [verb, address, thumbprint] = positionals.map(each => each.replace(/^=/, ''))
  if (address === undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
  const config = resolve(values.config)
  if (verb === 'list')
    return operate(
      'device list',
      values.json,
      async ports => (await runAction(config, 'device list', { address }, ports)) as DevicesResult,
      tellDevices,
    )
  if (verb !== 'revoke' || thumbprint === undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
  return operate(
    'device revoke',
    values.json,
    ports => runAction(config, 'device revoke', { address, thumbprint }, ports),
    () =>
      `${thumbprint} is no device of ${address} any more. Other servers believe its last credential for up to 7 days.`,
  )
}

function isThumbprint(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

function tellDevices({ address, devices }: DevicesResult): string {
  if (devices.length === 0) return `${address} has no device`
  return devices.map(({ thumbprint, enrolledAt }) => `${thumbprint}  since ${enrolledAt}`).join('\n')
}
