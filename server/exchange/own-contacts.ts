/** The contacts of this server that fit who asks, by the network from which that comes (protocol §10.3). */
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { Contact } from '../../schemas/contact.ts'
import { findRoute, type Route } from '../../schemas/formats.ts'
import { limits } from '../../schemas/limits.ts'

/** `remote`: IP address of the other side. The smallest priority first. */
export type FindContacts = (remote: string) => readonly Contact[]

/** `routes`: texts as the config has them, checked there. */
export function createFindContacts(routes: readonly string[]): FindContacts {
  const known = routes
    .flatMap(text => findRoute(text) ?? [])
    .map(({ network, contact }: Route) => ({ list: listOf(network), contact }))
    .toSorted((left, right) => left.contact.priority - right.contact.priority)
  return remote => {
    // A socket for both families has IPv4 as mapped addresses.
    const address = remote.replace(/^::ffff:(?=\d+\.)/i, '')
    // Of most servers there are none; and what a proxy says may be no address at all.
    const family = known.length === 0 ? 0 : isIP(address)
    if (family === 0) return []
    return known
      .filter(({ list }) => list.check(address, family === 6 ? 'ipv6' : 'ipv4'))
      .map(({ contact }) => contact)
      .slice(0, limits.contacts)
  }
}

function listOf(network: string): BlockList {
  const list = new BlockList()
  const [address = '', bits] = network.split('/')
  list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  return list
}
