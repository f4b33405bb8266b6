/**
 * `fmtp zone`: the DNS records that the domains of a config need, as lines of a zone. With a file of such lines, a name server for
 * the demo and for trying several servers on one machine; never for the world.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import { findEndpoint } from '../../../schemas/text/formats.ts'
import { type Domain, parseDomain } from '../../../schemas/text/names.ts'
import { loadConfig } from '../../config/load.ts'
import { askServer } from '../../control/client.ts'
import { createLog } from '../../core/log.ts'
import { serveZone } from '../../demo/name-server.ts'
import { parseZone } from '../../demo/zone-text.ts'
import type { HealthResult } from '../../operator/health.ts'
import { zoneRecords } from './zone-records.ts'

const usage = 'usage: fmtp zone [DOMAIN] [--config FILE] | zone FILE --bind ADDRESS:PORT'

export async function zone(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { bind: { type: 'string' }, config: { type: 'string', default: 'fmtp.conf' } },
  })
  const [first, more] = positionals
  if (more !== undefined) throw new FmtpError('FMTP_CONFIG', usage)
  if (values.bind === undefined) return print(resolve(values.config), first)
  const endpoint = findEndpoint(values.bind)
  if (first === undefined || endpoint === undefined) throw new FmtpError('FMTP_CONFIG', usage)
  return serve(first, endpoint)
}

async function print(configFile: string, named: string | undefined): Promise<number> {
  const config = loadConfig(configFile)
  const own = config.domain.map(({ name }) => name as string)
  const wanted = named === undefined ? own : [parseDomain(named) as string]
  const [domain] = wanted.filter(each => !own.includes(each))
  if (domain !== undefined)
    throw new FmtpError('FMTP_BAD_NAME', `${domain} is not among the domains of ${configFile}\n${usage}`)
  // Ports that the system chose are known to the running server alone.
  const ports = { onProgress: () => undefined, signal: AbortSignal.timeout(askMs) }
  const health = (await askServer(config, 'health', {}, ports)) as HealthResult | undefined
  const lines = wanted.flatMap(each => zoneRecords(each as Domain, config, health?.listeners))
  process.stdout.write(`${lines.join('\n')}\n`)
  return 0
}

const askMs = 5000

async function serve(
  file: string,
  endpoint: { readonly address: string; readonly port: number },
): Promise<number> {
  const log = await createLog({ level: 'info', format: 'json' })
  const records = parseZone(readFileSync(file, 'utf8'))
  const server = await serveZone({ ...endpoint, records, onQuery: query => log.info({ ...query }, 'query') })
  log.info({ bind: server.server, records: records.length }, 'ready')
  await new Promise<void>(stop => {
    process.once('SIGTERM', () => stop())
    process.once('SIGINT', () => stop())
  })
  await server[Symbol.asyncDispose]()
  return 0
}
