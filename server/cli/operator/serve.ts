/** `fmtp serve`, which is `npm start`: the server, with all that a first start makes. */
import { existsSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Address, isAddress, parseAddress } from '../../../schemas/text/names.ts'
import { islandConfig, type LoadedConfig, loadConfig } from '../../config/load.ts'
import { createLog } from '../../core/log.ts'
import { makeLogInLink } from '../../operator/log-in-link.ts'
import { type RunningServer, startServer } from '../../server.ts'
import { readSoftware } from '../software.ts'

export async function serve(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      user: { type: 'string', multiple: true, default: [] },
      link: { type: 'boolean', default: false },
    },
  })
  const file = resolve(values.config)
  if (!existsSync(file)) {
    writeFileSync(file, islandConfig('localhost'), { flag: 'wx' })
    process.stdout.write(`made ${file} for localhost\n`)
  }
  const config = loadConfig(file)
  const log = await createLog(config.log)
  const server = await startServer(config, { log, software: readSoftware() })
  const lines = await introduce(server, config, {
    users: values.user.map(parseAddress),
    isLinkWanted: values.link,
  })
  process.stdout.write(`${lines.join('\n')}\n`)
  log.info({ domains: [...server.domains.keys()], pid: process.pid }, 'ready')

  await new Promise<void>(stop => {
    process.once('SIGTERM', () => stop())
    process.once('SIGINT', () => stop())
  })
  log.info({}, 'stopping')
  await server[Symbol.asyncDispose]()
  return 0
}

interface Introduced {
  readonly users: readonly Address[]
  readonly isLinkWanted: boolean
}

/** Makes the users that are missing, and says where and how to log in. */
async function introduce(
  server: RunningServer,
  config: LoadedConfig,
  { users, isLinkWanted }: Introduced,
): Promise<string[]> {
  const { accounts, domains } = server
  const [domain] = domains.values()
  if (domain === undefined) return []
  const known = await accounts.listAddresses()
  const existing = known.filter(address => accounts.hasAccount(address))
  const wanted =
    users.length > 0
      ? users
      : known.length > 0
        ? existing
        : [parseAddress(`${systemUser()}@${domain.domain}`)]
  const isGone = (address: Address): boolean => accounts.leavers.isGone(address)
  for (const address of wanted)
    if (!accounts.hasAccount(address) && !isGone(address)) await accounts.create(address)

  const lines = [`serving ${[...domains.keys()].join(', ')}, data in ${config.data}`]
  for (const { address, port } of server.tcp) lines.push(`  tcp   ${address}:${port}`)
  for (const { address, port } of server.http) lines.push(`  http  ${address}:${port}`)
  for (const { domain: name, keys } of domains.values()) {
    if (name === 'localhost') continue
    for (const { record } of keys) lines.push(`  DNS   fmtpkey.${name} TXT "${record}"`)
  }
  for (const address of wanted) {
    lines.push(isGone(address) ? `  user  ${address} was deleted` : `  user  ${address}`)
    if (isGone(address)) continue
    if (!isLinkWanted && (await accounts.hasDevices(address))) continue
    const link = await makeLogInLink(address, { config, domains, accounts }, server.http[0]?.port)
    lines.push(`  link  ${link}`, '        works once, for a day:  npx fmtp login LINK')
  }
  return lines
}

/** The name that the person has on this machine, where it can be an address. */
function systemUser(): string {
  const name = userInfo().username.toLowerCase()
  return isAddress(`${name}@localhost`) ? name : 'me'
}
