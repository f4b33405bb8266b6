/** `fmtp stats`: what the limits of the running server refused, and whom they refused most. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { StatsResult } from '../../control/actions.ts'
import { runAction } from '../../control/client.ts'
import { operate } from './operator.ts'

export async function stats(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      json: { type: 'boolean', default: false },
    },
  })
  const config = resolve(values.config)
  return operate(
    'stats',
    values.json,
    async ports => (await runAction(config, 'stats', {}, ports)) as StatsResult,
    tellStats,
  )
}

/** As tables, for people. */
export function tellStats({ since, limits, heldBack }: StatsResult): string {
  const refused = limits.flatMap(({ limit, counts, refused: all, top }) => [
    row(String(all), limit, counts),
    ...top.map(each => row(String(each.refused), `  ${each.who}`)),
  ])
  const held = heldBack.map(({ domain, until }) => `  ${domain}  until ${until}`)
  return [
    limits.length === 0 ? `no limit refused anything since ${since}` : `refused since ${since}:`,
    ...refused,
    ...(held.length === 0 ? [] : ['held back, because they failed too often:', ...held]),
  ].join('\n')
}

function row(count: string, name: string, more = ''): string {
  return `${count.padStart(10)}  ${more === '' ? name : `${name.padEnd(18)}${more}`}`
}
