/**
 * Every key of the database in one table. Parts are separated by a space, which stands in no name; numbers have twelve
 * digits, times fifteen, so that text order is number order and every list is a range scan.
 *
 *     meta <name>                          facts about the store: version, epoch
 *     object <id>                          canonical text of the current version, without encryptedKey
 *     view <view> <address>                the same for a view of a user object that its home sealed
 *     foreign <id>                         unix ms at which a foreign object was last heard from its home
 *     absent <name>                        unix ms at which a home said that there is no such user
 *     boxed <address> <id>                 the user has this object: version, and who forwarded it
 *     credential <thumbprint> <owner>      encryptedKey of that key: the newest that was seen or issued
 *     head <list>                          "<last number> <bytes of all entries>"
 *     entry <list> <number>                one entry of a list
 *     account <address>                    a user of ours: home key, when made
 *     device <address> <thumbprint>        an enrolled device
 *     resealing <address> <thumbprint>     number of the box up to which what this revoked key sealed is sealed again
 *     listed <domain> <address>            a user of ours whose whitelist names this domain, or `*.` and one above it
 *     skeleton <text>                      address whose look-alikes are taken
 *     token <sha256>                       a one-time link or a token
 *     peer <domain>                        when we last exchanged with a domain
 *     introduced <domain> <address>        version of a user's object that a domain was given
 *     courier <list>                       number up to which an outbox list is delivered
 *     retry <list> <due ms> <number>       an outbox entry that was put off, by the time of its next attempt
 *     due <domain>                         schedule of a domain that could not be reached
 */

const separator = ' '
const msDigits = 15

function key(...parts: readonly string[]): string {
  return parts.join(separator)
}

export const keyOf = {
  meta: (name: string) => key('meta', name),
  object: (id: string) => key('object', id),
  view: (view: string, address: string) => key('view', view, address),
  foreign: (id: string) => key('foreign', id),
  absent: (name: string) => key('absent', name),
  boxed: (address: string, id: string) => key('boxed', address, id),
  credential: (thumbprint: string, owner: string) => key('credential', thumbprint, owner),
  head: (list: ListName) => key('head', list),
  entry: (list: ListName, number: number) => key('entry', list, padded(number)),
  account: (address: string) => key('account', address),
  device: (address: string, thumbprint: string) => key('device', address, thumbprint),
  resealing: (address: string, thumbprint: string) => key('resealing', address, thumbprint),
  listed: (domain: string, address: string) => key('listed', domain, address),
  skeleton: (text: string) => key('skeleton', text),
  token: (sha256: string) => key('token', sha256),
  peer: (domain: string) => key('peer', domain),
  introduced: (domain: string, address: string) => key('introduced', domain, address),
  courier: (list: ListName) => key('courier', list),
  retry: (list: ListName, dueAtMs: number, number: number) =>
    key('retry', list, padded(dueAtMs, msDigits), padded(number)),
  due: (domain: string) => key('due', domain),
} as const

/** Names of lists; each counts its own entries. */
export type ListName = `${'public' | 'box' | 'thread' | 'outbox'} ${string}`

export const listOf = {
  /** Public objects of an owner. */
  public: (owner: string): ListName => `public ${owner}`,
  /** All that a user of ours has, sent and received. */
  box: (address: string): ListName => `box ${address}`,
  /** Objects whose first is `top`. */
  thread: (top: string): ListName => `thread ${top}`,
  /** Messages, users and tombstones that wait for a domain or were given to it. */
  outbox: (domain: string): ListName => `outbox ${domain}`,
} as const

/** A half-open range of keys. */
export interface Range {
  readonly gt: string
  readonly lt: string
}

/** All keys whose parts begin with these. */
export function rangeOf(...parts: readonly string[]): Range {
  const start = key(...parts)
  // '!' follows the space in the order of bytes.
  return { gt: `${start}${separator}`, lt: `${start}!` }
}

/** The entries of a list after a number. */
export function entriesAfter(list: ListName, number: number): Range {
  return { gt: keyOf.entry(list, number), lt: rangeOf('entry', list).lt }
}

/** What was put off in a list until this time, the earliest first. */
export function retriesUntil(list: ListName, nowMs: number): Range {
  return { gt: rangeOf('retry', list).gt, lt: key('retry', list, padded(nowMs + 1, msDigits)) }
}

/** The last part of a key. */
export function lastPart(text: string): string {
  return text.slice(text.lastIndexOf(separator) + 1)
}

function padded(number: number, digits = 12): string {
  return String(number).padStart(digits, '0')
}
