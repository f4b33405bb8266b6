/**
 * From a client of one server to the box and the live client of a user of another: how many messages a second, and how
 * soon. Signed, verified, and synced at both ends; every message that was sent must have arrived.
 */
import type { Connection } from '../client/connection.ts'
import { mintId } from '../objects/id.ts'
import type { DescribeFrame } from '../schemas/frame.ts'
import { answerError } from '../wire/pairing.ts'
import { type Bench, type BenchOptions, type Figure, figure, median, quantile } from './figure.ts'
import { measureDisk, measureVerifications } from './limits.ts'
import { cpuSeconds, edgar, lost, PoeAndLenore } from './poe-and-lenore.ts'

const window = 256
const rounds = 3
const body = 'nevermore '.repeat(20)
const steadyPerSecond = 100
/** Longer than any queue may take to empty. */
const arrivalLimitMs = 30_000

export const deliver: Bench = async options => {
  await using servers = await PoeAndLenore.start()
  return await measure(servers, options)
}

export async function measure(servers: PoeAndLenore, options: BenchOptions): Promise<Figure[]> {
  const { seconds, onProgress } = options
  const arrivals = new Arrivals()
  const recipient = await servers.logIn(servers.lenore, lost)
  const { answer } = await recipient.request({ list: { of: 'box' }, follow: true }, frame =>
    arrivals.take(frame),
  )
  if (answer.outcome !== 'found') throw answerError(answer)
  const sender = await servers.logIn(servers.poe, edgar)

  // Starting, warming up and waiting for the last take a few seconds of the whole.
  const shareMs = (Math.max(8, seconds - 6) * 1000) / (rounds + 2)
  onProgress('warming up')
  await runRate(sender, arrivals, Math.min(2000, shareMs))

  const verifications: number[] = []
  const rates: number[] = []
  const cpu = { poe: 0, lenore: 0, client: 0, messages: 0 }
  const { poe, lenore } = servers
  for (let round = 1; round <= rounds; round++) {
    verifications.push(measureVerifications(shareMs / 5))
    const before = { poe: cpuSeconds(poe.process.pid), lenore: cpuSeconds(lenore.process.pid) }
    const clientBefore = process.cpuUsage()
    const { count, tookMs } = await runRate(sender, arrivals, (shareMs * 4) / 5)
    const client = process.cpuUsage(clientBefore)
    cpu.poe += cpuSeconds(poe.process.pid) - before.poe
    cpu.lenore += cpuSeconds(lenore.process.pid) - before.lenore
    cpu.client += (client.user + client.system) / 1e6
    cpu.messages += count
    rates.push((count * 1000) / tookMs)
    onProgress(
      `round ${round}: ${Math.round(rates.at(-1) ?? 0)} messages/s, ${Math.round(verifications.at(-1) ?? 0)} verifications/s`,
    )
  }

  // Some before and some after, because disks have moods.
  const diskBefore = await measureDisk(shareMs / 4)
  onProgress(`${steadyPerSecond} messages/s`)
  const delaysMs = await runSteady(sender, arrivals, shareMs)
  const diskAfter = await measureDisk(shareMs / 4)
  const pairsMs = [...diskBefore.pairsMs, ...diskAfter.pairsMs]

  arrivals.check()
  sender.close()
  recipient.close()
  const each = (seconds: number): number => (seconds * 1e6) / cpu.messages
  return [
    figure('deliver/rate', median(rates), 'messages/s', median(verifications)),
    figure('deliver/p50', quantile(delaysMs, 0.5), 'ms', quantile(pairsMs, 0.5)),
    figure('deliver/p99', quantile(delaysMs, 0.99), 'ms', quantile(pairsMs, 0.99)),
    figure('deliver/cpu-sender', each(cpu.poe), 'µs/message'),
    figure('deliver/cpu-receiver', each(cpu.lenore), 'µs/message'),
    figure('deliver/cpu-client', each(cpu.client), 'µs/message'),
    figure('disk/batched', median([diskBefore.batchedPerSecond, diskAfter.batchedPerSecond]), 'puts/s'),
  ]
}

/** What the recipient's live client was given from its box. */
class Arrivals {
  readonly #atMs = new Map<string, number>()
  #waiting: { readonly count: number; readonly resolve: () => void } | undefined
  #sent = 0

  take({ object }: DescribeFrame): void {
    const { id, kind } = object as { id: string; kind: string }
    // Poe introduces its user once: that is no message.
    if (kind !== 'message') return
    if (this.#atMs.has(id)) throw new Error(`${id} arrived twice`)
    this.#atMs.set(id, performance.now())
    if (this.#waiting !== undefined && this.#atMs.size >= this.#waiting.count) this.#waiting.resolve()
  }

  noteSent(): void {
    this.#sent++
  }

  atMs(id: string): number | undefined {
    return this.#atMs.get(id)
  }

  /** Waits until all that was sent has arrived, and resolves with when the last did. */
  async whole(): Promise<number> {
    if (this.#atMs.size < this.#sent) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`${this.#atMs.size} of ${this.#sent} messages arrived in ${arrivalLimitMs} ms`))
        }, arrivalLimitMs)
        const done = (): void => {
          clearTimeout(timer)
          resolve()
        }
        this.#waiting = { count: this.#sent, resolve: done }
      })
      this.#waiting = undefined
    }
    this.check()
    return Math.max(...[...this.#atMs.values()].slice(-window * 4))
  }

  /** @throws where the count is not exactly what was sent */
  check(): void {
    if (this.#atMs.size !== this.#sent)
      throw new Error(`${this.#sent} messages were sent, ${this.#atMs.size} arrived`)
  }
}

async function publish(sender: Connection, arrivals: Arrivals): Promise<string> {
  const id = mintId(edgar, Date.now())
  const object = { body, format: 'text/plain', id, kind: 'message', to: [lost] }
  const answer = await sender.describe({ object })
  if (answer.outcome !== 'stored') throw answerError(answer)
  arrivals.noteSent()
  return id
}

/** As many as can be with the window always full; the time ends when the last is in the recipient's box. */
async function runRate(sender: Connection, arrivals: Arrivals, ms: number) {
  const startMs = performance.now()
  let count = 0
  const worker = async (): Promise<void> => {
    while (performance.now() - startMs < ms) {
      await publish(sender, arrivals)
      count++
    }
  }
  await Promise.all(Array.from({ length: window }, worker))
  const endMs = await arrivals.whole()
  return { count, tookMs: endMs - startMs }
}

/** Publishes at a steady pace, whatever the answers do; how long each took to the live client, in ms. */
async function runSteady(sender: Connection, arrivals: Arrivals, ms: number): Promise<number[]> {
  const startMs = performance.now()
  const total = Math.floor((ms * steadyPerSecond) / 1000)
  const published: Promise<{ id: string; atMs: number }>[] = []
  await new Promise<void>(resolve => {
    const timer = setInterval(() => {
      const due = ((performance.now() - startMs) * steadyPerSecond) / 1000
      while (published.length < Math.min(due, total)) {
        const atMs = performance.now()
        published.push(publish(sender, arrivals).then(id => ({ id, atMs })))
      }
      if (published.length < total) return
      clearInterval(timer)
      resolve()
    }, 2)
  })
  const all = await Promise.all(published)
  await arrivals.whole()
  return all.map(({ id, atMs }) => (arrivals.atMs(id) ?? Number.NaN) - atMs)
}
