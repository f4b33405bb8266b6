/**
 * To a hundred domains, which four processes serve: how many messages a second, whether domains whose servers are gone slow
 * down the others, and how long one message for a thousand people takes. Domains that are gone refuse, or never answer.
 */
import { join } from 'node:path'
import { createHints } from '../objects/store/hints.ts'
import { rangeOf } from '../objects/store/layout.ts'
import { openDatabase } from '../objects/store/open.ts'
import { Store } from '../objects/store/store.ts'
import { type Address, parseAddress } from '../schemas/text/names.ts'
import { Arrivals, followBox, publish, type Sender, sendAll } from './arrivals.ts'
import { Federation } from './federation.ts'
import { type BenchOptions, type Figure, figure, median } from './figure.ts'
import { measureVerifications } from './limits.ts'
import { edgar } from './poe-and-lenore.ts'
import { refusingAddress, Silent, silentAddress } from './silent.ts'

const processes = 4
const domainsOfEach = 25
const domainsMost = processes * domainsOfEach
const usersOfEach = 10
/** One in ten of those that are written to at once. */
const deadMost = domainsMost / 10
const rounds = 3
const messageFans = 5

const domains = Array.from({ length: domainsMost }, (_, at) => `d${String(at).padStart(2, '0')}.example`)
const deadDomains = Array.from({ length: deadMost }, (_, at) => `dead${at}.example`)

function readersOf(domain: string): Address[] {
  return Array.from({ length: usersOfEach }, (_, at) => parseAddress(`reader${at}@${domain}`))
}

const readers = domains.flatMap(readersOf)
/** One of each domain, which has a live client. */
const first = domains.map(domain => parseAddress(`reader0@${domain}`))
const dead = deadDomains.map(domain => parseAddress(`reader0@${domain}`))

export async function measureDomains(options: BenchOptions): Promise<Figure[]> {
  const { onProgress } = options
  onProgress(`${domainsMost} domains`)
  await using silent = await Silent.listen()
  await using servers = await startDomains()
  const arrivals = new Arrivals()
  const fanned = new Counter()
  const connections = await Promise.all(
    first.map(async address => {
      const end = servers.ends.find(({ ready }) => ready.links.has(address))
      if (end === undefined) throw new Error(`nobody serves ${address}`)
      const connection = await servers.logIn(end, address)
      await followBox(connection, frame => {
        const { to } = frame.object as { to?: readonly string[] }
        if (to === undefined || to.length === 1) arrivals.take(frame)
        else fanned.take()
      })
      return connection
    }),
  )
  const connection = await servers.logIn(servers.end('poe'), edgar)
  const sender = { address: edgar, connection }

  // Every domain is called once, and is told who writes.
  for (const to of first) arrivals.noteSent(await publish(sender, [to]))
  await arrivals.whole()
  const shareMs = options.seconds * 1000
  const figures = await measureDead(sender, arrivals, { onProgress, ms: shareMs })
  const fan = await measureFan(sender)
  for (const each of [...connections, connection]) each.close()
  await servers.endAll('SIGTERM')
  for (const id of fan.ids) await checkStored(servers, id)
  silent.check()
  return [...figures, ...fan.figures]

  /** One message for everybody, some times. Each is stored at all domains when the live clients of all have it. */
  async function measureFan(from: Sender) {
    const tookMs: number[] = []
    const ids: string[] = []
    const verifications = measureVerifications(shareMs / 20)
    for (let fan = 1; fan <= messageFans; fan++) {
      const startMs = performance.now()
      ids.push(await publish(from, readers))
      await fanned.reaches(fan * domainsMost)
      tookMs.push(performance.now() - startMs)
    }
    onProgress(`${readers.length} recipients: ${tookMs.map(Math.round).join(', ')} ms`)
    const transfers = fanned.count / messageFans
    return {
      ids,
      figures: [
        figure('fan/transfers', transfers, 'transfers', domainsMost),
        figure('fan/ms', median(tookMs), 'ms', (domainsMost * 1000) / verifications),
      ],
    }
  }
}

/** Rounds to 90 domains, alone and among 10 that are gone; what counts is what the living get a second. */
async function measureDead(
  sender: Sender,
  arrivals: Arrivals,
  { ms, onProgress }: { readonly ms: number; readonly onProgress: BenchOptions['onProgress'] },
): Promise<Figure[]> {
  const living = first.slice(0, domainsMost - deadMost)
  const roundMs = ms / (rounds * 2 + 1)
  const rates: { readonly alone: number[]; readonly among: number[] } = { alone: [], among: [] }
  const verifications: number[] = []
  const run = async (to: readonly Address[]): Promise<number> => {
    let next = 0
    const startMs = performance.now()
    const before = arrivals.count
    await sendAll([sender], roundMs, async from => {
      const recipient = to[next++ % to.length] as Address
      const id = await publish(from, [recipient])
      if (!dead.includes(recipient)) arrivals.noteSent(id)
    })
    const endMs = await arrivals.whole()
    return ((arrivals.count - before) * 1000) / (endMs - startMs)
  }
  // Spread, so that each window holds some for those that are gone.
  const mixed = living.flatMap((address, at) =>
    at % 9 === 0 ? [address, dead[at / 9] ?? address] : [address],
  )
  for (let round = 0; round < rounds; round++) {
    verifications.push(measureVerifications(roundMs / 5))
    // Whoever is first finds colder code.
    const order = round % 2 === 0 ? (['alone', 'among'] as const) : (['among', 'alone'] as const)
    for (const which of order) rates[which].push(await run(which === 'alone' ? living : mixed))
  }
  onProgress(
    `messages/s to the living: ${rates.alone.map(Math.round).join(', ')}; with dead ones ${rates.among.map(Math.round).join(', ')}`,
  )
  return [
    figure('domains/rate', median(rates.alone), 'messages/s', median(verifications)),
    figure('domains/rate-dead', median(rates.among), 'messages/s', median(rates.alone)),
  ]
}

function startDomains(): Promise<Federation> {
  const hosts = Array.from({ length: processes }, (_, at) => {
    const own = domains.slice(at * domainsOfEach, (at + 1) * domainsOfEach)
    return { name: `many${at}`, address: `127.77.20.${20 + at}`, domains: own, users: own.flatMap(readersOf) }
  })
  return Federation.start({
    hosts: [{ name: 'poe', address: '127.77.20.2', domains: ['poe.net'], users: [edgar] }, ...hosts],
    dead: deadDomains.map((domain, at) => ({
      domain,
      address: at % 2 === 0 ? silentAddress : refusingAddress,
    })),
  })
}

/** @throws where a message is not in the box of each of its recipients */
async function checkStored({ folder }: Federation, id: string): Promise<void> {
  let boxes = 0
  for (let at = 0; at < processes; at++) {
    const hints = createHints()
    await using database = await openDatabase(
      join(folder, `many${at}.data`),
      lists => hints.notify(lists),
      () => '',
    )
    boxes += (await new Store(database).findHolders(id)).length
    if ((await database.scan(rangeOf('boxed', id), { limit: 1 })).length === 0) throw new Error(`no ${id}`)
  }
  if (boxes !== readers.length) throw new Error(`${id} is in ${boxes} of ${readers.length} boxes`)
}

/** How often something happened, and who waits for that. */
class Counter {
  #count = 0
  #onCount: () => void = () => undefined

  get count(): number {
    return this.#count
  }

  take(): void {
    this.#count++
    this.#onCount()
  }

  async reaches(count: number): Promise<void> {
    while (this.#count < count) {
      await new Promise<void>(resolve => {
        this.#onCount = resolve
      })
    }
  }
}
