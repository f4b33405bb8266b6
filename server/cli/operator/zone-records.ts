/** What DNS has to say for a domain to be found, as lines of a zone that can be pasted (docs/operations.md). */

import { limits } from '../../../schemas/limits.ts'
import { findEndpoint, findParentRule, isIpv4, isIpv6 } from '../../../schemas/text/formats.ts'
import type { Domain } from '../../../schemas/text/names.ts'
import { readKeyFiles } from '../../check/own-keys.ts'
import type { LoadedConfig } from '../../config/load.ts'
import type { Place, RunningHealth } from '../../operator/health.ts'

const ttlSeconds = 3600

/** What is not known here stands in a comment. `listeners`: those of the running server. @throws {FmtpError} FMTP_CONFIG */
export function zoneRecords(
  domain: Domain,
  config: LoadedConfig,
  listeners?: RunningHealth['listeners'],
): string[] {
  if (domain === 'localhost') return ['; localhost needs no DNS']
  const host = hostOf(domain, config)
  const tcp = listeners?.tcp ?? placesOf(config.listen.tcp)
  const udp = listeners?.udp ?? placesOf(config.listen.udp)
  const records: (readonly [name: string, type: string, value: string])[] = []
  for (const { state, record } of readKeyFiles(config.data, domain))
    if (state !== 'retired') records.push([`fmtpkey.${domain}`, 'TXT', `"${record}"`])
  for (const port of portsOf(tcp)) records.push([`_fmtp._tcp.${domain}`, 'SRV', `0 0 ${port} ${host}.`])
  for (const port of portsOf(udp)) records.push([`_fmtp._udp.${domain}`, 'SRV', `0 0 ${port} ${host}.`])
  const addresses = [...new Set(tcp.map(({ address }) => address))]
  for (const address of addresses.filter(isNamed))
    records.push([host, address.includes(':') ? 'AAAA' : 'A', address])
  const width = Math.max(...records.map(([name]) => name.length)) + 1
  const lines = records.map(
    ([name, type, value]) => `${`${name}.`.padEnd(width)}  ${ttlSeconds}  IN ${type.padEnd(4)} ${value}`,
  )
  return [...lines, ...remarks(host, addresses, config)]
}

/** A name for the host: one that clients use, else one below the domain. */
function hostOf(domain: Domain, { listen, http }: LoadedConfig): string {
  const origin = http.originUrl === '' ? [] : [new URL(http.originUrl).hostname]
  const names = [...listen.hosts, ...origin].filter(each => !isIpv4(each) && !/[:[]/.test(each))
  return names[0] ?? `fmtp.${domain}`
}

function placesOf(endpoints: readonly string[]): Place[] {
  return endpoints.flatMap(text => findEndpoint(text) ?? [])
}

/** A server that lets the system choose says it when it runs. */
function portsOf(places: readonly Place[]): number[] {
  return [...new Set(places.map(({ port }) => (port === 0 ? limits.defaultPort : port)))]
}

function isNamed(address: string): boolean {
  return (isIpv4(address) || isIpv6(address)) && address !== '0.0.0.0' && address !== '::'
}

function remarks(host: string, addresses: readonly string[], { parents }: LoadedConfig): string[] {
  const isOpen = addresses.some(address => !isNamed(address))
  const named = parents.flatMap(text => findParentRule(text)?.parent ?? [])
  return [
    ...(isOpen
      ? [`; and A, AAAA of ${host} with the addresses of your server, where they are not there yet`]
      : []),
    ...named.map(
      parent =>
        `; where this server can not be called from outside, a second SRV with the host of ${parent}, and 10 for the first 0`,
    ),
  ]
}
