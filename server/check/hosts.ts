/** Where DNS leads for a domain (protocol §10.2): each host and address is called, and must be this very server. */
import type { Guard } from '../../routing/connect/dial-guard.ts'
import { hostPort } from '../../routing/connect/round-trips.ts'
import { findHosts, type Hosts } from '../../routing/dns/hosts.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { Domain } from '../../schemas/text/names.ts'
import { type Called, type CallPlace, type CallPorts, callAsGuest } from './call.ts'
import { eachOf, fail, ok, reasonOf, type Verdict, type Verdicts, warn } from './finding.ts'
import { secureText } from './key-records.ts'

export interface HostPorts extends CallPorts {
  readonly resolver: Resolver
  readonly guard: Guard
  /** Whether a connection that is bound by this has come to the running server; `undefined`: none runs. */
  witness(binding: string): Promise<boolean | undefined>
}

const callsAtOnce = 8

/** A verdict for the records, and one for each address. */
export async function checkHosts(domain: Domain, ports: HostPorts): Promise<Verdicts> {
  const { resolver, signal } = ports
  let found: Hosts
  try {
    found = await findHosts(resolver, domain, { signal })
  } catch (thrown) {
    return [fail(reasonOf(thrown), adviceOnNone(thrown, domain))]
  }
  const places = found.hosts.flatMap(({ host, port, addresses }) =>
    addresses.map((address): CallPlace => ({ host, address, port })),
  )
  const records = await checkRecords(domain, found, resolver)
  return [...records, ...(await callAll(domain, places, ports))]
}

function adviceOnNone(thrown: unknown, domain: Domain): string {
  if (thrown instanceof FmtpError && thrown.code === 'FMTP_NO_HOST')
    return `Publish where this server is: _fmtp._tcp.${domain}. IN SRV 0 0 ${limits.defaultPort} HOST. (fmtp zone prints it)`
  return 'Ask the name servers of dns.servers by hand; without an answer nobody finds this server.'
}

async function checkRecords(domain: Domain, found: Hosts, resolver: Resolver): Promise<Verdict[]> {
  const { via, hosts, skipped, isSecure, trail } = found
  const verdicts = skipped.map(({ host, code }) =>
    code === 'FMTP_DNS_FAILED'
      ? warn(`${host} can not be asked for (${code})`, 'Ask the name servers of that name by hand.')
      : fail(`${host}, which DNS names, has no address (${code})`, `Publish A or AAAA of ${host}.`),
  )
  const ttlMs = await longestTtl(domain, found, resolver)
  if (ttlMs > limits.keyMostMs)
    verdicts.push(
      warn(
        `records that lead here have a TTL of ${Math.round(ttlMs / 1000)} s`,
        'Make it a day at most: so long others go to the old place when the server moves.',
      ),
    )
  if (verdicts.length > 0) return verdicts
  const answers = trail.find(({ rung }) => rung === via)?.answers ?? []
  const text = via === 'address' ? hosts.map(({ host }) => host).join(', ') : answers.join(' | ')
  return [
    ok(`${via.toUpperCase()} ${text}, TTL up to ${Math.round(ttlMs / 1000)} s, ${secureText(isSecure)}`),
  ]
}

/** Of all records on the way. They were asked for a moment ago, and come from memory. */
async function longestTtl(domain: Domain, { via, hosts }: Hosts, resolver: Resolver): Promise<number> {
  const asked = [
    ...(via === 'srv' ? [resolver.srv(`_fmtp._tcp.${domain}`)] : []),
    ...(via === 'mx' ? [resolver.mx(domain)] : []),
    ...hosts.map(({ host }) => resolver.addresses(host)),
  ]
  const answers = await Promise.allSettled<{ readonly ttlMs: number }>(asked)
  return Math.max(0, ...answers.map(each => (each.status === 'fulfilled' ? each.value.ttlMs : 0)))
}

function callAll(domain: Domain, places: readonly CallPlace[], ports: HostPorts): Promise<Verdicts> {
  return eachOf(places, callsAtOnce, async place => {
    const { host, address, port } = place
    const verdict = await callPlace(domain, place, ports)
    return { ...verdict, check: 'host', about: `${domain} ${host} (${hostPort(address, port)})` }
  })
}

async function callPlace(domain: Domain, place: CallPlace, ports: HostPorts): Promise<Verdict> {
  let called: Called
  try {
    ports.guard.check(place.address, place.port)
    called = await callAsGuest(domain, place, ports)
  } catch (thrown) {
    return judgeFailure(domain, place, thrown)
  }
  try {
    const { name } = called.probe
    if (name !== domain) return ok(`is the parent ${name}, which answers for it`)
    return judgeWitness(await ports.witness(called.binding))
  } finally {
    called.probe.close()
  }
}

/** `isOurs`: this server has the connection; `undefined`: no server runs here. */
function judgeWitness(isOurs: boolean | undefined): Verdict {
  if (isOurs === true) return ok('answers with the key of the domain, and is this server')
  return fail(
    isOurs === undefined
      ? 'answers with the key of the domain, though no server runs on this data folder'
      : 'answers with the key of the domain, but is another server than the one that runs here',
    'Another server has the keys, and what it takes does not come here: an old one after a move, or a copy of the data folder. Stop it, or correct the records.',
  )
}

function judgeFailure(domain: Domain, { host, address, port }: CallPlace, thrown: unknown): Verdict {
  // Where it was, the line says already.
  const says = reasonOf(thrown)
    .replace(`${host} (${address}:${port})`, '')
    .replace(/^[: ]+/, '')
  const code = thrown instanceof FmtpError ? thrown.code : undefined
  const cause =
    thrown instanceof Error ? (thrown.cause as { readonly code?: unknown } | undefined) : undefined
  if (address.includes(':') && (cause?.code === 'ENETUNREACH' || cause?.code === 'EADDRNOTAVAIL'))
    return warn(
      `not checked: this machine has no way to IPv6 (${says})`,
      `Others call it first or last: have it tried from elsewhere with fmtp trace ${domain}, or take the AAAA record of ${host} out.`,
    )
  return fail(says, (code === undefined ? undefined : advices[code]) ?? generalAdvice)
}

const generalAdvice = 'Others fail here as well. Look at the log of the server, and at what stands between.'

const advices: Readonly<Partial<Record<FailureCode, string>>> = {
  FMTP_GUARDED:
    'Other servers do not dial such an address or port. Publish a public address; inside an organisation, guard.allow names its networks.',
  FMTP_CONNECT_FAILED:
    'Is the server down, does it listen on another address or port (listen.tcp), is a firewall between? A router may not let its own side come in by the outer address: then try fmtp trace from elsewhere.',
  FMTP_HELLO_TIMEOUT: 'Something listens there that speaks no FMTP, or hangs: the records lead elsewhere.',
  FMTP_NOT_MINE: 'Another server listens there, which does not serve this domain: correct the records.',
  FMTP_WRONG_PEER: 'Another domain answers there: correct the records.',
  FMTP_PROOF: 'Who answers there has another key: an old server, or somebody else. Correct the records.',
}
