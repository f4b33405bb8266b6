/** `fmtp zone FILE`: a name server for the demo and for trying several servers on one machine. Never for the world. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { serveZone } from '../../routing/zone.ts'
import { parseZone } from '../../routing/zone-text.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { findEndpoint } from '../../schemas/formats.ts'
import { createLog } from '../log.ts'

export async function zone(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { bind: { type: 'string' } },
  })
  const [file] = positionals
  const endpoint = findEndpoint(values.bind ?? '')
  if (file === undefined || endpoint === undefined) {
    throw new FmtpError('FMTP_CONFIG', 'usage: fmtp zone FILE --bind ADDRESS:PORT')
  }
  const log = await createLog({ level: 'info', format: 'json' })
  const records = parseZone(readFileSync(file, 'utf8'))
  const server = await serveZone({ ...endpoint, records, onQuery: query => log.info({ ...query }, 'query') })
  log.info({ bind: values.bind, records: records.length }, 'ready')
  await new Promise<void>(stop => {
    process.once('SIGTERM', () => stop())
    process.once('SIGINT', () => stop())
  })
  await server[Symbol.asyncDispose]()
  return 0
}
