/** Runs the command `fmtp` as a person would, with a home folder of the test's own, and ends what it started. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { islandConfig } from '../../server/config/load.ts'

export const root = fileURLToPath(new URL('../../../', import.meta.url))
const main = join(root, 'dist/server/main.js')

export interface Running {
  readonly child: ChildProcess
  /** Standard output and standard error so far, as they came. */
  output(): string
  /** Resolves with the exit status. */
  readonly ended: Promise<number | null>
}

export class CommandLine implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'fmtp-command-'))
  readonly #running: Running[] = []

  start(...args: string[]): Running {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: this.folder,
      env: { ...process.env, FMTP_HOME: join(this.folder, 'people') },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    const take = (chunk: unknown): void => {
      text += String(chunk)
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    const ended = new Promise<number | null>(resolve => child.once('close', resolve))
    const running = { child, output: () => text, ended }
    this.#running.push(running)
    return running
  }

  /** The output of a command that must end well. */
  async run(...args: string[]): Promise<string> {
    const { ended, output } = this.start(...args)
    assert.equal(await ended, 0, `fmtp ${args.join(' ')}:\n${output()}`)
    return output()
  }

  /** The output of a command that must fail. */
  async fail(...args: string[]): Promise<string> {
    const { ended, output } = this.start(...args)
    assert.equal(await ended, 1, `fmtp ${args.join(' ')}:\n${output()}`)
    return output()
  }

  /** A config for localhost that listens on an address of the test's own. */
  writeIsland(address: string, more = ''): string {
    const file = join(this.folder, 'fmtp.conf')
    const own = islandConfig('localhost').replaceAll('127.0.0.1', address)
    const hosts = own.replace('[listen]', `[listen]\nhosts = ["${address}"]`)
    writeFileSync(file, `${hosts}\n[http]\noriginUrl = "http://${address}:8080"\n${more}`)
    return file
  }

  /** Starts a server and waits until it is ready. */
  async serve(...args: string[]): Promise<Running> {
    const running = this.start('serve', ...args)
    await until(() => running.output().includes('"ready"'), running.output)
    return running
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGTERM')
    await Promise.all(this.#running.map(({ ended }) => ended))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The log-in links that a server printed. */
export function linksOf(output: string): string[] {
  return [...output.matchAll(/ link +(\S+)/g)].map(([, link]) => link ?? '')
}

export async function until(isTrue: () => boolean, what: () => string, withinMs = 10_000): Promise<void> {
  for (const endMs = Date.now() + withinMs; !isTrue(); ) {
    assert.ok(Date.now() < endMs, what())
    await sleep(20)
  }
}
