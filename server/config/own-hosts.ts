/**
 * Names under which people reach this server by HTTP and WebSocket. A WebSocket is bound to the host of the URL that was
 * dialled (protocol §5.3), so the links that are printed and the hosts that are taken come from one place.
 */
import { findEndpoint, isIpv6 } from '../../schemas/text/formats.ts'
import type { LoadedConfig } from './load.ts'

export type HostsConfig = Pick<LoadedConfig, 'domain' | 'http'> & {
  readonly listen: Pick<LoadedConfig['listen'], 'http' | 'hosts'>
}

/** Every host that a WebSocket to this server may be bound to, as a URL has it. */
export function ownHosts(config: HostsConfig): string[] {
  const { originUrl } = config.http
  const hosts = [
    ...config.domain.map(({ name }) => name),
    ...config.listen.hosts,
    ...(isIsland(config) ? ['localhost', '127.0.0.1', '::1'] : []),
    ...localAddresses(config),
  ].map(urlHost)
  if (originUrl !== '') hosts.push(new URL(originUrl).hostname)
  return [...new Set(hosts)]
}

/** The origin of log-in links: as configured, else one of our own hosts. `port`: that of the first HTTP listener. */
export function originOf(config: HostsConfig, port: number): string {
  const { originUrl, certificate, behindProxy } = config.http
  if (originUrl !== '') return originUrl
  const scheme = certificate === '' && !behindProxy ? 'http' : 'https'
  const host = config.listen.hosts[0] ?? localAddresses(config)[0] ?? config.domain[0]?.name ?? 'localhost'
  return `${scheme}://${isIsland(config) && usual.has(host) ? 'localhost' : urlHost(host)}${behindProxy ? '' : `:${port}`}`
}

const usual: ReadonlySet<string> = new Set(['127.0.0.1', '::1'])

/** How the host stands in a URL: IPv6 in brackets and in its one spelling. */
function urlHost(host: string): string {
  return isIpv6(host) ? new URL(`http://[${host}]`).hostname : host
}

function isIsland({ domain }: HostsConfig): boolean {
  return domain.every(({ name }) => name === 'localhost')
}

/** Plain HTTP is taken on loopback alone, where people dial the very address. */
function localAddresses({ http, listen }: HostsConfig): string[] {
  if (http.certificate !== '' || http.behindProxy) return []
  return listen.http.flatMap(text => findEndpoint(text)?.address ?? [])
}
