/**
 * Every key of the database in one table. Parts are separated by a space, which stands in no name; numbers have twelve
 * digits, times fifteen, so that text order is number order and every list is a range scan.
 *
 *     meta <name>                          facts about the store: version, epoch
 *     object <id>                          canonical text of the current version, without encryptedKey
 *     view <view> <address>                the same for a view of a user object that its home sealed
 *     foreign <id>                         unix ms at which a foreign object was last heard from its home
 *     cached <id>                          a foreign object that nobody here asked to keep: bytes, when it was used
 *     used <unix ms> <id>                  the same, by the time at which it was used
 *     leaving <id>                         an object that is about to be removed
 *     damaged <key>                        what stood under this key of an object or view, and is not what was written
 *     retention <address>                  for how many days a user of ours keeps messages
 *     absent <name>                        unix ms at which a home said that there is no such user
 *     boxed <id> <address>                 the user has this object: version, when it came, who forwarded it
 *     digest <id> <digest>                 version of a replaced version that had this digest
 *     waiting <id>                         ids of answers that wait for this object, or for a version of it
 *     unjoined <id>                        parent that keeps an answer out of the list of its thread
 *     spoke <top> <address>                a user of ours said something in this thread
 *     answered <top> <address> <domain>    the last answer of this thread that somebody there wrote to a user of ours: its id
 *     kept <id> <address>                  a user of ours has it among the favourites
 *     expires <unix ms> <id>               an object that says when it ends
 *     blob <sha256>                        bytes that are here: how many, since when
 *     attached <sha256> <id>               an object names this blob: format, name, who may have it
 *     uploaded <sha256> <address>          a user of ours put it here, and its bytes count as theirs
 *     loose <sha256>                       unix ms since when no object names it; 0 where none does any more
 *     pull <domain> <due ms> <sha256> <id> a blob that is to come from there, by the time of its next attempt
 *     pulled <sha256> <id>                 the home of the object gave it: whose room it takes, how many bytes
 *     carried <sha256> <domain>            a blob that went through here, given by the home of an object there: bytes, when it was used
 *     idle <unix ms> <sha256> <domain>     the same, by the time at which it was used
 *     away <domain>                        schedule of a domain from which no blob could be had
 *     blob-leaving <sha256>                a blob that is about to be removed
 *     credential <thumbprint> <owner>      encryptedKey of that key: the newest that was seen or issued
 *     head <list>                          "<last number> <bytes of all entries>"
 *     entry <list> <number>                one entry of a list: the newest of its object
 *     newest <list> <kind> <position>      the same object in the order of making, while it is not deleted: its entry's number
 *     account <address>                    a user of ours: home key, when made
 *     device <address> <thumbprint>        an enrolled device
 *     resealing <address> <thumbprint>     number of the box up to which what this revoked key sealed is sealed again
 *     made <address>                       how many groups a user of ours has made
 *     gone <address>                       a user of ours whose account was deleted, and how far that is
 *     listed <domain> <address>            a user of ours whose whitelist names this domain, or `*.` and one above it
 *     skeleton <text>                      address whose look-alikes are taken
 *     token <sha256>                       a one-time link or a token
 *     peer <domain>                        when we last exchanged with a domain
 *     pinned <domain>                      the keys that another domain was seen to have, and when all of them changed at once
 *     from <domain> <peer>                 what a peer gave to a domain of ours: places in its outbox, a day apart
 *     met <domain>                         when somebody of a domain proved to be of it for the first time
 *     wrote <address> <recipient>          a user of ours has written to this recipient
 *     strangers <address>                  day, and whom this user of ours wrote to on it for the first time: how many
 *     introduced <domain> <address>        version of a user's object that a domain was given
 *     delivery <id> <domain>               what became of the newest version of an object of ours at a domain, and who has one
 *     courier <list>                       number up to which an outbox list is delivered
 *     told <list>                          number up to which authors were told of what is late
 *     retry <list> <due ms> <number>       an outbox entry that was put off, by the time of its next attempt
 *     due <domain>                         schedule of a domain that could not be reached
 *     relayed <id> <domain>                what is passed on for a child or to one: whose room it takes, how many bytes
 *     owed <unix ms> <id> <domain>         a relay has it, and has to say until then what became of it
 */

import type { AskedList } from '../../schemas/lists.ts'

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
  cached: (id: string) => key('cached', id),
  used: (usedAtMs: number, id: string) => key('used', padded(usedAtMs, msDigits), id),
  leaving: (id: string) => key('leaving', id),
  damaged: (whole: string) => key('damaged', whole),
  retention: (address: string) => key('retention', address),
  absent: (name: string) => key('absent', name),
  boxed: (address: string, id: string) => key('boxed', id, address),
  digest: (id: string, digest: string) => key('digest', id, digest),
  waiting: (id: string) => key('waiting', id),
  unjoined: (id: string) => key('unjoined', id),
  spoke: (top: string, address: string) => key('spoke', top, address),
  answered: (top: string, address: string, domain: string) => key('answered', top, address, domain),
  kept: (id: string, address: string) => key('kept', id, address),
  expires: (expiresAtMs: number, id: string) => key('expires', padded(expiresAtMs, msDigits), id),
  blob: (sha256: string) => key('blob', sha256),
  attached: (sha256: string, id: string) => key('attached', sha256, id),
  uploaded: (sha256: string, address: string) => key('uploaded', sha256, address),
  loose: (sha256: string) => key('loose', sha256),
  pull: (domain: string, dueAtMs: number, sha256: string, id: string) =>
    key('pull', domain, padded(dueAtMs, msDigits), sha256, id),
  pulled: (sha256: string, id: string) => key('pulled', sha256, id),
  carried: (sha256: string, domain: string) => key('carried', sha256, domain),
  idle: (usedAtMs: number, sha256: string, domain: string) =>
    key('idle', padded(usedAtMs, msDigits), sha256, domain),
  away: (domain: string) => key('away', domain),
  blobLeaving: (sha256: string) => key('blob-leaving', sha256),
  credential: (thumbprint: string, owner: string) => key('credential', thumbprint, owner),
  head: (list: ListName) => key('head', list),
  entry: (list: ListName, number: number) => key('entry', list, padded(number)),
  newest: (list: ListName, kind: string, position: string) => key('newest', list, kind, position),
  account: (address: string) => key('account', address),
  device: (address: string, thumbprint: string) => key('device', address, thumbprint),
  resealing: (address: string, thumbprint: string) => key('resealing', address, thumbprint),
  made: (address: string) => key('made', address),
  gone: (address: string) => key('gone', address),
  listed: (domain: string, address: string) => key('listed', domain, address),
  skeleton: (text: string) => key('skeleton', text),
  token: (sha256: string) => key('token', sha256),
  peer: (domain: string) => key('peer', domain),
  pinned: (domain: string) => key('pinned', domain),
  from: (domain: string, peer: string) => key('from', domain, peer),
  met: (domain: string) => key('met', domain),
  wrote: (address: string, recipient: string) => key('wrote', address, recipient),
  strangers: (address: string) => key('strangers', address),
  introduced: (domain: string, address: string) => key('introduced', domain, address),
  delivery: (id: string, domain: string) => key('delivery', id, domain),
  courier: (list: ListName) => key('courier', list),
  told: (list: ListName) => key('told', list),
  retry: (list: ListName, dueAtMs: number, number: number) =>
    key('retry', list, padded(dueAtMs, msDigits), padded(number)),
  due: (domain: string) => key('due', domain),
  relayed: (id: string, domain: string) => key('relayed', id, domain),
  owed: (dueAtMs: number, id: string, domain: string) => key('owed', padded(dueAtMs, msDigits), id, domain),
} as const

/** What is kept of a list. */
export interface ListRow {
  /**
   * What its entries are. `objects`: each object once, in the order of arrival and in the order of making. `deliveries`: what
   * is delivered to a domain, with numbers that have no gaps. `none`: the list only counts bytes.
   */
  readonly entries: 'objects' | 'deliveries' | 'none'
}

/** The sorts of lists, one row for each. Every list that may be asked for is among them. */
export const lists = {
  public: { entries: 'objects' },
  box: { entries: 'objects' },
  thread: { entries: 'objects' },
  outbox: { entries: 'deliveries' },
  bulk: { entries: 'deliveries' },
  blobs: { entries: 'none' },
  relay: { entries: 'none' },
  cache: { entries: 'none' },
} as const satisfies Readonly<Record<AskedList, ListRow>> & Readonly<Record<string, ListRow>>

export type ListSort = keyof typeof lists

/** The sorts of lists with such entries. */
export type ListWith<E extends ListRow['entries']> = {
  [S in ListSort]: (typeof lists)[S]['entries'] extends E ? S : never
}[ListSort]

/** The first words of keys, as they stand in the table above. */
export type Word = Exclude<keyof typeof keyOf, 'blobLeaving'> | 'blob-leaving'

/** Names of lists; each counts its own entries. */
export type ListName = `${ListSort} ${string}`

/** The name of a list taken apart, with its row. */
export type ListParts = {
  readonly [S in ListSort]: (typeof lists)[S] & {
    readonly list: ListName
    readonly sort: S
    /** Whose list it is: an address, a domain, or the id of an object. */
    readonly name: string
  }
}[ListSort]

/** Takes the name of a list apart and gives its row. `undefined`: the text, perhaps of a damaged key, names no list. */
export function findList(text: string): ListParts | undefined {
  const at = text.indexOf(separator)
  const sort = text.slice(0, Math.max(0, at))
  if (!Object.hasOwn(lists, sort)) return undefined
  return { list: text, sort, name: text.slice(at + 1), ...lists[sort as ListSort] } as ListParts
}

/** The sort of a list. */
export function sortOfList(list: ListName): ListSort {
  return list.slice(0, list.indexOf(separator)) as ListSort
}

export const listOf = {
  /** Public objects of an owner of ours, and of a forum the posts that it took; of a domain: its own and those of all its users. */
  public: (owner: string): ListName => `public ${owner}`,
  /** All that a user of ours has, sent and received; of a group what it took. */
  box: (address: string): ListName => `box ${address}`,
  /** Objects whose first is `top`. */
  thread: (top: string): ListName => `thread ${top}`,
  /** Messages, users, reports and tombstones that wait for a domain or were given to it. */
  outbox: (domain: string): ListName => `outbox ${domain}`,
  /** All else that waits for a domain or was given to it. */
  bulk: (domain: string): ListName => `bulk ${domain}`,
  /** Has no entries, only bytes: the blobs that a user put here, or that came with objects which the user took first. */
  blobs: (address: string): ListName => `blobs ${address}`,
  /** Has no entries, only bytes: what waits here to be passed on for a child or to one. */
  relay: (child: string): ListName => `relay ${child}`,
  /** Has no entries, only bytes: what foreign objects that nobody here holds take, and blobs that went through. */
  cache: 'cache foreign' as ListName,
} as const satisfies { readonly [S in ListSort]: ListName | ((name: string) => ListName) }

/** A half-open range of keys. */
export interface Range {
  readonly gt: string
  readonly lt: string
}

/** All keys whose parts begin with these. */
export function rangeOf(word: Word, ...parts: readonly string[]): Range {
  const start = key(word, ...parts)
  // '!' follows the space in the order of bytes.
  return { gt: `${start}${separator}`, lt: `${start}!` }
}

/** The entries of a list after a number. */
export function entriesAfter(list: ListName, number: number): Range {
  return { gt: keyOf.entry(list, number), lt: rangeOf('entry', list).lt }
}

/** What of one kind stands in a list before a position in the order of making; without one, all of that kind. */
export function newestBefore(list: ListName, kind: string, position: string | undefined): Range {
  const all = rangeOf('newest', list, kind)
  return position === undefined ? all : { gt: all.gt, lt: keyOf.newest(list, kind, position) }
}

/** What stands in a list in the order of making, of kinds that come after this one; without one, of all kinds. */
export function kindsAfter(list: ListName, kind: string | undefined): Range {
  const all = rangeOf('newest', list)
  return kind === undefined ? all : { gt: rangeOf('newest', list, kind).lt, lt: all.lt }
}

/** All that says to end until this time, the earliest first. */
export function expiresUntil(nowMs: number): Range {
  return { gt: rangeOf('expires').gt, lt: key('expires', padded(nowMs + 1, msDigits)) }
}

/** What stands in a list and was made before this time, in the order of making. */
export function madeBefore(list: ListName, kind: string, untilMs: number): Range {
  return { gt: rangeOf('newest', list, kind).gt, lt: key('newest', list, kind, padded(untilMs, msDigits)) }
}

/**
 * Where an object stands in the order of making: digits, the time first, then what tells apart those of one millisecond.
 * Never moves, since an object is made once.
 */
export function positionOf(createdAtMs: number, idHash: string): string {
  const [high, low] = [idHash.slice(0, 8), idHash.slice(8, 16)].map(hex => Number.parseInt(hex, 16))
  return `${padded(createdAtMs, msDigits)}${padded(high ?? 0, 10)}${padded(low ?? 0, 10)}`
}

/** Digits of a position. */
export const positionDigits = msDigits + 20

/** List and number of an entry's key; `undefined`: it is no such key. In a damaged key the list may not exist. */
export function entryOf(text: string): { readonly list: ListName; readonly number: number } | undefined {
  const start = `entry${separator}`
  if (!text.startsWith(start)) return undefined
  const end = text.lastIndexOf(separator)
  return { list: text.slice(start.length, end) as ListName, number: Number(text.slice(end + 1)) }
}

/** What was put off in a list until this time, the earliest first. */
export function retriesUntil(list: ListName, nowMs: number): Range {
  return { gt: rangeOf('retry', list).gt, lt: key('retry', list, padded(nowMs + 1, msDigits)) }
}

/** What relays had to say until this time, the earliest first. */
export function owedUntil(nowMs: number): Range {
  return { gt: rangeOf('owed').gt, lt: key('owed', padded(nowMs + 1, msDigits)) }
}

/** The last part of a key. */
export function lastPart(text: string): string {
  return text.slice(text.lastIndexOf(separator) + 1)
}

function padded(number: number, digits = 12): string {
  return String(number).padStart(digits, '0')
}
