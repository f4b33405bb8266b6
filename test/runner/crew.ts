/**
 * The processes of the runner (`worker.ts`), each with its own process group and its own folder for what is temporary, so that
 * nothing of them is left when they end, are ended, or end us.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Order, Told } from './messages.ts'

/** How one file went: `through`, or why it is not. */
export interface Outcome {
  readonly told: readonly Told[]
  /** What it wrote to standard output and error. */
  readonly output: string
  /** Why it did not come to its end, in words. */
  readonly fault?: string
  readonly wallMs: number
  readonly cpuMs?: number
}

export interface CrewOptions {
  /** How long a file may take. One that takes longer hangs, and is ended. */
  readonly fileLimitMs: number
  /** How long a process may stay when its files are through. */
  readonly endLimitMs: number
}

export class Crew implements AsyncDisposable {
  readonly #options: CrewOptions
  readonly #folder = mkdtempSync(join(tmpdir(), 'fmtp-run-'))
  readonly #workers = new Set<Worker>()
  #started = 0

  constructor(options: CrewOptions) {
    this.#options = options
  }

  /** Runs files, the first ones first, at most `jobs` at the same time, and hands over how each went, when it is through. */
  async run(
    orders: readonly Order[],
    { jobs, isFresh }: { readonly jobs: number; readonly isFresh: boolean },
    take: (order: Order, outcome: Outcome) => void,
  ): Promise<void> {
    const left = [...orders]
    const work = async (): Promise<void> => {
      let worker: Worker | undefined
      for (let order = left.shift(); order !== undefined; order = left.shift()) {
        worker ??= this.#start()
        const outcome = await worker.run(order, this.#options.fileLimitMs)
        const isLast = isFresh || left.length === 0 || outcome.fault !== undefined
        const late = isLast ? await this.#end(worker, outcome.fault === undefined) : undefined
        if (isLast) worker = undefined
        take(order, late === undefined || outcome.fault !== undefined ? outcome : { ...outcome, fault: late })
      }
    }
    await Promise.all(Array.from({ length: Math.min(jobs, orders.length) }, work))
  }

  /** Ends all that runs, at once. */
  kill(): void {
    for (const worker of this.#workers) worker.kill()
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
  }

  #start(): Worker {
    const folder = join(this.#folder, String(++this.#started))
    mkdirSync(folder)
    const worker = new Worker(folder)
    this.#workers.add(worker)
    return worker
  }

  /** `isWell`: it ends by itself. */
  async #end(worker: Worker, isWell: boolean): Promise<string | undefined> {
    const late = await worker.end(isWell ? this.#options.endLimitMs : 0)
    this.#workers.delete(worker)
    return late
  }
}

/** One process. It keeps the folder until it has ended. */
class Worker {
  readonly #folder: string
  readonly #log: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  #shownBytes = 0

  constructor(folder: string) {
    this.#folder = folder
    this.#log = `${folder}.log`
    const log = openSync(this.#log, 'a')
    this.#child = fork(new URL('worker.js', import.meta.url), {
      // A group of its own can be ended as a whole, with all that tests have started.
      detached: true,
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', log, log, 'ipc'],
    })
    closeSync(log)
    this.#exited = once(this.#child, 'exit')
  }

  async run(order: Order, limitMs: number): Promise<Outcome> {
    const startMs = performance.now()
    const told: Told[] = []
    let hear: (message: Told) => void = () => undefined
    const through = new Promise<number>(resolve => {
      hear = message => {
        told.push(message)
        if (message.event === 'through') resolve(message.cpuMs)
      }
    })
    this.#child.on('message', hear)
    this.#child.send(order, () => undefined)
    const limit = new AbortController()
    const ended = await Promise.race([
      through,
      this.#exited.then(() => `its process ended (${this.#ending}) before it was through`),
      sleep(limitMs, `it hangs: it is not through in ${limitMs / 1000} s`, limit),
    ])
    limit.abort()
    this.#child.off('message', hear)
    const outcome = { told, output: this.#newOutput(), wallMs: performance.now() - startMs }
    return typeof ended === 'number' ? { ...outcome, cpuMs: ended } : { ...outcome, fault: ended }
  }

  /** Lets it end by itself, and ends whatever stays. Says so when it is the process that stays. */
  async end(limitMs: number): Promise<string | undefined> {
    if (this.#child.connected) this.#child.disconnect()
    const limit = new AbortController()
    const late = `something keeps its process alive: it has not ended in ${limitMs / 1000} s`
    const fault = await Promise.race([this.#exited.then(() => undefined), sleep(limitMs, late, limit)])
    limit.abort()
    this.kill()
    await this.#exited
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
    return fault
  }

  kill(): void {
    try {
      process.kill(-(this.#child.pid ?? 0), 'SIGKILL')
    } catch {
      // Nobody of the group is left.
    }
  }

  get #ending(): string {
    return `status ${this.#child.exitCode}, signal ${this.#child.signalCode}`
  }

  #newOutput(): string {
    const all = readFileSync(this.#log)
    const output = all.subarray(this.#shownBytes).toString()
    this.#shownBytes = all.length
    return output
  }
}
