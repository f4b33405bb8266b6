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
import type { Address, ObjectId } from '../../schemas/names.ts'
import { answerError } from '../../wire/pairing.ts'
import { ServerProcess } from '../support/fmtp-process.ts'
import { enrol, logIn, type MemoryDevice } from '../support/log-in.ts'
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

interface Draft {
  readonly id: ObjectId
  readonly body: string
  readonly to: readonly [Address]
  readonly parent?: string
}

interface Sent extends Known {
  readonly owner: Address
  readonly draft: Draft
  version: number | undefined
  tries: number
}

const users = ['edgar@localhost', 'lost@localhost'] as readonly string[] as readonly [Address, Address]
const connectionsEach = 4
const underway = 16
const messagesARound = 60
const address = '127.77.21.1'
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
    const data = join(this.#folder, 'server.data')
    const faults = [...this.#faults, ...(await findFaults(data, this.#sent))]
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
    const writing = connections === undefined ? sending : this.#write(connections)
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
    await this.#write(connections)
  }

  async #write(connections: readonly Connection[]): Promise<void> {
    const waiting = [...this.#sent.values()].filter(({ version }) => version === undefined)
    await Promise.all(
      connections.map(async (connection, index) => {
        const author = users[index % users.length] as Address
        const again = waiting.filter(
          ({ owner }, at) => owner === author && at % connectionsEach === Math.floor(index / users.length),
        )
        await this.#pipeline(connection, author, again)
      }),
    )
  }

  /** What is left from earlier lives first, then new messages, some under way at once. */
  async #pipeline(connection: Connection, author: Address, again: readonly Sent[]): Promise<void> {
    const queue = [...again]
    let count = 0
    const worker = async (): Promise<void> => {
      while (count++ < messagesARound) {
        const sent = queue.shift() ?? this.#make(author)
        // A client that sends in doubt sends twice; both answers must mean the same object.
        const tries = this.#random() < 0.05 ? 2 : 1
        const told = Array.from({ length: tries }, () => this.#describe(connection, sent))
        const isOpen = await Promise.all(told)
        if (isOpen.includes(false)) return
      }
    }
    await Promise.all(Array.from({ length: underway }, worker))
  }

  #make(owner: Address): Sent {
    const to = (owner === users[0] ? users[1] : users[0]) as Address
    const before = this.#random() < 0.3 ? this.#recent[this.#random.below(this.#recent.length)] : undefined
    const id = mintId(owner, Date.now())
    const body = `${this.#sent.size} ${'nevermore '.repeat(this.#random.below(60))}`
    const draft: Draft = { id, body, to: [to], ...(before === undefined ? {} : { parent: before.id }) }
    const sent: Sent = { id, owner, to, draft, top: before?.top ?? id, version: undefined, tries: 0 }
    this.#sent.set(id, sent)
    return sent
  }

  /** Hands over a draft and notes the answer; false where none came. */
  async #describe(connection: Connection, sent: Sent): Promise<boolean> {
    sent.tries++
    const object = { ...sent.draft, format: 'text/plain', kind: 'message' }
    const answer = await connection.describe({ object }).catch(() => undefined)
    if (answer === undefined) return false
    const { outcome, version, results = [] } = answer
    if ((outcome !== 'stored' && outcome !== 'duplicate') || version === undefined) {
      this.#faults.push(`${sent.id}: answered ${outcome}: ${answerError(answer).message}`)
    } else if (sent.version !== undefined && sent.version !== version) {
      this.#faults.push(`${sent.id}: acknowledged as ${sent.version} and as ${version}`)
    } else {
      const missed = results.find(result => result.outcome !== 'stored' && result.outcome !== 'duplicate')
      if (missed !== undefined) this.#faults.push(`${sent.id}: ${missed.outcome} for ${missed.for}`)
      sent.version = version
      this.#recent.push(sent)
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
    for (const { id } of this.#acknowledged)
      if (!seen.has(id)) this.#faults.push(`box of ${user}: does not give ${id}`)
  }
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
