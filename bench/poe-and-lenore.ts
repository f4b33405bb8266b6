/**
 * Two servers that find each other by a name server, each a process of its own on loopback, with a client of one user at
 * each: what the measurements of federation run on.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Address, parseAddress } from '../schemas/names.ts'
import { Command, type Ready, ServerProcess } from '../test/support/fmtp-process.ts'
import { logInByToken, type Watching } from '../test/support/log-in.ts'

export const edgar = parseAddress('edgar@poe.net')
export const lost = parseAddress('lost@lenore.org')

const nameServer = '127.77.20.1:5377'
const port = 3687

interface Host {
  readonly domain: string
  readonly address: string
  readonly user: Address
}

const hosts = {
  poe: { domain: 'poe.net', address: '127.77.20.2', user: edgar },
  lenore: { domain: 'lenore.org', address: '127.77.20.3', user: lost },
} as const

function configOf({ domain, address }: Host): string {
  return `
[[domain]]
name = "${domain}"

[listen]
tcp = ["${address}:${port}"]
http = ["${address}:8080"]
hosts = ["${address}"]

[dns]
servers = ["${nameServer}"]

[guard]
allow = ["127.77.0.0/16"]

[limits]
exempt = ["127.0.0.0/8"]
boxBytes = 1099511627776
`
}

export interface End {
  readonly process: ServerProcess
  readonly ready: Ready
}

export class PoeAndLenore implements AsyncDisposable {
  readonly folder: string
  readonly #running: Command[] = []
  #ends: { readonly poe: End; readonly lenore: End } | undefined

  private constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-'))
    process.once('SIGINT', this.#interrupted).once('SIGTERM', this.#interrupted)
  }

  /** Whoever stops a measurement does not want its servers to stay. */
  readonly #interrupted = (): void => {
    this[Symbol.asyncDispose]().finally(() => process.exit(130))
  }

  /** Starts all three. `nodeArgs` are given to the servers. */
  static async start(nodeArgs: readonly string[] = []): Promise<PoeAndLenore> {
    const both = new PoeAndLenore()
    try {
      both.#ends = { poe: await both.#serve('poe', nodeArgs), lenore: await both.#serve('lenore', nodeArgs) }
      await both.#serveZone()
      return both
    } catch (thrown) {
      await both[Symbol.asyncDispose]()
      throw thrown
    }
  }

  get poe(): End {
    return this.#requireEnds().poe
  }

  get lenore(): End {
    return this.#requireEnds().lenore
  }

  #requireEnds() {
    if (this.#ends === undefined) throw new Error('not started')
    return this.#ends
  }

  async #serve(name: 'poe' | 'lenore', nodeArgs: readonly string[]): Promise<End> {
    const { folder } = this
    const host = hosts[name]
    const config = configOf(host)
    const server = new ServerProcess({ folder, name, config, users: [host.user], nodeArgs })
    this.#running.push(server)
    return { process: server, ready: await server.ready() }
  }

  async #serveZone(): Promise<void> {
    const lines = Object.entries(hosts).map(([name, { domain, address }]) => {
      const { keyRecord } = this.#requireEnds()[name as 'poe' | 'lenore'].ready
      return `${domain} MX 10 mx.${domain}\nmx.${domain} A ${address}\nfmtpkey.${domain} TXT "${keyRecord}"\n`
    })
    const file = join(this.folder, 'zone')
    writeFileSync(file, lines.join(''))
    const zone = new Command({
      folder: this.folder,
      name: 'zone',
      args: ['zone', file, '--bind', nameServer],
    })
    this.#running.push(zone)
    await zone.logs('"event":"ready"')
  }

  logIn({ ready }: End, user: Address, watching: Watching = {}) {
    const link = ready.links.get(user)
    if (link === undefined) throw new Error(`no link for ${user}`)
    return logInByToken(ready.origin, link, watching)
  }

  /** Ends all, gently where a profile is to be written. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await Promise.all(this.#running.map(command => command.end(signal)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('SIGINT', this.#interrupted).off('SIGTERM', this.#interrupted)
    await this.end('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Seconds of processor time, in user and kernel, that a process has taken (proc(5), fields 14 and 15 of stat). */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name of the command stands in brackets and may hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond()
}

let ticks = 0

function ticksPerSecond(): number {
  if (ticks === 0) ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return ticks
}
