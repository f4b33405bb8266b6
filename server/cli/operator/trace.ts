/** `fmtp trace`: climbs both ladders for a name and shows each rung, by the running server, or from here. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../../objects/clock.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { Store } from '../../../objects/store/store.ts'
import { createResolver, systemServers } from '../../../routing/dns/client.ts'
import { FmtpError, toFmtpError } from '../../../schemas/failures.ts'
import { loadKinds } from '../../config/kinds.ts'
import { type LoadedConfig, loadConfig } from '../../config/load.ts'
import { runAction } from '../../control/client.ts'
import type { ActionPorts } from '../../operator/action.ts'
import { soughtOf } from '../../operator/trace.ts'
import { runTrace, type TraceResult } from '../../operator/tracer.ts'
import { operate } from './operator.ts'
import { tellTrace } from './trace-text.ts'

const usage = `usage: fmtp trace ADDRESS|DOMAIN | --id ID  [--as DOMAIN] [--guest] [--dns SERVER]… [--config FILE] [--json]`

/** Exit status by what became of the lookup; `status.none`: nothing was traced. */
const status = { found: 0, absent: 1, none: 2, unreachable: 3 } as const

interface Options {
  readonly config: string | undefined
  readonly isGuest: boolean
  readonly dns: readonly string[]
  readonly sought: Readonly<Record<string, string>>
  readonly as: string | undefined
}

export async function trace(args: string[]): Promise<number> {
  let options: Options & { readonly isJson: boolean }
  try {
    options = readArgs(args)
  } catch (thrown) {
    process.stderr.write(
      `fmtp trace: ${toFmtpError(thrown).message.replace(/^FMTP_[A-Z_]+(: |$)/, '')}\n${usage}\n`,
    )
    return status.none
  }
  let result: TraceResult | undefined
  const isColoured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined
  const ended = await operate(
    'trace',
    options.isJson,
    async ports => {
      result = await traceSomewhere(options, ports)
      return result
    },
    traced => tellTrace(traced, isColoured),
  )
  return result === undefined || ended !== 0 ? status.none : status[result.lookup.outcome]
}

/** @throws where the arguments say nothing that could be traced */
function readArgs(args: string[]): Options & { readonly isJson: boolean } {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      id: { type: 'string' },
      as: { type: 'string' },
      dns: { type: 'string', multiple: true, default: [] },
      guest: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [address, ...more] = positionals
  if (more.length > 0 || (address === undefined) === (values.id === undefined))
    throw new Error('say one address or domain, or one --id')
  const sought = address === undefined ? { id: values.id ?? '' } : { address }
  soughtOf(sought)
  const isGuest = values.guest || values.dns.length > 0
  if (isGuest && values.as !== undefined) throw new Error('a guest has no --as')
  return { config: values.config, isGuest, dns: values.dns, sought, as: values.as, isJson: values.json }
}

/** By the server or with the store of the config, where there is one; else as a guest. */
async function traceSomewhere(options: Options, ports: ActionPorts): Promise<TraceResult> {
  const file = resolve(options.config ?? 'fmtp.conf')
  const config = options.config !== undefined || existsSync(file) ? loadConfig(file) : undefined
  const hasStore = config !== undefined && existsSync(join(config.data, 'store'))
  if (hasStore && !options.isGuest) {
    const args = { ...options.sought, ...(options.as === undefined ? {} : { as: options.as }) }
    return (await runAction(file, 'trace', args, ports)) as TraceResult
  }
  if (options.as !== undefined)
    throw new FmtpError(
      'FMTP_CONFIG',
      `${file} has no key of ${options.as}: leave out --as, or start its server once`,
    )
  return traceAsGuest(config, options, ports)
}

/** Nothing is found in the store of a guest, and nothing stays in it. */
export async function traceAsGuest(
  config: LoadedConfig | undefined,
  { dns, sought }: Pick<Options, 'dns' | 'sought'>,
  { onProgress, signal }: ActionPorts,
): Promise<TraceResult> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-trace-'))
  const named = dns.length > 0 ? dns : (config?.dns.servers ?? [])
  let done = 0
  try {
    await using database = await openDatabase(
      folder,
      () => undefined,
      () => 'trace',
    )
    await using resolver = createResolver({ servers: named.length > 0 ? named : systemServers() })
    return await runTrace(
      {
        store: new Store(database),
        kinds: loadKinds(config?.kinds ?? ''),
        resolver,
        clock: systemClock,
        allow: config?.guard.allow ?? [],
        caFile: config?.tls.ca ?? '',
        domains: new Map(),
        isIsland: false,
      },
      {
        sought: soughtOf(sought),
        as: undefined,
        onStep: () => onProgress({ what: 'steps', done: ++done }),
        signal,
      },
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
