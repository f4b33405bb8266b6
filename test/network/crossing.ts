/**
 * Two servers that write to each other while both are killed again and again: every message that was acknowledged is there
 * once, and its author is told so. The suite runs a few kills; `npm run crossing -- --kills 200 --messages 2000` many. With
 * `--through` one of them is behind a parent that passes everything on, and is killed too.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Connection } from '../../client/connection.ts'
import { mintId } from '../../objects/id.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import type { Address } from '../../schemas/text/names.ts'
import type { StateResult } from '../../server/delivery/status/results.ts'
import { runFmtp } from '../support/fmtp-process.ts'
import { Network, type Person, type ServerChoices } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'
import { createRandom, type Random } from '../support/random.ts'

export interface CrossingOptions {
  readonly kills: number
  /** In both directions together. */
  readonly messages: number
  readonly seed: number
  /** One of the two is a department, and all between them goes through its parent. */
  readonly isThrough?: boolean
  onKill?(kill: number, told: string): void
}

export interface CrossingReport {
  readonly kills: number
  readonly acknowledged: number
  /** How long it took until all had arrived, after the last kill, s. */
  readonly settledS: number
  readonly faults: readonly string[]
}

/** A server over all its lives. */
interface Life {
  readonly domain: string
  readonly choices: ServerChoices
  server: ServerProcess
  aheadMs: number
}

/** One of the two. */
interface Side extends Life {
  person: Person
  /** Messages to the other side, and which of them the home has said it has. */
  readonly sent: Map<string, boolean>
}

const patienceMs = 120_000
const windowEach = 8

const [hq, region] = ['poe.net', 'region.poe.net'] as const
const port = 3687

export async function runCrossing(options: CrossingOptions): Promise<CrossingReport> {
  await using network = await Network.start()
  const lives: Life[] = []
  const mayDial = (domain: string) => ({ allow: [`${network.addressOf(domain)}/32`], port })
  const start = async (domain: string, choices: ServerChoices): Promise<Life> => {
    const life = { domain, choices, server: await startProcess(network, domain, choices), aheadMs: 0 }
    lives.push(life)
    return life
  }
  const sideOf = async (life: Life, name: string): Promise<Side> =>
    Object.assign(life, { person: await life.server.enrol(`${name}@${life.domain}`), sent: new Map() })
  try {
    const isThrough = options.isThrough === true
    if (isThrough) await start(hq, { ...mayDial('lenore.org'), children: ['*.poe.net'] })
    const poe = await start(isThrough ? region : hq, isThrough ? { ...mayDial(hq), parents: [hq] } : {})
    const lenore = await start('lenore.org', isThrough ? mayDial(hq) : {})
    const sides = [await sideOf(poe, 'edgar'), await sideOf(lenore, 'lost')] as const
    if (isThrough) publishBehind(network)
    return await new Crossing(network, sides, lives, options).run()
  } finally {
    for (const { server } of lives) await server[Symbol.asyncDispose]()
  }
}

/** Who calls the department reaches its parent. */
function publishBehind(network: Network): void {
  network.zone.set(`_fmtp._tcp.${region}`, 'SRV', [`0 5 ${port} fmtp.${hq}`])
}

class Crossing {
  readonly #network: Network
  readonly #sides: readonly [Side, Side]
  /** These and the one between them, where there is one. */
  readonly #lives: readonly Life[]
  readonly #options: CrossingOptions
  readonly #random: Random
  readonly #faults: string[] = []
  #kills = 0

  constructor(
    network: Network,
    sides: readonly [Side, Side],
    lives: readonly Life[],
    options: CrossingOptions,
  ) {
    this.#network = network
    this.#sides = sides
    this.#lives = lives
    this.#options = options
    this.#random = createRandom(options.seed)
  }

  async run(): Promise<CrossingReport> {
    const { kills, onKill } = this.#options
    while (this.#kills < kills) {
      const told = await this.#life()
      onKill?.(this.#kills, `${told}, ${this.#acknowledged} of ${this.#count} acknowledged`)
    }
    const startMs = performance.now()
    await this.#finish()
    const settledS = Math.round((performance.now() - startMs) / 1000)
    for (const [side, other] of this.#pairs()) await this.#check(side, other)
    for (const life of this.#lives) await this.#verify(life)
    return { kills: this.#kills, acknowledged: this.#acknowledged, settledS, faults: this.#faults }
  }

  #pairs(): readonly (readonly [Side, Side])[] {
    const [poe, lenore] = this.#sides
    return [
      [poe, lenore],
      [lenore, poe],
    ]
  }

  get #count(): number {
    return this.#sides.reduce((sum, { sent }) => sum + sent.size, 0)
  }

  get #acknowledged(): number {
    return this.#sides.reduce((sum, { sent }) => sum + [...sent.values()].filter(Boolean).length, 0)
  }

  /** Both write; at some moment one of them is killed, or both, and started again. */
  async #life(): Promise<string> {
    const { kills, messages } = this.#options
    const each = Math.max(1, Math.ceil(messages / kills / 2))
    const random = this.#random
    const writing = Promise.all(this.#pairs().map(([side, other]) => this.#write(side, other, each)))
    const afterMs = random.below(random() < 0.5 ? 40 : 400)
    await sleep(afterMs)
    const one = this.#lives[random.below(this.#lives.length)] ?? this.#sides[0]
    const dying = random() < 0.2 ? this.#lives : [one]
    await Promise.all(dying.map(({ server }) => server.kill()))
    this.#kills += dying.length
    await writing
    if (random() < 0.3) await sleep(random.below(300))
    // The later one finds the earlier one, whichever that is.
    for (const life of dying) await this.#restart(life)
    return `killed ${dying.map(({ domain }) => domain).join(' and ')} after ${afterMs} ms`
  }

  async #restart(life: Life): Promise<void> {
    life.server = await startProcess(this.#network, life.domain, life.choices, life.aheadMs)
    if (life.domain === region) publishBehind(this.#network)
  }

  /** What is in doubt first, then new ones; until the server goes away. */
  async #write(side: Side, other: Side, count: number): Promise<void> {
    const connection = await side.server.connect(side.person).catch(() => undefined)
    if (connection === undefined) return
    const queue = [...side.sent].filter(([, isHeld]) => !isHeld).map(([id]) => id)
    for (let made = 0; made < count; made++) {
      const id = mintId(side.person.address as Address, Date.now())
      side.sent.set(id, false)
      queue.push(id)
    }
    const worker = async (): Promise<void> => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift())
        if (!(await this.#send(connection, side, other, id))) return
    }
    await Promise.all(Array.from({ length: windowEach }, worker))
    connection.close()
  }

  async #send(connection: Connection, side: Side, other: Side, id: string): Promise<boolean> {
    const to = [other.person.address]
    const object = { id, kind: 'message', format: 'text/plain', body: `${id} nevermore`, to }
    const answer = await connection.describe({ object }).catch(() => undefined)
    if (answer === undefined) return false
    if (answer.outcome === 'stored' || answer.outcome === 'duplicate') side.sent.set(id, true)
    else this.#faults.push(`${id}: answered ${answer.outcome} ${answer.code}`)
    return true
  }

  /** All is sent, and waited for; minutes pass, since what a dying connection put off waits so long. */
  async #finish(): Promise<void> {
    const left = Math.max(0, Math.ceil((this.#options.messages - this.#count) / 2))
    for (const [side, other] of this.#pairs()) await this.#write(side, other, left)
    const endMs = performance.now() + patienceMs
    while ((await this.#open()).length > 0 && performance.now() < endMs) {
      for (const life of this.#lives) {
        await life.server.advance(60_000)
        life.aheadMs += 60_000
      }
      await sleep(500)
    }
    for (const told of await this.#open()) this.#faults.push(told)
  }

  /** Whom their authors are not told to have it. */
  async #open(): Promise<string[]> {
    const open: string[] = []
    for (const side of this.#sides) {
      const connection = await side.server.connect(side.person)
      const ask = async ([id, isHeld]: readonly [string, boolean]): Promise<void> => {
        if (!isHeld) open.push(`${id}: was never acknowledged`)
        const { answer } = await connection.request({ id })
        const results = (answer.results ?? []) as StateResult[]
        const isStored = results.length === 1 && results[0]?.outcome === 'stored'
        if (!isStored) open.push(`${id}: its author is told ${JSON.stringify(results)}`)
      }
      await Promise.all([...side.sent].map(ask))
      connection.close()
    }
    return open
  }

  /** The other's box has each once, and nobody was told of a failure. */
  async #check(side: Side, other: Side): Promise<void> {
    const counts = new Map<string, number>()
    for (const { id, kind, outcome, about } of await readBox(other)) {
      if (kind === 'message') counts.set(id, (counts.get(id) ?? 0) + 1)
      if (kind === 'report' && outcome === 'failed') this.#faults.push(`${about}: reported as failed`)
    }
    for (const id of side.sent.keys())
      if (counts.get(id) !== 1)
        this.#faults.push(`${id}: ${counts.get(id) ?? 0} times in the box of ${other.person.address}`)
  }

  /** The store is whole. */
  async #verify({ domain, server }: Life): Promise<void> {
    // It ends with 1 where it finds anything.
    await runFmtp('verify', '--config', server.config.file).catch(cause =>
      this.#faults.push(`${domain}: ${String(cause).slice(0, 2000)}`),
    )
  }
}

async function readBox({ server, person }: Side): Promise<readonly Report[]> {
  const connection = await server.connect(person)
  const objects: Report[] = []
  let after: string | undefined
  for (;;) {
    const list = { of: 'box', owner: person.address, limit: 500, ...(after && { after }) } as const
    const { answer, describes } = await connection.request({ list })
    objects.push(...describes.map(({ object }) => object as Report))
    if (answer.complete === true || answer.cursor === undefined || answer.cursor === after) break
    after = answer.cursor
  }
  connection.close()
  return objects
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      messages: { type: 'string', default: '2000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      through: { type: 'boolean', default: false },
    },
  })
  const [kills, messages, seed] = [values.kills, values.messages, values.seed].map(Number)
  process.stdout.write(`seed ${seed}\n`)
  const report = await runCrossing({
    ...{ kills: kills ?? 0, messages: messages ?? 0, seed: seed ?? 0 },
    isThrough: values.through,
    onKill: (kill, told) => process.stdout.write(`${kill}/${kills}: ${told}\n`),
  })
  for (const fault of report.faults.slice(0, 50)) process.stdout.write(`FAULT ${fault}\n`)
  const { acknowledged, settledS, faults } = report
  process.stdout.write(
    `${report.kills} kills, ${acknowledged} acknowledged, all there ${settledS} s after the last, ${faults.length} faults\n`,
  )
  process.exitCode = faults.length > 0 ? 1 : 0
}
