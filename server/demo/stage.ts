/**
 * Puts a conversation on a stage: a name server, servers and clients as processes of their own on loopback addresses,
 * with their data in a temporary folder. What they log is collected; nothing here knows what ought to happen.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { FmtpError } from '../../schemas/failures.ts'
import type { Address } from '../../schemas/text/names.ts'
import type { Conversation, PersonRole, Said, ServerRole } from './conversation.ts'
import { parseZone } from './zone-text.ts'

/** One line that a process logged. */
export interface LogRecord {
  /** Name of the process. */
  readonly who: string
  readonly event: string
  readonly atMs: number
  readonly fields: Readonly<Record<string, unknown>>
}

interface Actor {
  readonly child: ChildProcess
  readonly lines: string[]
  readonly exited: Promise<number>
}

const main = fileURLToPath(new URL('../main.js', import.meta.url))
const dnsPort = 5300
const startMs = 15_000

export class Stage implements AsyncDisposable {
  readonly folder: string
  readonly records: LogRecord[] = []
  readonly #conversation: Conversation
  readonly #actors = new Map<string, Actor>()
  readonly #links = new Map<string, string>()
  readonly #keys = new Map<string, string>()
  readonly #isKept: boolean

  constructor(conversation: Conversation, isKept = false) {
    this.#conversation = conversation
    this.#isKept = isKept
    this.folder = mkdtempSync(join(tmpdir(), 'fmtp-'))
  }

  /** Starts everything but the talking. @throws {FmtpError} with what a process said when it could not start */
  async open(): Promise<void> {
    const { servers, people } = this.#conversation
    await Promise.all(servers.map(server => this.startServer(server)))
    await this.#startZone()
    await Promise.all(people.map(({ address }) => this.#run(address, ['login', this.#requireLink(address)])))
    for (const person of people) await this.#settle(person)
  }

  /** Starts a server, also again after it was stopped. */
  async startServer(role: ServerRole): Promise<void> {
    const folder = join(this.folder, role.name)
    mkdirSync(folder, { recursive: true })
    const file = join(folder, 'fmtp.conf')
    writeFileSync(file, this.#configOf(role, folder))
    const users = this.#conversation.people.filter(({ address }) => address.endsWith(`@${role.domain}`))
    const args = users.flatMap(({ address }) => ['--user', address])
    const actor = this.#start(role.name, ['serve', '--config', file, ...args])
    await this.#whenSaid(role.name, 'ready', actor)
    for (const line of actor.lines) {
      const [, link, address] = /^ +link +(\S+#(\S+@[^.]+\.\S+?)\.[\w-]{43}\.[\w-]{43})$/.exec(line) ?? []
      if (link !== undefined && address !== undefined) this.#links.set(address, link)
      const [, name, record] = /^ +DNS +(\S+) TXT "(.+)"$/.exec(line) ?? []
      if (name !== undefined && record !== undefined) this.#keys.set(name.replace('fmtpkey.', ''), record)
    }
  }

  /** Kills a server as a power failure would. */
  async killServer(name: string): Promise<void> {
    const actor = this.#actors.get(name)
    actor?.child.kill('SIGKILL')
    await actor?.exited
  }

  /** Somebody says something. Resolves when their home has taken it. */
  async say({ from, to, text }: Said): Promise<void> {
    await this.#run(from, ['send', '--as', from, to, text])
  }

  /** The output lines of a process so far. */
  linesOf(name: string): readonly string[] {
    return this.#actors.get(name)?.lines ?? []
  }

  /** Waits for a record that `find` accepts. `undefined`: none came in time. */
  async when<T>(find: () => T | undefined, withinMs: number): Promise<T | undefined> {
    const endMs = Date.now() + withinMs
    for (;;) {
      const found = find()
      if (found !== undefined || Date.now() > endMs) return found
      await sleep(10)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#actors.values()) child.kill('SIGTERM')
    const exits = [...this.#actors.values()].map(({ exited }) => exited)
    await Promise.race([Promise.all(exits), sleep(3000, undefined, { ref: false })])
    for (const { child } of this.#actors.values()) if (child.exitCode === null) child.kill('SIGKILL')
    if (!this.#isKept) rmSync(this.folder, { recursive: true, force: true })
  }

  #configOf({ domain, host }: ServerRole, folder: string): string {
    const address = this.#addressOf(host)
    return `
data = ${JSON.stringify(join(folder, 'data'))}
[[domain]]
name = "${domain}"
[listen]
tcp = ["${address}:3687"]
http = ["${address}:8080"]
hosts = ["${host}", "${address}"]
[http]
originUrl = "http://${address}:8080"
[dns]
servers = ["${this.#nameServer}"]
[guard]
allow = ["127.77.0.0/16"]
[log]
level = "debug"
format = "json"
`
  }

  #addressOf(host: string): string {
    const records = parseZone(this.#conversation.zone.filter(line => !line.includes(' TXT ')).join('\n'))
    const record = records.find(({ name, type }) => name === host && type === 'A')
    if (record === undefined) throw new FmtpError('FMTP_CONFIG', `the zone has no A record of ${host}`)
    return record.value
  }

  /** It stands beside the hosts of the conversation, as number 1 of their network. */
  get #nameServer(): string {
    const [first] = this.#conversation.servers
    return `${this.#addressOf(first?.host ?? '').replace(/\d+$/, '1')}:${dnsPort}`
  }

  async #startZone(): Promise<void> {
    const file = join(this.folder, 'zone.txt')
    const lines = this.#conversation.zone.map(line =>
      line.replace(/the key of (\S+)$/, (_, domain: string) => `"${this.#keys.get(domain) ?? 'no key'}"`),
    )
    writeFileSync(file, `${lines.join('\n')}\n`)
    const actor = this.#start('zone', ['zone', file, '--bind', this.#nameServer])
    await this.#whenSaid('zone', 'ready', actor)
  }

  /** Publishes the contact a person names, and stays logged in for those who are written to. */
  async #settle({ address, contact, isListening }: PersonRole): Promise<void> {
    if (contact !== undefined) await this.#run(address, ['contact', '--as', address, contact])
    if (!this.#conversation.said.some(({ to }) => to === address)) return
    const [host = '', port = ''] = contact?.split(':') ?? []
    const bind = isListening ? ['--bind', `${this.#addressOf(host)}:${port}`, '--dns', this.#nameServer] : []
    const actor = this.#start(address, ['listen', '--as', address, ...bind])
    await this.#whenSaid(address, 'listening', actor)
  }

  #requireLink(address: Address): string {
    const link = this.#links.get(address)
    if (link === undefined) throw new FmtpError('FMTP_NOT_FOUND', `no server made a link for ${address}`)
    return link
  }

  async #run(name: string, args: readonly string[]): Promise<void> {
    const actor = this.#start(`${name} ${args[0]}`, args)
    if ((await actor.exited) !== 0)
      throw new FmtpError('FMTP_BUSY', `fmtp ${args.join(' ')}:\n${actor.lines.join('\n')}`)
  }

  #start(who: string, args: readonly string[]): Actor {
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...process.env, FMTP_HOME: join(this.folder, 'people') },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const lines: string[] = []
    createInterface({ input: child.stdout }).on('line', line => lines.push(line))
    createInterface({ input: child.stderr }).on('line', line => this.#takeLine(who, line, lines))
    const exited = new Promise<number>(resolve => child.once('close', code => resolve(code ?? 1)))
    const actor = { child, lines, exited }
    this.#actors.set(who, actor)
    return actor
  }

  #takeLine(who: string, line: string, lines: string[]): void {
    if (!line.startsWith('{')) {
      lines.push(line)
      return
    }
    const {
      time,
      event,
      level: _,
      ...fields
    } = JSON.parse(line) as { time: string; event: string; level: number }
    this.records.push({ who, event, atMs: Date.parse(time), fields })
  }

  async #whenSaid(who: string, event: string, { exited, lines }: Actor): Promise<void> {
    let isGone = false
    void exited.then(() => {
      isGone = true
    })
    const from = this.records.length
    const said = await this.when(
      () =>
        isGone
          ? 'gone'
          : this.records.slice(from).find(record => record.who === who && record.event === event),
      startMs,
    )
    if (said === undefined || said === 'gone')
      throw new FmtpError('FMTP_BUSY', `${who} did not start:\n${lines.join('\n')}`)
  }
}
