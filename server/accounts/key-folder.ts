/**
 * The key files of one domain (protocol §7.1), readable by their owner alone:
 *
 *     <selector>.pem         a private key
 *     current                the selector that signs; missing: the last in order
 *     <selector>.successor   that key's word for the one that followed it; stays when the key is deleted
 *
 * A key that neither signs nor has a successor is to sign next. Every step writes one file, so that a crash leaves a
 * folder that says something whole.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { generateKeyPair, type KeyPair, parsePrivatePem, privatePem } from '../../objects/seals/keys.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Successor } from '../../schemas/frame.ts'
import { writeKeyFile } from './key-file.ts'

const [pem, successor] = ['.pem', '.successor']

export class KeyFolder {
  readonly #folder: string

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#folder = folder
  }

  /** Private keys by selector, in order. @throws {FmtpError} FMTP_CONFIG where a file is no key */
  readPairs(): Map<string, KeyPair> {
    const pairs = this.#selectorsOf(pem).map(
      selector => [selector, parsePrivatePem(this.#read(selector + pem))] as const,
    )
    return new Map(pairs)
  }

  /** By the selector of the older key. */
  readSuccessors(): Map<string, Successor> {
    const successors = this.#selectorsOf(successor).map(
      selector => [selector, JSON.parse(this.#read(selector + successor)) as Successor] as const,
    )
    return new Map(successors)
  }

  findCurrent(): string | undefined {
    return existsSync(join(this.#folder, 'current')) ? this.#read('current').trim() : undefined
  }

  writeCurrent(selector: string): void {
    writeKeyFile(join(this.#folder, 'current'), `${selector}\n`)
  }

  writeSuccessor(selector: string, value: Successor): void {
    writeKeyFile(join(this.#folder, selector + successor), `${JSON.stringify(value)}\n`)
  }

  /** Makes a key, named by chance, so that a name never means another key. */
  makePair(): readonly [selector: string, pair: KeyPair] {
    for (;;) {
      const pair = generateKeyPair()
      const letters = pair.thumbprint.replaceAll(/[^A-Za-z0-9]/g, '')
      const selector = `k${letters.slice(0, 7).toLowerCase()}`
      const files = [pem, successor].map(ending => join(this.#folder, selector + ending))
      if (files.some(file => existsSync(file))) continue
      writeKeyFile(join(this.#folder, selector + pem), privatePem(pair))
      return [selector, pair]
    }
  }

  deletePair(selector: string): void {
    rmSync(join(this.#folder, selector + pem))
  }

  #selectorsOf(ending: string): string[] {
    return readdirSync(this.#folder)
      .filter(name => name.endsWith(ending))
      .map(name => name.slice(0, -ending.length))
      .sort()
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.#folder, name), 'utf8')
    } catch (cause) {
      throw new FmtpError('FMTP_CONFIG', `${join(this.#folder, name)} can not be read`, { cause })
    }
  }
}
