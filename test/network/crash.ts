/**
 * Kills a real server again and again while clients send, and looks whether it kept its word: nothing acknowledged is
 * lost, nothing stands anywhere twice. The suite runs a few rounds; `npm run crash -- --rounds 1000 --seed N` many.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import { markNonce } from '../../objects/mark.ts'
import { sha256Text, signerOf } from '../../objects/seals/keys.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import type { Unsealed } from '../../schemas/object.ts'
import type { Address, ObjectId } from '../../schemas/text/names.ts'
import { proveHttp } from '../../wire/http-proof.ts'
import { answerError } from '../../wire/pairing.ts'
import { ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logIn, type MemoryDevice } from '../support/log-in.ts'
import { ownAddress } from '../support/loopback.ts'
import { createRandom, type Random } from '../support/random.ts'
import { findFaults, type Known } from './store-check.ts'

export interface CrashOptions {
  readonly rounds: number
  readonly seed: number
  onRound?(round: number, told: string): void
}

export interface CrashReport {
  readonly kills: number
  /** Messages that a home said it has. */
  readonly acknowledged: number
  /** Messages that had to be sent again because no answer came. */
  readonly resent: number
  /** What is wrong, one sentence each. */
  readonly faults: readonly string[]
}

interface Sent extends Known {
  readonly id: ObjectId
  readonly owner: Address
  /** The first of its thread. */
  readonly top: string
  /** What was said of it last. */
  object: { readonly id: string; readonly kind: string; readonly deleted?: true }
  version: number | undefined
  tries: number
  /** Somebody waits for an answer about it. */
  isUnderWay: boolean
}

const users = ['edgar@localhost', 'lost@localhost'] as readonly string[] as readonly [Address, Address]
const connectionsEach = 4
const underway = 16
const messagesARound = 60
const address = ownAddress(201)
const config = `
[[domain]]
name = "localhost"

[listen]
tcp = []
http = ["${address}:0"]
hosts = ["${address}"]

[limits]
exempt = ["127.0.0.0/8"]
`

export async function runCrashes(options: CrashOptions): Promise<CrashReport> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-crash-'))
  try {
    return await new Crashes(folder, options).run()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

class Crashes {
  readonly #folder: string
  readonly #options: CrashOptions
  readonly #random: Random
  readonly #sent = new Map<string, Sent>()
  readonly #blobs = new Set<string>()
  /** Acknowledged lately: what answers are given to. */
  readonly #recent: Sent[] = []
  readonly #faults: string[] = []
  #devices: readonly MemoryDevice[] = []

  constructor(folder: string, options: CrashOptions) {
    this.#folder = folder
    this.#options = options
    this.#random = createRandom(options.seed)
  }

  async run(): Promise<CrashReport> {
    const { rounds, onRound } = this.#options
    await this.#enrol()
    for (let round = 1; round <= rounds; round++) {
      const told = await this.#crash()
      onRound?.(round, `${told}, ${this.#acknowledged.length} of ${this.#sent.size} messages acknowledged`)
    }
    const resent = await this.#settle()
    const config = join(this.#folder, 'server.conf')
    const found = await findFaults(config, { objects: this.#sent, blobs: this.#blobs })
    const faults = [...this.#faults, ...found]
    // One more than rounds: the last server is killed too before the store is opened.
    return { kills: rounds + 1, acknowledged: this.#acknowledged.length, resent, faults }
  }

  get #acknowledged(): Sent[] {
    return [...this.#sent.values()].filter(({ version }) => version !== undefined)
  }

  #start(): ServerProcess {
    return new ServerProcess({ folder: this.#folder, name: 'server', config, users })
  }

  async #enrol(): Promise<void> {
    await using server = this.#start()
    const { origin, links } = await server.ready()
    this.#devices = await Promise.all([...links.values()].map(link => enrol(origin, link)))
  }

  /** One life of the server, and what is told of it. */
  async #crash(): Promise<string> {
    const random = this.#random
    await using server = this.#start()
    const kind = random()
    if (kind < 0.1) {
      const afterMs = random.below(400)
      await sleep(afterMs)
      await server.end('SIGKILL')
      return `killed ${afterMs} ms after its start`
    }
    const { origin } = await server.ready()
    const isGreeting = kind < 0.2
    const afterMs = isGreeting ? random.below(30) : 1 + random.below(250)
    const sending = isGreeting ? this.#send(origin) : undefined
    const connections = isGreeting ? undefined : await this.#connect(origin)
    const writing = connections === undefined ? sending : this.#write(origin, connections)
    await sleep(afterMs)
    await server.end('SIGKILL')
    await writing
    return `killed ${afterMs} ms after ${isGreeting ? 'it was ready' : 'the first message'}`
  }

  #connect(origin: string): Promise<Connection[]> {
    const devices = Array.from({ length: connectionsEach }, () => this.#devices).flat()
    return Promise.all(
      devices.map(device => logIn(origin, device, { onDescribe: async () => ({ outcome: 'stored' }) })),
    )
  }

  /** The same where the server may go away during the hello. */
  async #send(origin: string): Promise<void> {
    const connections = await this.#connect(origin).catch(() => [])
    await this.#write(origin, connections)
  }

  async #write(origin: string, connections: readonly Connection[]): Promise<void> {
    const waiting = [...this.#sent.values()].filter(({ version }) => version === undefined)
    await Promise.all(
      connections.map(async (connection, index) => {
        const author = users[index % users.length] as Address
        const again = waiting.filter(
          ({ owner }, at) => owner === author && at % connectionsEach === Math.floor(index / users.length),
        )
        await this.#pipeline(origin, connection, author, again)
      }),
    )
  }

  /** What is left from earlier lives first, then new messages, some under way at once. */
  async #pipeline(
    origin: string,
    connection: Connection,
    author: Address,
    again: readonly Sent[],
  ): Promise<void> {
    const queue = [...again]
    let count = 0
    const worker = async (): Promise<void> => {
      while (count++ < messagesARound) {
        const made = queue.length > 0 ? [] : await this.#make(origin, author)
        if (made === undefined) return
        queue.push(...made)
        const sent = queue.shift()
        if (sent === undefined || sent.isUnderWay) continue
        // A client that sends in doubt sends twice; both answers must mean the same object.
        const tries = this.#random() < 0.05 ? 2 : 1
        sent.isUnderWay = true
        const told = Array.from({ length: tries }, () => this.#describe(connection, sent))
        const isOpen = await Promise.all(told)
        sent.isUnderWay = false
        if (isOpen.includes(false)) return
      }
    }
    await Promise.all(Array.from({ length: underway }, worker))
  }

  /** What a client does next, in the order in which it is sent; `undefined`: the server went away meanwhile. */
  async #make(origin: string, owner: Address): Promise<readonly Sent[] | undefined> {
    const chance = this.#random()
    const own = this.#pick(sent => sent.owner === owner && isOpen(sent) && !sent.isUnderWay)
    if (chance < 0.12 && own !== undefined) {
      const object = {
        ...own.object,
        body: `edited ${this.#sent.size} ${'x'.repeat(this.#random.below(900))}`,
      }
      return [this.#change(own, object)]
    }
    if (chance < 0.18 && own !== undefined) {
      this.#recent.splice(this.#recent.indexOf(own), 1)
      return [this.#change(own, { id: own.id, kind: 'message', deleted: true })]
    }
    const about = this.#pick(isOpen)
    if (chance < 0.24 && about !== undefined) return [this.#mark(owner, about)]
    if (chance < 0.32) return this.#makeLate(owner)
    if (chance < 0.38) {
      const name = await this.#upload(origin, owner)
      if (name === undefined) return undefined
      const attachments = [{ name: 'raven.bin', format: 'image/png', ...name }]
      return [this.#message(owner, { attachments })]
    }
    const before = chance < 0.6 ? about : undefined
    return [this.#message(owner, before === undefined ? {} : { parent: before.id }, before?.top)]
  }

  #pick(isFit: (sent: Sent) => boolean): Sent | undefined {
    const fit = this.#recent.filter(isFit)
    return fit[this.#random.below(fit.length)]
  }

  #add(owner: Address, to: readonly Address[], object: Sent['object'], top = object.id): Sent {
    const id = object.id as ObjectId
    const sent: Sent = { id, owner, to, top, object, version: undefined, tries: 0, isUnderWay: false }
    this.#sent.set(id, sent)
    return sent
  }

  /** Until its home says so, either version may be there. */
  #change(sent: Sent, object: Sent['object']): Sent {
    sent.object = object
    sent.version = undefined
    return sent
  }

  #otherThan(owner: Address): Address {
    return owner === users[0] ? users[1] : users[0]
  }

  #message(owner: Address, members: object, top?: string): Sent {
    const to = this.#otherThan(owner)
    const body = `${this.#sent.size} ${'nevermore '.repeat(this.#random.below(60))}`
    const draft = { id: mintId(owner, Date.now()), kind: 'message', format: 'text/plain', body, to: [to] }
    return this.#add(owner, [to], { ...draft, ...members }, top)
  }

  #mark(owner: Address, { id: about }: Sent): Sent {
    const id = `${markNonce(about)}.${owner}`
    const object = { id, kind: 'mark', about, kept: this.#random() < 0.7 }
    const known = this.#sent.get(id)
    if (known === undefined) return this.#add(owner, [], object)
    return known.isUnderWay ? known : this.#change(known, object)
  }

  /** An answer, and then what it answers: sealed by the device, so that its digest is known before. */
  #makeLate(owner: Address): readonly Sent[] {
    const device = this.#devices.find(({ address: whose }) => whose === owner)
    if (device === undefined) return []
    const parent = this.#message(owner, {})
    const nowMs = Date.now()
    const unsealed = { ...parent.object, owner, createdAt: new Date(nowMs).toISOString(), version: nowMs }
    const key = { signer: signerOf(device.pair), credential: device.credential }
    const { object, digest } = sealObject(unsealed as unknown as Unsealed, key)
    parent.object = object
    const told = { parent: parent.id, parentHash: digest, top: parent.id }
    return [this.#message(owner, told, parent.id), parent]
  }

  /** Name and size of some bytes that are at the home now. */
  async #upload(origin: string, owner: Address): Promise<{ sha256: string; bytes: number } | undefined> {
    const device = this.#devices.find(({ address: whose }) => whose === owner)
    if (device === undefined) return undefined
    const bytes = Buffer.from(`${this.#sent.size} ${'raven '.repeat(this.#random.below(300))}`)
    const sha256 = sha256Text(bytes)
    const path = `/blobs/${sha256}`
    const proven = { as: owner, method: 'PUT', path, atMs: Date.now() }
    const headers = { Authorization: proveHttp(proven, signerOf(device.pair)) }
    const response = await fetch(origin + path, { method: 'PUT', headers, body: bytes }).catch(
      () => undefined,
    )
    if (response === undefined) return undefined
    // More than a user may upload at once: this message goes without.
    if (response.status === 429) return undefined
    if (!response.ok) this.#faults.push(`blob ${sha256}: answered ${response.status}`)
    else this.#blobs.add(sha256)
    return { sha256, bytes: bytes.length }
  }

  /** Hands over a draft and notes the answer; false where none came. */
  async #describe(connection: Connection, sent: Sent): Promise<boolean> {
    sent.tries++
    const { object } = sent
    const answer = await connection.describe({ object }).catch(() => undefined)
    if (answer === undefined) return false
    const { outcome, version, results = [] } = answer
    // Another one's answer about it, while this one was on its way.
    if (sent.object !== object) return true
    if ((outcome !== 'stored' && outcome !== 'duplicate') || version === undefined) {
      this.#faults.push(`${sent.id}: answered ${outcome}: ${answerError(answer).message}`)
    } else if (sent.version !== undefined && sent.version !== version) {
      this.#faults.push(`${sent.id}: acknowledged as ${sent.version} and as ${version}`)
    } else {
      const missed = results.find(result => result.outcome !== 'stored' && result.outcome !== 'duplicate')
      if (missed !== undefined) this.#faults.push(`${sent.id}: ${missed.outcome} for ${missed.for}`)
      sent.version = version
      if (object.deleted !== true) this.#recent.push(sent)
      if (this.#recent.length > 64) this.#recent.shift()
    }
    return true
  }

  /**
   * The last life: all that is in doubt is sent again, much that is not as well, and both boxes are read. Resolves with
   * how many were sent again in doubt.
   */
  async #settle(): Promise<number> {
    await using server = this.#start()
    const { origin } = await server.ready()
    const connections = await this.#connect(origin)
    const resent = [...this.#sent.values()].filter(({ tries }) => tries > 1).length
    const known = this.#acknowledged.slice(-1000)
    const waiting = [...this.#sent.values()].filter(({ version }) => version === undefined)
    const resend = async (sent: Sent): Promise<void> => {
      const connection = connections[users.indexOf(sent.owner)]
      if (connection === undefined || !(await this.#describe(connection, sent)))
        this.#faults.push(`${sent.id}: no answer at the end`)
    }
    await Promise.all([...waiting, ...known].map(resend))
    for (const [index, user] of users.entries()) {
      const connection = connections[index]
      if (connection !== undefined) await this.#readBox(connection, user)
    }
    await server.end('SIGKILL')
    return resent
  }

  async #readBox(connection: Connection, user: Address): Promise<void> {
    const seen = new Set<string>()
    let after: string | undefined
    let last = 0
    for (;;) {
      const { answer, describes } = await connection.request({
        list: { of: 'box', limit: 500, ...(after === undefined ? {} : { after }) },
      })
      if (answer.outcome !== 'found') throw answerError(answer)
      for (const { object, cursor = '' } of describes) {
        const { id } = object as { id: string }
        const number = Number(cursor.slice(cursor.indexOf('.') + 1))
        if (seen.has(id)) this.#faults.push(`box of ${user}: gives ${id} twice`)
        if (number <= last) this.#faults.push(`box of ${user}: ${number} after ${last}`)
        seen.add(id)
        last = number
      }
      if (answer.complete === true) break
      after = answer.cursor
    }
    for (const { id, owner, to } of this.#acknowledged)
      if ([owner, ...to].includes(user) && !seen.has(id))
        this.#faults.push(`box of ${user}: does not give ${id}`)
  }
}

/** A message that its home seals, and that was not deleted. */
function isOpen({ object }: Sent): boolean {
  return object.kind === 'message' && object.deleted !== true && !('hash' in object)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '1000' }, seed: { type: 'string' } },
  })
  const rounds = Number(values.rounds)
  const seed = Number(values.seed ?? Date.now() % 1_000_000)
  process.stdout.write(`${rounds} rounds with seed ${seed}\n`)
  const report = await runCrashes({
    rounds,
    seed,
    onRound: (round, told) => process.stdout.write(`${round}/${rounds}: ${told}\n`),
  })
  for (const fault of report.faults.slice(0, 50)) process.stdout.write(`WRONG  ${fault}\n`)
  const { kills, acknowledged, resent, faults } = report
  process.stdout.write(
    `${kills} kills, ${acknowledged} acknowledged, ${resent} sent again, ${faults.length} faults\n`,
  )
  if (faults.length > 0) process.exitCode = 1
}
