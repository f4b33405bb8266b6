/**
 * Runs commands of this project as processes of their own, on config and data in a folder of the test, and ends them by
 * their process ids. What they log goes to a file, so that nobody has to read a pipe for them to go on.
 */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type LoginLink, parseLink } from '../../client/link.ts'

/** The compiled command of this checkout. */
export const mainFile = fileURLToPath(new URL('../../server/main.js', import.meta.url))

export interface CommandOptions {
  /** Where its log file is, `NAME.log`. */
  readonly folder: string
  readonly name: string
  readonly args: readonly string[]
  /** Node's own options. */
  readonly nodeArgs?: readonly string[]
  /** What runs node, such as a tracer with its options. */
  readonly under?: readonly string[]
  /** Another copy of the compiled command. */
  readonly main?: string
}

/** A running command. Its standard output is kept as text. */
export class Command implements AsyncDisposable {
  readonly name: string
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #closed: Promise<unknown>
  #output = ''
  #failure: Error | undefined

  constructor(options: CommandOptions) {
    this.name = options.name
    this.#logFile = join(options.folder, `${options.name}.log`)
    const [program = '', ...args] = [
      ...(options.under ?? []),
      process.execPath,
      ...(options.nodeArgs ?? []),
      options.main ?? mainFile,
      ...options.args,
    ]
    const log = openSync(this.#logFile, 'a')
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', log], cwd: options.folder })
    closeSync(log)
    this.#closed = once(this.#child, 'close').catch(error => {
      this.#failure = error as Error
    })
    this.#child.stdout?.setEncoding('utf8').on('data', text => {
      this.#output += text
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#failure === undefined
  }

  /** Its exit status; `null` while it runs, and where a signal ended it. */
  get status(): number | null {
    return this.#child.exitCode
  }

  /** How it ended, for a person who asks why. */
  get ending(): string {
    return `status ${this.#child.exitCode}, signal ${this.#child.signalCode}`
  }

  /** All that it has said on standard output. */
  get output(): string {
    return this.#output
  }

  /** Waits until its log says this. @throws when the process ends before, or in time */
  async logs(text: string, limitMs = 10_000): Promise<void> {
    const endMs = Date.now() + limitMs
    while (!this.log.includes(text)) {
      if (!this.isRunning) throw new Error(`${this.name} ended early: ${this.#failure ?? this.logTail}`)
      if (Date.now() > endMs) throw new Error(`${this.name} did not log ${text}: ${this.logTail}`)
      await sleep(20)
    }
  }

  /** All that it has logged. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8')
  }

  /** The end of its log, for a person who asks why. */
  get logTail(): string {
    return this.log.split('\n').slice(-12).join('\n')
  }

  /** Resolves with the first value that `find` sees in the output. @throws when the process ends before, or in time */
  async waitFor<T>(find: (output: string) => T | undefined, limitMs = 30_000): Promise<T> {
    const timeout = AbortSignal.timeout(limitMs)
    for (;;) {
      const found = find(this.#output)
      if (found !== undefined) return found
      if (!this.isRunning) throw new Error(`${this.name} ended early: ${this.#failure ?? this.logTail}`)
      if (timeout.aborted) throw new Error(`${this.name} is not ready in ${limitMs} ms: ${this.logTail}`)
      const chunk = this.#child.stdout === null ? [] : [once(this.#child.stdout, 'data', { signal: timeout })]
      await Promise.race([...chunk, this.#closed]).catch(() => undefined)
    }
  }

  /** Sends a signal and waits for the end. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.isRunning) this.#child.kill(signal)
    await this.#closed
  }

  /** Waits for an end that comes by itself. */
  async closed(): Promise<void> {
    await this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL')
  }
}

export interface ServerProcessOptions extends Omit<CommandOptions, 'args' | 'name'> {
  /** Its name in messages, and of its config, data and log. */
  readonly name: string
  /** Text of fmtp.conf, without `data`. */
  readonly config: string
  /** Users that are made where they are missing; each gets a log-in link. */
  readonly users: readonly string[]
}

/** What a server says of itself when it is ready. */
export interface Ready {
  /** `http://address:port` of its first HTTP listener. */
  readonly origin: string
  readonly links: ReadonlyMap<string, LoginLink>
  /** Text of the domain's key record; none for localhost. */
  readonly keyRecord: string | undefined
}

/** `fmtp serve` as a process. */
export class ServerProcess extends Command {
  readonly #users: readonly string[]

  constructor(options: ServerProcessOptions) {
    const config = join(options.folder, `${options.name}.conf`)
    writeFileSync(config, `data = ${JSON.stringify(`${options.name}.data`)}\n${options.config}`)
    const users = options.users.flatMap(user => ['--user', user])
    super({ ...options, args: ['serve', '--config', config, '--link', ...users] })
    this.#users = options.users
  }

  ready(limitMs?: number): Promise<Ready> {
    return this.waitFor(output => this.#read(output), limitMs)
  }

  #read(output: string): Ready | undefined {
    const links = new Map<string, LoginLink>()
    for (const [, text = ''] of output.matchAll(/^ {2}link {2}(\S+)\n/gm)) {
      const link = parseLink(text)
      links.set(link.address, link)
    }
    const [, endpoint] = /^ {2}http {2}(\S+)\n/m.exec(output) ?? []
    const [, keyRecord] = /^ {2}DNS {3}\S+ TXT "(.*)"\n/m.exec(output) ?? []
    if (endpoint === undefined || this.#users.some(user => !links.has(user))) return undefined
    return { origin: `http://${endpoint}`, links, keyRecord }
  }
}

/** A command as a process of its own, which must end well; gives what it printed. This process goes on meanwhile. */
export async function runFmtp(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await endFmtp(args)
  assert.equal(status, 0, `fmtp ${args.join(' ')}:\n${stdout}${stderr}`)
  return stdout
}

/** The same, which must fail; gives what it said of that. */
export async function failFmtp(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await endFmtp(args)
  assert.equal(status, 1, `fmtp ${args.join(' ')}:\n${stdout}${stderr}`)
  return stderr
}

async function endFmtp(args: readonly string[]) {
  const child = spawn(process.execPath, [mainFile, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', text => {
    stdout += text
  })
  child.stderr.on('data', text => {
    stderr += text
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr }
}
