/**
 * The Resolver over dns2's codec and our own transport (protocol §10). The package's client asks all servers
 * at once, lets the first failure win and gives NXDOMAIN and SERVFAIL out as answers; here servers are asked
 * one after the other, only NOERROR and NXDOMAIN are answers, and what is kept is bounded.
 */

import { randomInt } from 'node:crypto'
import { getServers } from 'node:dns'
import { setMaxListeners } from 'node:events'
import { isIP } from 'node:net'
import { Packet } from 'dns2'
import { type Clock, systemClock } from '../../objects/clock.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import { isLoopback } from '../ip.ts'
import { AnswerCache } from './cache.ts'
import { datagramBytes, findHead, isAnswerTo, isHarmless } from './message.ts'
import type { Answer, MxRecord, QueryOptions, Resolver, SrvRecord } from './resolver.ts'
import { type Ask, askByTcp, askByUdp, type NameServer } from './transport.ts'

export interface ResolverOptions {
  /** `ip`, `ip:port` or `[v6]:port`, in the order they are asked; the port is 53 if none is named. */
  readonly servers: readonly string[]
  /** The most one query may take with all fail-overs, in ms. Default: `limits.dnsMs`. */
  readonly timeoutMs?: number
  /** The most one server may take in the first round, in ms. Default: 1 s, or a third of `timeoutMs`. */
  readonly attemptMs?: number
  /** Default: the system's. */
  readonly clock?: Clock
}

type Type = 'A' | 'AAAA' | 'MX' | 'SRV' | 'TXT'
type RecordSet = Answer<Packet['answers'][number]>

/** A proper answer of one server to one question, before CNAMEs are followed. */
interface Reply {
  readonly packet: Packet
  readonly isTruncated: boolean
  readonly isSecure: boolean
  readonly server: NameServer
  readonly bytes: number
}

/** Where a chain of CNAMEs has come to. */
interface Chain {
  readonly name: string
  readonly length: number
  readonly ttlMs: number
  readonly isSecure: boolean
}

const rounds = 3
/** Timers fire a little early; what is left then is no time to ask in. */
const leastAttemptMs = 5
const mostAliases = 8
const mostQueriesAtOnce = 200
const absentMs = 60_000
/** How long a server that was silent is asked last. */
const silentMs = 30_000
const noErrorCode = 0
const formErrorCode = 1
const nameErrorCode = 3

/**
 * A Resolver that asks these name servers. Dispose it: running queries then fail, and its sockets close.
 * @throws {FmtpError} FMTP_CONFIG when a server is no IP address, or none is named.
 */
export function createResolver(options: ResolverOptions): Resolver & AsyncDisposable {
  return new DnsResolver(options)
}

/** The name servers of this machine, as `createResolver` takes them. */
export function systemServers(): readonly string[] {
  return getServers()
}

class DnsResolver implements Resolver, AsyncDisposable {
  readonly #servers: readonly NameServer[]
  readonly #timeoutMs: number
  readonly #attemptMs: number
  readonly #clock: Clock
  readonly #cache: AnswerCache<RecordSet>
  readonly #flights = new Map<string, Promise<RecordSet>>()
  readonly #silentAt = new Map<NameServer, number>()
  readonly #closing = new AbortController()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor({ servers, timeoutMs = limits.dnsMs, attemptMs, clock = systemClock }: ResolverOptions) {
    if (servers.length === 0) throw new FmtpError('FMTP_CONFIG', 'no name server is named')
    this.#servers = servers.map(parseServer)
    this.#timeoutMs = timeoutMs
    this.#attemptMs = attemptMs ?? Math.min(1000, timeoutMs / 3)
    this.#clock = clock
    this.#cache = new AnswerCache(clock)
    setMaxListeners(0, this.#closing.signal)
  }

  async txt(name: string, options: QueryOptions = {}): Promise<Answer<string>> {
    const answer = await this.#find(name, 'TXT', options)
    return {
      ...answer,
      records: answer.records.map(({ data }) => (Array.isArray(data) ? data.join('') : '')),
    }
  }

  async mx(name: string, options: QueryOptions = {}): Promise<Answer<MxRecord>> {
    const answer = await this.#find(name, 'MX', options)
    const records = answer.records.map(({ exchange, priority = 0 }) => ({
      host: hostName(exchange),
      preference: priority,
    }))
    return { ...answer, records }
  }

  async srv(name: string, options: QueryOptions = {}): Promise<Answer<SrvRecord>> {
    const answer = await this.#find(name, 'SRV', options)
    const records = answer.records.map(({ target, port = 0, priority = 0, weight = 0 }) => ({
      host: hostName(target),
      port,
      priority,
      weight,
    }))
    return { ...answer, records }
  }

  async addresses(name: string, options: QueryOptions = {}): Promise<Answer<string>> {
    const tries = await Promise.allSettled([
      this.#find(name, 'A', options),
      this.#find(name, 'AAAA', options),
    ])
    const answers = tries.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    const full = answers.filter(answer => answer.records.length > 0)
    const [first = answers[0]] = full
    const failed = tries.find(result => result.status === 'rejected')
    // Half an answer is one only if it holds addresses: "A is absent, AAAA failed" says nothing.
    if (first === undefined || (failed !== undefined && full.length === 0)) throw failed?.reason
    const used = full.length > 0 ? full : answers
    return {
      records: full.flatMap(answer => answer.records.map(record => record.address ?? '')),
      exists: answers.some(answer => answer.exists),
      ttlMs: Math.min(...used.map(answer => answer.ttlMs)),
      isSecure: used.every(answer => answer.isSecure),
      server: first.server,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new FmtpError('FMTP_DNS_FAILED', 'the resolver is closed'))
    await Promise.allSettled(this.#flights.values())
  }

  async #find(text: string, type: Type, { signal, fresh = false }: QueryOptions): Promise<RecordSet> {
    const name = parseName(text)
    signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    const key = `${type} ${name}`
    const kept = fresh ? undefined : this.#cache.find(key)
    if (kept !== undefined) return kept
    let flight = this.#flights.get(key)
    if (flight === undefined) {
      flight = this.#fly(name, type).finally(() => this.#flights.delete(key))
      this.#flights.set(key, flight)
    }
    return signal === undefined ? flight : await unlessAborted(flight, signal)
  }

  /** Asks, follows CNAMEs, keeps the answer. */
  async #fly(name: string, type: Type): Promise<RecordSet> {
    const deadline = this.#clock.steadyMs() + this.#timeoutMs
    await this.#takeTurn()
    try {
      let chain: Chain = { name, length: 0, ttlMs: Number.POSITIVE_INFINITY, isSecure: true }
      for (;;) {
        const reply = await this.#ask(chain.name, type, deadline)
        const next = follow(reply, type, chain)
        if ('records' in next) {
          this.#cache.keep(`${type} ${name}`, next, reply.bytes)
          return next
        }
        chain = next
      }
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }

  /** Waits until fewer than the most queries run: a flood of names must not eat all file descriptors. */
  async #takeTurn(): Promise<void> {
    while (this.#running >= mostQueriesAtOnce) {
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
    this.#running++
  }

  /** The first proper answer. One that fails is not asked again; one that is silent is, while time is left. */
  async #ask(name: string, type: Type, deadline: number): Promise<Reply> {
    const failures: string[] = []
    let servers = this.#inOrder()
    for (let round = 0; round < rounds; round++) {
      const silent: NameServer[] = []
      for (const server of servers) {
        const leftMs = deadline - this.#clock.steadyMs()
        if (leftMs < leastAttemptMs) break
        try {
          const reply = await this.#askServer(
            server,
            name,
            type,
            Math.min(leftMs, this.#attemptMs * 2 ** round),
          )
          this.#silentAt.delete(server)
          return reply
        } catch (error) {
          if (this.#closing.signal.aborted) throw this.#closing.signal.reason
          if (!(error instanceof FmtpError)) throw error
          failures.push(error.message)
          if (error.code !== 'FMTP_TIMEOUT') continue
          silent.push(server)
          this.#silentAt.set(server, this.#clock.steadyMs())
        }
      }
      servers = silent
    }
    throw new FmtpError('FMTP_DNS_FAILED', `${type} ${name}: ${failures.join('; ') || 'no time left'}`)
  }

  async #askServer(server: NameServer, name: string, type: Type, timeoutMs: number): Promise<Reply> {
    const until = this.#clock.steadyMs() + timeoutMs
    const ask = (hasEdns: boolean): Ask<Reply> => {
      const query = encodeQuery(name, type, hasEdns)
      return {
        server,
        query,
        timeoutMs: Math.max(1, until - this.#clock.steadyMs()),
        clock: this.#clock,
        signal: this.#closing.signal,
        read: message => readReply(message, query, server),
      }
    }
    let hasEdns = true
    let reply = await askByUdp(ask(hasEdns))
    if (reply.packet.header.rcode === formErrorCode) {
      // COMPAT: servers from before EDNS0 answer FORMERR (RFC 6891 §7).
      hasEdns = false
      reply = await askByUdp(ask(hasEdns))
    }
    if (reply.isTruncated) reply = await askByTcp(ask(hasEdns))
    requireProper(reply)
    return reply
  }

  #inOrder(): readonly NameServer[] {
    const now = this.#clock.steadyMs()
    const isSilent = (server: NameServer): boolean =>
      now - (this.#silentAt.get(server) ?? -silentMs) < silentMs
    return this.#servers.toSorted((a, b) => Number(isSilent(a)) - Number(isSilent(b)))
  }
}

function encodeQuery(name: string, type: Type, hasEdns: boolean): Buffer {
  const packet = new Packet()
  // AD asks for the AD bit of the answer (RFC 6840 §5.7); the package's types do not know it.
  const header = { id: randomInt(0x10000), rd: 1 as const, ad: 1 }
  packet.header = new Packet.Header(header)
  packet.questions.push(new Packet.Question(name, Packet.TYPE[type], Packet.CLASS.IN))
  if (hasEdns) packet.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: datagramBytes }))
  return packet.toBuffer()
}

/** The reply in a message; `undefined` for spoofed, foreign and undecodable ones. */
function readReply(message: Buffer, query: Buffer, server: NameServer): Reply | undefined {
  const head = findHead(message)
  if (head === undefined || !isAnswerTo(message, query)) return undefined
  const about = { isSecure: head.isAuthentic && isLoopback(server.ip), server, bytes: message.length }
  // A truncated message may end inside a record; nothing in it is used but the bit.
  if (head.isTruncated) return { packet: new Packet(), isTruncated: true, ...about }
  if (!isHarmless(message)) return undefined
  try {
    const packet = Packet.parse(message)
    // A record that does not decode makes the set incomplete: half a set would look like the whole.
    if (packet.errors.length > 0) return undefined
    return { packet, isTruncated: false, ...about }
  } catch {
    return undefined
  }
}

/** Passes NOERROR and NXDOMAIN, and neither truncated nor a mere referral. */
function requireProper({ packet, isTruncated, server }: Reply): void {
  const broken = (why: string): never => {
    throw new FmtpError('FMTP_DNS_FAILED', `${server.text}: ${why}`)
  }
  const { rcode, aa } = packet.header
  if (isTruncated) broken('truncated by TCP too')
  if (rcode !== noErrorCode && rcode !== nameErrorCode) broken(findCodeName(rcode))
  const has = (type: number): boolean => packet.authorities.some(record => record.type === type)
  const isReferral = has(Packet.TYPE.NS) && !has(Packet.TYPE.SOA) && aa === 0
  if (rcode === noErrorCode && packet.answers.length === 0 && isReferral) broken('referral: not a resolver')
}

/** Walks the CNAMEs inside one reply: to the records, to their absence, or to the next name to ask for. */
function follow({ packet, server, ...reply }: Reply, type: Type, from: Chain): RecordSet | Chain {
  let { name, length, ttlMs } = from
  const isSecure = from.isSecure && reply.isSecure
  const broken = (why: string): FmtpError => new FmtpError('FMTP_DNS_FAILED', `${server.text}: ${why}`)
  const result = (records: RecordSet['records'], exists: boolean, leastMs: number): RecordSet => ({
    records,
    exists,
    ttlMs: Math.min(ttlMs, leastMs),
    isSecure,
    server: server.text,
  })
  for (; length <= mostAliases; length++) {
    const here = packet.answers.filter(
      record => record.class === Packet.CLASS.IN && record.name.toLowerCase() === name,
    )
    const records = here.filter(record => record.type === Packet.TYPE[type])
    if (records.length > 0 && packet.header.rcode === noErrorCode) {
      return result(records, true, Math.min(...records.map(record => record.ttl * 1000)))
    }
    const alias = here.find(record => record.type === Packet.TYPE.CNAME)
    if (alias !== undefined) {
      name = hostName(alias.domain)
      ttlMs = Math.min(ttlMs, alias.ttl * 1000)
      continue
    }
    if (packet.header.rcode === nameErrorCode) return result([], false, findAbsentMs(packet))
    // An alias that leads out of this message is no absence unless an SOA says so: some servers follow no alias.
    const saysSo = packet.authorities.some(record => record.type === Packet.TYPE.SOA)
    if (name === from.name || saysSo) {
      if (packet.answers.length > 0 && name === from.name) {
        throw broken('records of other names only')
      }
      return result([], true, findAbsentMs(packet))
    }
    if (!isName(name)) throw broken(`alias to ${JSON.stringify(name)}`)
    return { name, length, ttlMs, isSecure }
  }
  throw broken(`more than ${mostAliases} aliases up to ${name}`)
}

/** How long absence may be believed (RFC 2308 §5). */
function findAbsentMs(packet: Packet): number {
  const soa = packet.authorities.find(record => record.type === Packet.TYPE.SOA)
  return soa === undefined ? absentMs : Math.min(soa.ttl, soa.minimum ?? soa.ttl) * 1000
}

function findCodeName(rcode: number): string {
  const found = Object.entries(Packet.RCODE).find(([, code]) => code === rcode)
  return found?.[0] ?? `RCODE ${rcode}`
}

/** The root, which the codec writes as the empty text, is `.` here. */
function hostName(text: string | undefined): string {
  return text === undefined || text === '' ? '.' : text.toLowerCase()
}

/** The codec cuts characters beyond ASCII to one octet, and so would ask for another name. */
function parseName(text: string): string {
  const name = text.toLowerCase()
  if (!isName(name)) throw new FmtpError('FMTP_BAD_NAME', `${JSON.stringify(text)} is not a name of A-labels`)
  return name
}

function isName(name: string): boolean {
  return name.length <= 253 && name.split('.').every(label => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label))
}

function parseServer(text: string): NameServer {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const ip = isIP(text) !== 0 ? text : (bracketed ?? plain ?? '')
  const port = isIP(text) !== 0 || portText === undefined ? 53 : Number(portText)
  if (isIP(ip) === 0 || port < 1 || port > 65535) {
    throw new FmtpError('FMTP_CONFIG', `name server ${JSON.stringify(text)} is not ip, ip:port or [v6]:port`)
  }
  return { ip, port, text: isIP(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}` }
}

async function unlessAborted<T>(flight: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort)
  })
  try {
    return await Promise.race([flight, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
