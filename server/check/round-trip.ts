/**
 * What a stranger gets who looks this server up: DNS, host, TLS, hello and the domain's own object, held against the one in the
 * store; by TCP, and by UDP where it is offered.
 */
import { systemClock } from '../../objects/clock.ts'
import { createBreaker } from '../../routing/connect/circuit-breaker.ts'
import { createReach } from '../../routing/connect/connect.ts'
import type { Guard } from '../../routing/connect/dial-guard.ts'
import type { Peer } from '../../routing/connect/peer.ts'
import { createRoundTrips, hostPort } from '../../routing/connect/round-trips.ts'
import { createRoutes } from '../../routing/connect/told-contacts.ts'
import type { DnsKeys } from '../../routing/dns/domain-keys.ts'
import type { Resolver } from '../../routing/dns/resolver.ts'
import { createNote } from '../../routing/ladder.ts'
import { exchangeDatagrams } from '../../routing/lookup/datagram.ts'
import type { Domain } from '../../schemas/text/names.ts'
import type { HealthResult } from '../operator/health.ts'
import { askForServer, type CallPlace, type CallPorts, callAsGuest, requireSealed } from './call.ts'
import { fail, ok, reasonOf, skip, type Verdict, warn } from './finding.ts'

export interface TripPorts extends CallPorts {
  readonly keys: DnsKeys
  readonly resolver: Resolver
  readonly guard: Guard
  /** What the running server has; `undefined`: none runs. */
  readonly health: HealthResult | undefined
}

const clock = systemClock
const fromLog = 'Look at the checks above, at the log of the server, and at the steps of: fmtp trace'

/** The whole public path. */
export async function checkRoundTrip(domain: Domain, ports: TripPorts): Promise<readonly Verdict[]> {
  const opened: { close(): void }[] = []
  const dial = async (place: CallPlace, signal: AbortSignal): Promise<Peer> => {
    const { probe } = await callAsGuest(domain, place, {
      ...ports,
      signal: AbortSignal.any([signal, ports.signal]),
    })
    opened.push(probe)
    return probe
  }
  const reach = createReach({
    ...{ resolver: ports.resolver, keys: ports.keys, guard: ports.guard, clock },
    dial: ({ host, address, port }, _note, signal) => dial({ host, address, port }, signal),
    peers: { find: () => undefined },
    breaker: createBreaker(clock),
    roundTrips: createRoundTrips(),
    routes: createRoutes(clock),
    random: Math.random,
    isIsland: false,
  })
  const startMs = performance.now()
  try {
    const peer = await reach.front(domain, domain, createNote('check', { clock }), true)
    return [await compare(domain, peer, ports, startMs)]
  } catch (thrown) {
    return [
      fail(
        `a stranger who asks for ${domain} gets nothing: ${reasonOf(thrown)}`,
        `${fromLog} ${domain} --guest`,
      ),
    ]
  } finally {
    for (const probe of opened) probe.close()
  }
}

/** Where there is no DNS: by the listeners of the server. */
export async function checkLocalTrip(domain: Domain, ports: TripPorts): Promise<readonly Verdict[]> {
  const { health } = ports
  if (health === undefined) return [skip('no server runs on this data folder')]
  const verdicts: Verdict[] = []
  for (const { address, port } of health.listeners.tcp) {
    const startMs = performance.now()
    const place = { host: address, address: reachable(address), port }
    try {
      const { probe } = await callAsGuest(domain, place, ports)
      verdicts.push(await compare(domain, probe, ports, startMs).finally(() => probe.close()))
    } catch (thrown) {
      verdicts.push(fail(`${hostPort(address, port)}: ${reasonOf(thrown)}`, 'Look at the log of the server.'))
    }
  }
  return verdicts.length > 0 ? verdicts : [skip('listen.tcp is empty')]
}

/** An address at which a listener on all addresses answers. */
export function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  return address === '::' ? '::1' : address
}

async function compare(domain: Domain, peer: Peer, ports: TripPorts, startMs: number): Promise<Verdict> {
  const got = await askForServer(domain, peer, ports)
  const ms = Math.round(performance.now() - startMs)
  return judge(domain, got, ports.health, `a stranger gets server.${domain} from ${peer.host} in ${ms} ms`)
}

function judge(
  domain: Domain,
  got: { readonly version: number; readonly digest: string },
  health: HealthResult | undefined,
  says: string,
): Verdict {
  const kept = health?.servers.find(each => each.domain === domain)
  if (kept === undefined)
    return fail(
      `${says}, which can not be compared with what is here`,
      health === undefined
        ? 'No server runs on this data folder: another one answers in its place.'
        : `The running server does not serve ${domain}: was it started after the config was changed?`,
    )
  if (kept.version === got.version && kept.digest === got.digest) return ok(`${says}, as it is in the store`)
  const [theirs, ours] = [got.version, kept.version].map(ms => new Date(ms).toISOString())
  return fail(
    `${says}, but of ${theirs}, and the one in the store is of ${ours}`,
    'Another server answers, or a parent that keeps an old copy.',
  )
}

/** SRV for UDP and who answers there, where `listen.udp` is set; and that there is none where it is not. */
export async function checkUdp(domain: Domain, ports: TripPorts): Promise<readonly Verdict[]> {
  const { resolver, health, guard, signal } = ports
  const name = `_fmtp._udp.${domain}`
  const { records } = await resolver.srv(name, { fresh: true, signal })
  const named = records.filter(({ host }) => host !== '.')
  if (health === undefined) return [skip('no server runs on this data folder')]
  const [listener] = health.listeners.udp
  if (listener === undefined) {
    if (named.length === 0) return [skip('listen.udp is not set')]
    return [
      fail(
        `${name} names ${named.map(({ host, port }) => hostPort(host, port)).join(', ')}, but listen.udp is not set`,
        'Whoever looks somebody up here waits a second for nothing: take the record out, or set listen.udp.',
      ),
    ]
  }
  if (named.length === 0)
    return [
      warn(
        `listen.udp is set, but nobody uses it: ${name} is not in DNS`,
        `Publish: ${name}. IN SRV 0 0 ${listener.port} HOST. (fmtp zone prints it)`,
      ),
    ]
  const verdicts: Verdict[] = []
  for (const { host, port } of named.slice(0, placesMost)) {
    const { records: addresses } = await resolver.addresses(host, { signal })
    if (addresses.length === 0) verdicts.push(fail(`${host} has no address`, `Publish A or AAAA of ${host}.`))
    for (const address of addresses.slice(0, placesMost)) {
      const where = `${host} (${hostPort(address, port)})`
      try {
        guard.check(address, port)
        verdicts.push(await askOne(domain, { host, address, port }, where, ports))
      } catch (thrown) {
        verdicts.push(
          fail(
            `${where}: ${reasonOf(thrown)}`,
            'Open the port for UDP, and name the very address in listen.udp on a machine with several.',
          ),
        )
      }
    }
  }
  return verdicts
}

const placesMost = 4

async function askOne(
  domain: Domain,
  { address, port }: CallPlace,
  where: string,
  ports: TripPorts,
): Promise<Verdict> {
  const { outcome, code, object } = await exchangeDatagrams({ address, port }, { address: domain }, clock)
  if (code === 'FMTP_USE_STREAM') return ok(`${where} answers`)
  if (outcome !== 'found' || object === undefined)
    return fail(`${where} has no server.${domain}: ${code ?? outcome}`, 'Another server answers there.')
  const got = await requireSealed(ports.kinds.parseObject(object), ports)
  return judge(domain, got, ports.health, `${where} gives server.${domain}`)
}
