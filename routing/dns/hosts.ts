/**
 * The hosts of a domain in the order to try them (protocol §10): SRV, else MX, else the domain itself.
 * Each rung is left only when DNS says that it has nothing; a failure of DNS is never taken for that.
 */

import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Answer, MxRecord, Resolver, SrvRecord } from './resolver.ts'

export type HostRung = 'srv' | 'mx' | 'address'

export interface Host {
  /** Lower case, no trailing dot. */
  readonly host: string
  readonly port: number
  /** IPv4 first, at least one; not yet judged by the guard. */
  readonly addresses: readonly string[]
}

/** One question of the search: what `fmtp trace` shows. */
export interface HostStep {
  readonly rung: HostRung
  /** The name that was asked for. */
  readonly name: string
  /** `refused`: a null MX, or SRV `.`, which ends the search; `failed`: DNS did. */
  readonly outcome: 'found' | 'absent' | 'refused' | 'failed'
  /** Records as a zone has them: `10 mail.poe.net`. None where DNS failed. */
  readonly answers: readonly string[]
  /** The name server that said so. */
  readonly server?: string
  /** Milliseconds it took. */
  readonly tookMs: number
}

export interface SkippedHost {
  readonly host: string
  /** FMTP_NO_HOST: it has no address; FMTP_DNS_FAILED: nobody could say; FMTP_BAD_NAME: no name of a host. */
  readonly code: 'FMTP_NO_HOST' | 'FMTP_DNS_FAILED' | 'FMTP_BAD_NAME'
}

export interface Hosts {
  readonly hosts: readonly Host[]
  readonly via: HostRung
  /** DNSSEC vouches for all of it: which hosts, and their addresses. */
  readonly isSecure: boolean
  readonly skipped: readonly SkippedHost[]
  readonly trail: readonly HostStep[]
}

export interface FindHostsOptions {
  /** At least 0, below 1; for the weights of SRV and the order of equal MX. Default: Math.random. */
  readonly random?: () => number
  readonly signal?: AbortSignal
  /** Called at the end of each step, so that a search that throws can be told as well. */
  readonly onStep?: (step: HostStep) => void
}

type Target = Omit<Host, 'addresses'>

/** A zone may name hundreds; asking for all of them would make us a tool against others. */
const mostHosts = 16
const mostAddresses = 16

/**
 * The hosts of a domain that have addresses, best first.
 * @throws {FmtpError} FMTP_NO_HOST when the domain names none, refuses (null MX, SRV `.`), or none has an address;
 *   FMTP_DNS_FAILED (temporary) when name servers did not say.
 */
export async function findHosts(
  resolver: Resolver,
  domain: string,
  options: FindHostsOptions = {},
): Promise<Hosts> {
  const { random = Math.random, signal, onStep } = options
  const query = signal === undefined ? {} : { signal }
  const trail: HostStep[] = []
  const record = (taken: HostStep): void => {
    trail.push(taken)
    onStep?.(taken)
  }

  const srvName = `_fmtp._tcp.${domain}`
  const srv = await step(record, { rung: 'srv', name: srvName }, () => resolver.srv(srvName, query))
  if (srv.records.length > 0) {
    const targets = orderByWeight(srv.records.filter(isNamed), random).map(({ host, port }) => ({
      host,
      port,
    }))
    return resolveAll(resolver, targets, { domain, via: 'srv', isSecure: srv.isSecure, trail, query })
  }

  const mx = await step(record, { rung: 'mx', name: domain }, () => resolver.mx(domain, query))
  if (mx.records.length > 0) {
    const targets = orderByPreference(mx.records.filter(isNamed), random).map(({ host }) => ({
      host,
      port: limits.defaultPort,
    }))
    // That there is no SRV must be vouched for too.
    const isSecure = srv.isSecure && mx.isSecure
    return resolveAll(resolver, targets, { domain, via: 'mx', isSecure, trail, query })
  }

  const own = await step(record, { rung: 'address', name: domain }, () => resolver.addresses(domain, query))
  if (own.records.length === 0) throw new FmtpError('FMTP_NO_HOST', `${domain}: neither SRV, MX nor address`)
  const host = { host: domain, port: limits.defaultPort, addresses: own.records.slice(0, mostAddresses) }
  const isSecure = srv.isSecure && mx.isSecure && own.isSecure
  return { hosts: [host], via: 'address', isSecure, skipped: [], trail }
}

/** By priority, lowest first; inside one priority drawn by weight (RFC 2782). */
export function orderByWeight(records: readonly SrvRecord[], random: () => number): readonly SrvRecord[] {
  return groupBy(records, record => record.priority).flatMap(group => {
    // Those of weight 0 stand first, which gives them their very small chance.
    const rest = group.toSorted((a, b) => Math.sign(a.weight) - Math.sign(b.weight))
    const drawn: SrvRecord[] = []
    while (rest.length > 0) {
      const sum = rest.reduce((total, { weight }) => total + weight, 0)
      const lot = Math.floor(random() * (sum + 1))
      let running = 0
      const index = rest.findIndex(({ weight }) => {
        running += weight
        return running >= lot
      })
      drawn.push(...rest.splice(Math.max(index, 0), 1))
    }
    return drawn
  })
}

/** By preference, lowest first; equal ones in random order, to share the load (RFC 5321 §5.1). */
export function orderByPreference(records: readonly MxRecord[], random: () => number): readonly MxRecord[] {
  return groupBy(records, record => record.preference).flatMap(group => {
    const rest = [...group]
    const drawn: MxRecord[] = []
    while (rest.length > 0) drawn.push(...rest.splice(Math.floor(random() * rest.length), 1))
    return drawn
  })
}

function groupBy<T>(records: readonly T[], keyOf: (record: T) => number): readonly (readonly T[])[] {
  const groups = new Map<number, T[]>()
  for (const record of records) {
    const group = groups.get(keyOf(record))
    if (group === undefined) groups.set(keyOf(record), [record])
    else group.push(record)
  }
  return [...groups].toSorted(([a], [b]) => a - b).map(([, group]) => group)
}

/** `.` is no host: alone it refuses, beside others it is a mistake that is passed over. */
function isNamed({ host }: { readonly host: string }): boolean {
  return host !== '.'
}

/** A record as a zone file has it. */
function textOf(record: MxRecord | SrvRecord | string): string {
  if (typeof record === 'string') return record
  if ('preference' in record) return `${record.preference} ${record.host}`
  return `${record.priority} ${record.weight} ${record.port} ${record.host}`
}

async function step<T extends MxRecord | SrvRecord | string>(
  record: (step: HostStep) => void,
  { rung, name }: Pick<HostStep, 'rung' | 'name'>,
  ask: () => Promise<Answer<T>>,
): Promise<Answer<T>> {
  const startedAt = performance.now()
  const end = (outcome: HostStep['outcome'], said?: Answer<T>): void =>
    record({
      ...{ rung, name, outcome, tookMs: Math.round(performance.now() - startedAt) },
      answers: (said?.records ?? []).map(textOf),
      ...(said === undefined ? {} : { server: said.server }),
    })
  let answer: Answer<T>
  try {
    answer = await ask()
  } catch (error) {
    end('failed')
    throw error
  }
  if (answer.records.length === 0) end('absent', answer)
  else if (answer.records.some(item => typeof item === 'string' || isNamed(item))) end('found', answer)
  else {
    end('refused', answer)
    throw new FmtpError('FMTP_NO_HOST', `${name}: ${rung} says that nothing is offered`)
  }
  return answer
}

async function resolveAll(
  resolver: Resolver,
  targets: readonly Target[],
  {
    domain,
    via,
    isSecure,
    trail,
    query,
  }: Pick<Hosts, 'via' | 'isSecure' | 'trail'> & { domain: string; query: { signal?: AbortSignal } },
): Promise<Hosts> {
  const unique = new Map(targets.map(target => [`${target.host} ${target.port}`, target]))
  const wanted = [...unique.values()].slice(0, mostHosts)
  let areSecure = isSecure
  const results = await Promise.all(
    wanted.map(async (target): Promise<Host | SkippedHost> => {
      try {
        const answer = await resolver.addresses(target.host, query)
        areSecure &&= answer.isSecure
        return { ...target, addresses: answer.records.slice(0, mostAddresses) }
      } catch (error) {
        const { code } = toFmtpError(error)
        if (code !== 'FMTP_DNS_FAILED' && code !== 'FMTP_BAD_NAME') throw error
        return { host: target.host, code }
      }
    }),
  )
  const hosts: Host[] = []
  const skipped: SkippedHost[] = []
  for (const result of results) {
    if ('code' in result) skipped.push(result)
    else if (result.addresses.length === 0) skipped.push({ host: result.host, code: 'FMTP_NO_HOST' })
    else hosts.push(result)
  }
  if (hosts.length > 0) return { hosts, via, isSecure: areSecure, skipped, trail }
  const names = skipped.map(({ host, code }) => `${host} ${code}`).join(', ')
  const hasFailed = skipped.some(({ code }) => code === 'FMTP_DNS_FAILED')
  throw new FmtpError(hasFailed ? 'FMTP_DNS_FAILED' : 'FMTP_NO_HOST', `${domain} via ${via}: ${names}`)
}
