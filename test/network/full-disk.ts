/**
 * Lets the disk of a real server run full while clients send, with some room coming back or none, kills the server, and looks
 * whether it kept its word. The disk is real (`small-disk.ts`), so that batches end in the middle as they do elsewhere.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import type { Address } from '../../schemas/text/names.ts'
import { answerError } from '../../wire/pairing.ts'
import { ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logIn, type MemoryDevice } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'
import { createRandom, type Random } from '../support/random.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { findFaults, type Known } from './store-check.ts'

export interface FullDiskOptions {
  readonly rounds: number
  readonly seed: number
  /** Another copy of the compiled command. */
  readonly main?: string
}

export interface FullDiskReport {
  readonly acknowledged: number
  /** Messages that the server said it could not write. */
  readonly refused: number
  /** How often room came back without a restart, and the longest it took until the server wrote again. */
  readonly recoveries: number
  readonly longestMs: number
  /** What is wrong, one sentence each. */
  readonly faults: readonly string[]
}

interface Sent extends Known {
  readonly draft: object
  version: number | undefined
}

const users = ['edgar@localhost', 'lost@localhost'] as readonly string[] as readonly [Address, Address]
const diskBytes = 24 * 1024 * 1024
const connectionsEach = 2
const underway = 4
const patienceMs = 15_000

export const fullDiskConfig = (address: string, freeBytes: number): string => `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${address}:0"]
hosts = ["${address}"]

[limits]
exempt = ["127.0.0.0/8"]
freeBytes = ${freeBytes}
`

export async function runFullDisk(options: FullDiskOptions): Promise<FullDiskReport> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-full-'))
  try {
    await using disk = await SmallDisk.mount(join(folder, 'server.data'), diskBytes)
    return await new FullDisk(folder, disk, options).run()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

class FullDisk {
  readonly #folder: string
  readonly #disk: SmallDisk
  readonly #options: FullDiskOptions
  readonly #random: Random
  readonly #sent = new Map<string, Sent>()
  readonly #faults: string[] = []
  #devices: readonly MemoryDevice[] = []
  #refused = 0
  #acknowledged = 0
  #recoveries = 0
  #longestMs = 0

  constructor(folder: string, disk: SmallDisk, options: FullDiskOptions) {
    this.#folder = folder
    this.#disk = disk
    this.#options = options
    this.#random = createRandom(options.seed)
  }

  async run(): Promise<FullDiskReport> {
    for (let round = 0; round < this.#options.rounds; round++) await this.#fillUp()
    const copy = join(this.#folder, 'copy')
    mkdirSync(copy)
    this.#disk.copyTo(copy)
    const config = join(this.#folder, 'copy.conf')
    writeFileSync(config, `data = "${copy}"\n${fullDiskConfig(ownAddress(201), 0)}`)
    const known = { objects: this.#sent, blobs: new Set<string>() }
    const faults = [...this.#faults, ...(await findFaults(config, known))]
    return {
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      recoveries: this.#recoveries,
      longestMs: this.#longestMs,
      faults,
    }
  }

  /** One life of the server: writes until the disk is full, perhaps goes on when there is room, and is killed. */
  async #fillUp(): Promise<void> {
    const random = this.#random
    this.#disk.free()
    await using server = new ServerProcess({
      folder: this.#folder,
      name: 'server',
      config: fullDiskConfig(ownAddress(202), 0),
      users,
      under: this.#disk.under,
      ...(this.#options.main === undefined ? {} : { main: this.#options.main }),
    })
    const { origin, links } = await server.ready()
    if (this.#devices.length === 0)
      this.#devices = await Promise.all([...links.values()].map(link => enrol(origin, link)))
    const devices = Array.from({ length: connectionsEach }, () => this.#devices).flat()
    const connections = await Promise.all(
      devices.map(device => logIn(origin, device, { onDescribe: async () => ({ outcome: 'stored' }) })),
    )
    this.#disk.fill(random.below(400) * 1024)
    const ending = new AbortController()
    const working = connections.map((connection, index) => this.#write(connection, index, ending.signal))
    const refused = this.#refused
    await this.#until('the disk is full', () => this.#refused > refused)
    await sleep(random.below(150))
    if (random() < 0.6) await this.#recover()
    await server.end('SIGKILL')
    ending.abort()
    await Promise.all(working)
    for (const connection of connections) connection.close()
  }

  /** Room comes back: the server must write again by itself. */
  async #recover(): Promise<void> {
    const startMs = Date.now()
    const acknowledged = this.#acknowledged
    this.#disk.free()
    await this.#until('it writes again', () => this.#acknowledged > acknowledged + 5)
    this.#recoveries++
    this.#longestMs = Math.max(this.#longestMs, Date.now() - startMs)
    await sleep(this.#random.below(60))
  }

  async #until(what: string, isTrue: () => boolean): Promise<void> {
    for (const endMs = Date.now() + patienceMs; !isTrue(); await sleep(2))
      if (Date.now() > endMs) throw new Error(`waited in vain until ${what}`)
  }

  async #write(connection: Connection, index: number, signal: AbortSignal): Promise<void> {
    const owner = users[index % users.length] as Address
    const doubtful = [...this.#sent.values()].filter(
      (sent, at) => sent.owner === owner && sent.version === undefined && at % connectionsEach === index >> 1,
    )
    const worker = async (): Promise<void> => {
      while (!signal.aborted) {
        const sent = doubtful.shift() ?? this.#make(owner)
        if (!(await this.#describe(connection, sent))) return
      }
    }
    await Promise.all(Array.from({ length: underway }, worker))
  }

  #make(owner: Address): Sent {
    const to = (owner === users[0] ? users[1] : users[0]) as Address
    const id = mintId(owner, Date.now())
    const body = `${this.#sent.size} ${'nevermore '.repeat(this.#random.below(800))}`
    const draft = { id, body, to: [to], format: 'text/plain', kind: 'message' }
    const sent: Sent = { id, owner, to: [to], draft, version: undefined }
    this.#sent.set(id, sent)
    return sent
  }

  /** False where no answer came. */
  async #describe(connection: Connection, sent: Sent): Promise<boolean> {
    const answer = await connection.describe({ object: sent.draft as { id: string } }).catch(() => undefined)
    if (answer === undefined) return false
    const { outcome, version } = answer
    if ((outcome === 'stored' || outcome === 'duplicate') && version !== undefined) {
      if (sent.version === undefined) this.#acknowledged++
      sent.version = version
      return true
    }
    this.#refused++
    // FMTP_BUSY in the moment in which the store is being opened.
    const isTold = answer.code === 'FMTP_STORE' || answer.code === 'FMTP_BUSY'
    if (outcome !== 'busy' || answer.retryAfterMs === undefined || !isTold)
      this.#faults.push(`${sent.id}: ${outcome}: ${answerError(answer).message}`)
    await sleep(10)
    return true
  }
}
