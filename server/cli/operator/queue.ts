/** `fmtp queue`: what waits for other domains and why, what became of one object, and another try at once. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import { runAction } from '../../control/client.ts'
import type { DomainQueue, QueueResult, StatesResult } from '../../operator/queue.ts'
import { tellStates } from '../states.ts'
import { operate } from './operator.ts'

const usage = 'usage: fmtp queue [DOMAIN] | queue show ID | queue retry DOMAIN'

export async function queue(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      json: { type: 'boolean', default: false },
    },
  })
  const [first, second, ...more] = positionals
  if (more.length > 0) throw new FmtpError('FMTP_BAD_NAME', usage)
  const config = resolve(values.config)
  const act = <R extends object>(name: string, given: object, tell: (result: R) => string): Promise<number> =>
    operate(name, values.json, async ports => (await runAction(config, name, { ...given }, ports)) as R, tell)
  if (first === 'show' || first === 'retry') {
    if (second === undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
    return first === 'show'
      ? act<StatesResult>('queue show', { id: second }, ({ results }) => tellStates(results))
      : act<DomainQueue>('queue retry', { domain: second }, row => `tried now\n${tellQueue([row])}`)
  }
  if (second !== undefined) throw new FmtpError('FMTP_BAD_NAME', usage)
  const given = first === undefined ? {} : { domain: first }
  return act<QueueResult>('queue', given, ({ domains }) => tellQueue(domains))
}

function tellQueue(domains: readonly DomainQueue[]): string {
  if (domains.length === 0) return 'nothing waits'
  return domains.map(tellDomain).join('\n')
}

function tellDomain({ domain, messages, bulk, putOff, ...due }: DomainQueue): string {
  const counts = [
    `${messages} messages`,
    ...(bulk > 0 ? [`${bulk} others`] : []),
    ...(putOff > 0 ? [`${putOff} put off one by one`] : []),
  ]
  const line = `${domain}  ${counts.join(', ')}`
  if (due.attempts === undefined) return line
  const why = due.reason === undefined ? '' : `: ${due.reason}`
  return `${line}\n  not reached since ${due.since}, ${due.attempts} attempts, the next at ${due.nextAt}${why}`
}
