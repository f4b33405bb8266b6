/**
 * Servers that find each other by a name server, each a process of its own on loopback: what the measurements of federation
 * run on. A process may serve many domains; a domain may be a name with a key and nobody behind it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Address } from '../schemas/text/names.ts'
import { Command, type Ready, ServerProcess } from '../test/support/fmtp-process.ts'
import { handDomain } from '../test/support/hand.ts'
import { logInByToken, type Watching } from '../test/support/log-in.ts'

const nameServer = '127.77.20.1:5377'
export const port = 3687

export interface Host {
  readonly name: string
  readonly address: string
  readonly domains: readonly string[]
  readonly users: readonly Address[]
}

/** A domain that is in DNS, and whose server does not answer there. */
export interface DeadDomain {
  readonly domain: string
  readonly address: string
}

export interface Plan {
  readonly hosts: readonly Host[]
  readonly dead?: readonly DeadDomain[]
  /** Address of a host that these domains name before their own. */
  readonly first?: { readonly domains: readonly string[]; readonly address: string }
  /** Node's own options for the servers. */
  readonly nodeArgs?: readonly string[]
}

function configOf({ domains, address }: Host): string {
  const named = domains.map(domain => `[[domain]]\nname = "${domain}"\n`).join('\n')
  return `
${named}
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
sessionsPerPeer = ${Math.max(8, 2 * domains.length)}
boxBytes = 1099511627776
`
}

export interface End {
  readonly process: ServerProcess
  readonly ready: Ready
}

export class Federation implements AsyncDisposable {
  readonly folder: string
  readonly #plan: Plan
  readonly #ends = new Map<string, End>()
  #zone: Command | undefined

  private constructor(plan: Plan) {
    this.#plan = plan
    this.folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-'))
    process.once('SIGINT', this.#interrupted).once('SIGTERM', this.#interrupted)
  }

  /** Whoever stops a measurement does not want its servers to stay. */
  readonly #interrupted = (): void => {
    this[Symbol.asyncDispose]().finally(() => process.exit(130))
  }

  /** Starts all servers, and then their name server. */
  static async start(plan: Plan): Promise<Federation> {
    const federation = new Federation(plan)
    try {
      await Promise.all(plan.hosts.map(({ name }) => federation.serve(name)))
      await federation.#serveZone()
      return federation
    } catch (thrown) {
      await federation[Symbol.asyncDispose]()
      throw thrown
    }
  }

  end(name: string): End {
    const end = this.#ends.get(name)
    if (end === undefined) throw new Error(`${name} is not running`)
    return end
  }

  get ends(): readonly End[] {
    return [...this.#ends.values()]
  }

  /** Starts a server of the plan, on the data that it has. */
  async serve(name: string): Promise<End> {
    const { folder } = this
    const { hosts, nodeArgs = [] } = this.#plan
    const host = hosts.find(each => each.name === name)
    if (host === undefined) throw new Error(`no ${name} in the plan`)
    const process = new ServerProcess({ folder, name, config: configOf(host), users: host.users, nodeArgs })
    const starting = process.ready(120_000)
    // Before it is ready: it is ended with the others in any case.
    this.#ends.set(name, { process, ready: { origin: '', links: new Map(), keyRecord: undefined } })
    const end = { process, ready: await starting }
    this.#ends.set(name, end)
    return end
  }

  async stop(name: string): Promise<void> {
    await this.end(name).process.end('SIGTERM')
    this.#ends.delete(name)
  }

  async #serveZone(): Promise<void> {
    const { hosts, dead = [], first } = this.#plan
    const living = hosts.flatMap(({ name, address }) => {
      const records = this.end(name).process.output.matchAll(/^ {2}DNS {3}fmtpkey\.(\S+) TXT "(.*)"\n/gm)
      return [...records].map(([, domain = '', record = '']) => ({ domain, address, record }))
    })
    const missing = dead.map(each => ({ ...each, record: handDomain(each.domain).record }))
    const lines = [...living, ...missing].map(
      ({ domain, address, record }) =>
        `${domain} MX 10 mx.${domain}\nmx.${domain} A ${address}\nfmtpkey.${domain} TXT "${record}"\n`,
    )
    for (const domain of first?.domains ?? [])
      lines.push(`${domain} MX 5 first.${domain}\nfirst.${domain} A ${first?.address}\n`)
    const file = join(this.folder, 'zone')
    writeFileSync(file, lines.join(''))
    this.#zone = new Command({
      folder: this.folder,
      name: 'zone',
      args: ['zone', file, '--bind', nameServer],
    })
    await this.#zone.logs('"event":"ready"')
  }

  logIn({ ready }: End, user: Address, watching: Watching = {}) {
    const link = ready.links.get(user)
    if (link === undefined) throw new Error(`no link for ${user}`)
    return logInByToken(ready.origin, link, watching)
  }

  /** Ends all, gently where a profile is to be written or a store is to be read. */
  async endAll(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await Promise.all([...this.ends.map(each => each.process.end(signal)), this.#zone?.end(signal)])
    this.#ends.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('SIGINT', this.#interrupted).off('SIGTERM', this.#interrupted)
    await this.endAll('SIGKILL')
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
