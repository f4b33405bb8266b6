/**
 * From clients of one server to the box and the live client of a user of another: how many messages a second from one, 16
 * and 256 senders, and how soon. Signed, verified, and synced at both ends. Then to many domains (`domains.ts`).
 */
import { Arrivals, publish, type Sender, sendAll } from './arrivals.ts'
import { measureDomains } from './domains.ts'
import { cpuSeconds, type Federation } from './federation.ts'
import { type Bench, type BenchOptions, type Figure, figure, median, quantile } from './figure.ts'
import { measureDisk, measurePairs, measureVerifications } from './limits.ts'
import { endsOf, lost, senders, sendersMost, startPoeAndLenore } from './poe-and-lenore.ts'

const counts = [1, 16, sendersMost] as const
const rounds = 3
const steadyPerSecond = 100
/** What starting, warming up and waiting for the last take of the whole. */
const overheadSeconds = 12

export const deliver: Bench = async options => {
  const seconds = Math.max(12, options.seconds - overheadSeconds)
  const figures: Figure[] = []
  {
    await using servers = await startPoeAndLenore(sendersMost)
    figures.push(...(await measure(servers, { ...options, seconds: (seconds * 2) / 3 })))
  }
  return [...figures, ...(await measureDomains({ ...options, seconds: seconds / 3 }))]
}

/** For `seconds` about: one sender has two fifths of them, the two other numbers of senders and the pace one each. */
export async function measure(servers: Federation, options: BenchOptions): Promise<Figure[]> {
  const { poe, lenore } = endsOf(servers)
  const arrivals = new Arrivals()
  const recipient = await servers.logIn(lenore, lost)
  await arrivals.follow(recipient)
  const all = await Promise.all(
    senders
      .filter(address => poe.ready.links.has(address))
      .map(async address => ({ address, connection: await servers.logIn(poe, address) })),
  )
  const shareMs = options.seconds * 200
  options.onProgress('warming up')
  await runRate(all, arrivals, Math.min(2000, shareMs))

  const figures: Figure[] = []
  for (const count of counts.filter(each => each <= all.length)) {
    const some = { senders: all.slice(0, count), ms: count === 1 ? shareMs * 2 : shareMs }
    figures.push(...(await measureRate(servers, arrivals, { ...options, ...some })))
  }
  const [edgar] = all
  if (edgar !== undefined) figures.push(...(await measurePace(edgar, arrivals, { ...options, ms: shareMs })))
  arrivals.check()
  for (const { connection } of [...all, { connection: recipient }]) connection.close()
  return figures
}

interface RateOptions extends Pick<BenchOptions, 'onProgress'> {
  readonly senders: readonly Sender[]
  readonly ms: number
}

/** Rounds of the limit and of messages in turn, and what each process took for a message. */
async function measureRate(
  servers: Federation,
  arrivals: Arrivals,
  { senders: sending, ms, onProgress }: RateOptions,
): Promise<Figure[]> {
  const { poe, lenore } = endsOf(servers)
  const verifications: number[] = []
  const rates: number[] = []
  const cpu = { poe: 0, lenore: 0, client: 0, messages: 0 }
  for (let round = 1; round <= rounds; round++) {
    verifications.push(measureVerifications(ms / rounds / 5))
    const before = { poe: cpuSeconds(poe.process.pid), lenore: cpuSeconds(lenore.process.pid) }
    const clientBefore = process.cpuUsage()
    const { count, tookMs } = await runRate(sending, arrivals, ((ms / rounds) * 4) / 5)
    const client = process.cpuUsage(clientBefore)
    cpu.poe += cpuSeconds(poe.process.pid) - before.poe
    cpu.lenore += cpuSeconds(lenore.process.pid) - before.lenore
    cpu.client += (client.user + client.system) / 1e6
    cpu.messages += count
    rates.push((count * 1000) / tookMs)
  }
  onProgress(`${sending.length} senders: ${rates.map(Math.round).join(', ')} messages/s`)
  const each = (seconds: number): number => (seconds * 1e6) / cpu.messages
  const suffix = sending.length === 1 ? '' : `-${sending.length}`
  return [
    figure(`deliver/rate${suffix}`, median(rates), 'messages/s', median(verifications)),
    figure(`deliver/cpu-client${suffix}`, each(cpu.client), 'µs/message'),
    figure(`deliver/cpu-sender${suffix}`, each(cpu.poe), 'µs/message'),
    figure(`deliver/cpu-receiver${suffix}`, each(cpu.lenore), 'µs/message'),
  ]
}

interface PaceOptions extends Pick<BenchOptions, 'onProgress'> {
  readonly ms: number
}

/**
 * How soon at a steady pace. A disk that rests between two writes takes longer for each than one that is driven, so that
 * there is a limit of either sort.
 */
async function measurePace(
  sender: Sender,
  arrivals: Arrivals,
  { ms, onProgress }: PaceOptions,
): Promise<Figure[]> {
  onProgress(`${steadyPerSecond} messages/s`)
  const delaysMs: number[] = []
  const drivenMs: number[] = []
  const pacedMs: number[] = []
  const batched: number[] = []
  for (let round = 0; round < rounds; round++) {
    const disk = await measureDisk(ms / rounds / 6)
    drivenMs.push(...disk.pairsMs)
    batched.push(disk.batchedPerSecond)
    pacedMs.push(...(await measurePairs(ms / rounds / 3, steadyPerSecond)))
    delaysMs.push(...(await runSteady(sender, arrivals, ms / rounds / 2)))
  }
  return [
    figure('deliver/p50', quantile(delaysMs, 0.5), 'ms', quantile(drivenMs, 0.5)),
    figure('deliver/p99', quantile(delaysMs, 0.99), 'ms', quantile(drivenMs, 0.99)),
    figure('deliver/p50-paced', quantile(delaysMs, 0.5), 'ms', quantile(pacedMs, 0.5)),
    figure('deliver/p99-paced', quantile(delaysMs, 0.99), 'ms', quantile(pacedMs, 0.99)),
    figure('disk/batched', median(batched), 'puts/s'),
  ]
}

/** As many as can be; the time ends when the last is in the recipient's box. */
async function runRate(sending: readonly Sender[], arrivals: Arrivals, ms: number) {
  const startMs = performance.now()
  const count = await sendAll(sending, ms, async sender => arrivals.noteSent(await publish(sender, [lost])))
  const endMs = await arrivals.whole()
  return { count, tookMs: endMs - startMs }
}

/** Publishes at a steady pace, whatever the answers do; how long each took to the live client, in ms. */
async function runSteady(sender: Sender, arrivals: Arrivals, ms: number): Promise<number[]> {
  const startMs = performance.now()
  const total = Math.floor((ms * steadyPerSecond) / 1000)
  const published: Promise<{ id: string; atMs: number }>[] = []
  const send = async (): Promise<{ id: string; atMs: number }> => {
    const atMs = performance.now()
    const id = await publish(sender, [lost])
    arrivals.noteSent(id)
    return { id, atMs }
  }
  await new Promise<void>(resolve => {
    const timer = setInterval(() => {
      const due = ((performance.now() - startMs) * steadyPerSecond) / 1000
      while (published.length < Math.min(due, total)) published.push(send())
      if (published.length < total) return
      clearInterval(timer)
      resolve()
    }, 2)
  })
  const all = await Promise.all(published)
  await arrivals.whole()
  return all.map(({ id, atMs }) => (arrivals.atMs(id) ?? Number.NaN) - atMs)
}
