/**
 * A network of its own, as another machine has it: a network namespace that lives in a shell of ours and nowhere else. No
 * name of it stands on the machine, and the shell ends with its standard input, so that nothing is left behind, however this
 * process ends. Needs Linux and root; whoever uses it skips with a clear word elsewhere, but never in CI.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'

const probe = 'ip link add probe0 type veth peer name probe1 && nft list ruleset && command -v nsenter'

const canIsolate =
  process.platform === 'linux' && spawnSync('unshare', ['-n', 'sh', '-c', probe]).status === 0

/** True where tests are left out: nobody looks, and no network can be made. */
export const isWithoutHosts = !canIsolate && process.env.CI === undefined

/** What a suite adds to its name. */
export const hostsMark = isWithoutHosts ? ' (SKIPPED: needs root, unshare, nsenter, ip and nft)' : ''

export class Namespace implements AsyncDisposable {
  readonly #shell: ChildProcess
  readonly #ended: Promise<unknown>
  #turn: Promise<unknown> = Promise.resolve()
  #runs = 0
  #output = ''
  #onOutput: () => void = () => undefined

  private constructor(shell: ChildProcess) {
    this.#shell = shell
    this.#ended = once(shell, 'close').finally(() => this.#onOutput())
    this.#ended.catch(() => undefined)
    shell.stdin?.on('error', () => undefined)
    shell.stdout?.setEncoding('utf8').on('data', text => {
      this.#output += text
      this.#onOutput()
    })
  }

  /** An empty network, with loopback. */
  static async make(): Promise<Namespace> {
    const namespace = new Namespace(spawn('unshare', ['-n', 'sh'], { stdio: ['pipe', 'pipe', 'inherit'] }))
    await namespace.run('ip link set lo up')
    return namespace
  }

  /** Whom `nsenter -t` and `ip link … netns` take. */
  get pid(): number {
    return this.#shell.pid ?? 0
  }

  /** What a program is run under to be there. */
  get under(): readonly string[] {
    return ['nsenter', '-n', '-t', String(this.pid)]
  }

  /** What the kernel calls it: `net:[4026532281]`. */
  get id(): string {
    return readlinkSync(`/proc/${this.pid}/ns/net`)
  }

  /** Runs commands there, one script after the other; gives what they print. @throws when one of them fails */
  run(script: string): Promise<string> {
    const run = this.#turn.then(() => this.#run(script))
    this.#turn = run.catch(() => undefined)
    return run
  }

  async #run(script: string): Promise<string> {
    const mark = `end of run ${++this.#runs}: `
    const end = new RegExp(`\\n${mark}(\\d+)\\n$`)
    this.#output = ''
    this.#shell.stdin?.write(`( set -e\n${script}\n) 2>&1 </dev/null; echo "\n${mark}$?"\n`)
    for (;;) {
      const [all, status] = end.exec(this.#output) ?? []
      if (all !== undefined && status === '0') return this.#output.slice(0, -all.length)
      if (all !== undefined || this.#shell.exitCode !== null || this.#shell.signalCode !== null)
        throw new Error(`${script}:\n${this.#output}`)
      await new Promise<void>(resolve => {
        this.#onOutput = resolve
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.kill('SIGKILL')
    await this.#ended
  }
}
