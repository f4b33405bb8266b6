/**
 * How an address leads to its object: from the cache, over a connection that stands, and from nothing; what a first host costs
 * that is dead; and whether domains that are gone slow down the lookups of others. A client of one server asks for users of a
 * hundred domains, which four processes serve; a server that knows nobody yet is asked once, so there is one for each round.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../client/connection.ts'
import { type Address, parseAddress } from '../schemas/text/names.ts'
import { Federation } from './federation.ts'
import { type Bench, type BenchOptions, type Figure, figure, median, quantile } from './figure.ts'
import { measureVerifications } from './limits.ts'
import { refusingAddress, Silent, silentAddress } from './silent.ts'
import { measureTrips } from './trips.ts'

const processes = 4
const domainsOfEach = 25
const namesOfEach = 10
const deadMost = 5
const rounds = 3
const pairs = 5
const lookupsOfRun = 10_000
const perSecond = 500
const coldAtOnce = 16
const atOnce = 64
/** Domains that are looked up one after the other, half of them with a dead host before their own. */
const hostsCompared = 10

const domains = names('d', processes * domainsOfEach)
const deadDomains = names('dead', deadMost)
const plainDomains = names('plain', hostsCompared * rounds)
const firstDeadDomains = names('first', hostsCompared * rounds)
const askers = Array.from({ length: rounds + 2 * pairs }, (_, at) => ({
  name: `asker${at}`,
  address: `127.77.20.${40 + at}`,
  domain: `asker${at}.example`,
  user: parseAddress(`edgar@asker${at}.example`),
}))

function names(word: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${word}${at}.example`)
}

function readersOf(domain: string, count = namesOfEach): Address[] {
  return Array.from({ length: count }, (_, at) => parseAddress(`reader${at}@${domain}`))
}

export const routing: Bench = async ({ seconds, onProgress }) => {
  await using silent = await Silent.listen()
  onProgress(`starting ${processes + askers.length} servers`)
  await using servers = await start()
  const figures = await measureTrips()
  figures.push(...(await measureRungs(servers, { onProgress, ms: seconds * 50 })))
  figures.push(...(await measureMoved(servers, onProgress)))
  silent.check()
  return figures
}

function start(): Promise<Federation> {
  const hosts = Array.from({ length: processes }, (_, at) => {
    const own = domains.slice(at * domainsOfEach, (at + 1) * domainsOfEach)
    const compared = at === 0 ? [...plainDomains, ...firstDeadDomains] : []
    const users = [
      ...own.flatMap(domain => readersOf(domain)),
      ...compared.flatMap(domain => readersOf(domain, 1)),
    ]
    return { name: `many${at}`, address: `127.77.20.${20 + at}`, domains: [...own, ...compared], users }
  })
  return Federation.start({
    hosts: [
      ...askers.map(({ name, address, domain, user }) => ({
        ...{ name, address, domains: [domain], users: [user] },
      })),
      ...hosts,
    ],
    dead: deadDomains.map((domain, at) => ({
      domain,
      address: at % 2 === 0 ? silentAddress : refusingAddress,
    })),
    first: { domains: firstDeadDomains, address: silentAddress },
  })
}

/** A client of a server that has looked up nobody yet. */
async function connect(servers: Federation, at: number): Promise<Connection> {
  const asker = askers[at]
  if (asker === undefined) throw new Error(`no asker ${at}`)
  return servers.logIn(servers.end(asker.name), asker.user)
}

/** @throws where the outcome is another than it must be */
async function find(connection: Connection, address: Address, wanted = 'found'): Promise<void> {
  const { answer } = await connection.request({ address, effort: 'lookup' })
  if (answer.outcome !== wanted) throw new Error(`${address}: ${JSON.stringify(answer)}`)
}

/** Lookups a second, so many at once. */
async function rateOf(connection: Connection, sought: Iterable<Address>, most: number): Promise<number> {
  const rest = sought[Symbol.iterator]()
  const startMs = performance.now()
  let count = 0
  const ask = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      await find(connection, next.value)
      count++
    }
  }
  await Promise.all(Array.from({ length: most }, ask))
  return (count * 1000) / (performance.now() - startMs)
}

/** The same people over and over. */
function* circling(sought: readonly Address[], ms: number): Generator<Address> {
  const untilMs = performance.now() + ms
  for (let at = 0; performance.now() < untilMs; at++) yield sought[at % sought.length] as Address
}

interface RungOptions extends Pick<BenchOptions, 'onProgress'> {
  /** For the cache of one round. */
  readonly ms: number
}

async function measureRungs(servers: Federation, { ms, onProgress }: RungOptions): Promise<Figure[]> {
  const rates = { cold: [] as number[], warm: [] as number[], cache: [] as number[], own: [] as number[] }
  const tookMs = { plain: [] as number[], first: [] as number[] }
  const verifications: number[] = []
  for (let round = 0; round < rounds; round++) {
    verifications.push(measureVerifications(200))
    const connection = await connect(servers, round)
    const own = askers[round]?.user as Address
    // Code that has run before, and a connection on which something was said.
    await rateOf(connection, circling([own], 500), atOnce)
    const first = domains.map(domain => readersOf(domain, 1)[0] as Address)
    rates.cold.push(await rateOf(connection, first, coldAtOnce))
    const others = domains.flatMap(domain => readersOf(domain).slice(1))
    rates.warm.push(await rateOf(connection, others, atOnce))
    rates.own.push(await rateOf(connection, circling([own], ms), atOnce))
    rates.cache.push(await rateOf(connection, circling([...first, ...others], ms), atOnce))
    for (let at = round * hostsCompared; at < (round + 1) * hostsCompared; at++) {
      tookMs.plain.push(await timeOf(connection, plainDomains[at] ?? ''))
      tookMs.first.push(await timeOf(connection, firstDeadDomains[at] ?? ''))
    }
    connection.close()
    onProgress(
      `lookups/s: cold ${rates.cold.map(Math.round).join(', ')}; warm ${rates.warm.map(Math.round).join(', ')}; cache ${rates.cache.map(Math.round).join(', ')}`,
    )
  }
  const plainMs = median(tookMs.plain)
  return [
    figure('lookup/cache', median(rates.cache), 'lookups/s', median(rates.own)),
    figure('lookup/warm', median(rates.warm), 'lookups/s', median(verifications)),
    figure('lookup/cold', median(rates.cold), 'lookups/s', median(rates.warm)),
    figure('lookup/cold-alone', plainMs, 'ms'),
    figure('lookup/dead-first', median(tookMs.first) - plainMs, 'ms', 300),
  ]
}

async function timeOf(connection: Connection, domain: string): Promise<number> {
  const startMs = performance.now()
  await find(connection, readersOf(domain, 1)[0] as Address)
  return performance.now() - startMs
}

/** The p99 of who can be found, among domains that are gone and without, each time at a server that knows nobody. */
async function measureMoved(servers: Federation, onProgress: BenchOptions['onProgress']): Promise<Figure[]> {
  const living = domains.flatMap(domain => readersOf(domain))
  const mixed = [...domains.slice(deadMost), ...deadDomains].flatMap(domain => readersOf(domain))
  const p99 = { alone: [] as number[], among: [] as number[] }
  for (let pair = 0; pair < pairs; pair++) {
    // Whoever is first finds a machine that rested.
    const order = pair % 2 === 0 ? (['alone', 'among'] as const) : (['among', 'alone'] as const)
    for (const [at, which] of order.entries()) {
      const connection = await connect(servers, rounds + 2 * pair + at)
      p99[which].push(await measureRun(connection, which === 'alone' ? living : mixed))
      connection.close()
    }
    const told = (values: readonly number[]): string => values.map(each => each.toFixed(1)).join(', ')
    onProgress(`p99 in ms: ${told(p99.alone)}; among dead ones ${told(p99.among)}`)
  }
  const ratios = p99.among.map((ms, at) => ms / (p99.alone[at] ?? ms))
  return [
    figure('lookup/p99', median(p99.alone), 'ms'),
    figure('lookup/p99-dead', median(p99.among), 'ms', median(p99.alone)),
    figure('lookup/p99-moved', median(ratios), 'ratio', 1.2),
  ]
}

/** At a steady pace, in an order that has nothing to do with the domains: the p99 in ms of those who are found. */
async function measureRun(connection: Connection, sought: readonly Address[]): Promise<number> {
  const dead = new Set(deadDomains)
  const tookMs: number[] = []
  const running: Promise<void>[] = []
  const startMs = performance.now()
  for (let at = 0; at < lookupsOfRun; at++) {
    const dueMs = startMs + (at * 1000) / perSecond
    if (dueMs > performance.now()) await sleep(dueMs - performance.now())
    // 7 and the number of names have no common divisor: each comes once in every round.
    const address = sought[(at * 7) % sought.length] as Address
    const isDead = dead.has(address.slice(address.indexOf('@') + 1))
    const askedMs = performance.now()
    running.push(
      find(connection, address, isDead ? 'unreachable' : 'found').then(() => {
        if (!isDead) tookMs.push(performance.now() - askedMs)
      }),
    )
  }
  await Promise.all(running)
  return quantile(tookMs, 0.99)
}
