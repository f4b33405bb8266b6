/** Contacts of this server and its children that fit who asks, by the network from which that comes (protocol §10.3). */
import { BlockList, isIP, isIPv6 } from 'node:net'
import { isMatch } from '../../../objects/pattern.ts'
import type { Contact } from '../../../schemas/kinds/contact.ts'
import { limits } from '../../../schemas/limits.ts'
import { findRoute, type Route } from '../../../schemas/text/formats.ts'
import type { Domain } from '../../../schemas/text/names.ts'

/** `remote`: IP address of the other side. `child`: of that domain, else our own. The smallest priority first. */
export type FindContacts = (remote: string, child?: Domain) => readonly Contact[]

/** `routes`: texts as the config has them, checked there. */
export function createFindContacts(routes: readonly string[]): FindContacts {
  const known = routes
    .flatMap(text => findRoute(text) ?? [])
    .map(({ pattern, network, contact }: Route) => ({ pattern, list: listOf(network), contact }))
    .toSorted((left, right) => left.contact.priority - right.contact.priority)
  return (remote, child) => {
    // A socket for both families has IPv4 as mapped addresses.
    const address = remote.replace(/^::ffff:(?=\d+\.)/i, '')
    // Of most servers there are none; and what a proxy says may be no address at all.
    const family = known.length === 0 ? 0 : isIP(address)
    if (family === 0) return []
    return known
      .filter(({ pattern }) => (child === undefined ? pattern === undefined : isMatch(pattern ?? '', child)))
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
