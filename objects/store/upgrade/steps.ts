/**
 * The steps from version 1 of a store to version 2. In version 1 a box key named the user first and no bytes; a list had an
 * entry for each version, nothing said where an object stands in it, and every object was its own thread.
 */

import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { domainOf, isAddressName, type Name, type ObjectId, ownerOf } from '../../../schemas/text/names.ts'
import { topOf } from '../../thread.ts'
import { attach } from '../attachments.ts'
import { type Boxed, parseBoxed } from '../box.ts'
import { cache } from '../cached.ts'
import { entryText, newChange, newestKey, type Placed } from '../change.ts'
import { findList, keyOf, type ListName, type ListParts, lastPart, listOf, rangeOf } from '../layout.ts'
import { type AtRest, findAtRest, pages, type UpgradeStep, type UpgradeStore, write } from './pages.ts'
import { joinThread } from './threads.ts'

/** `boxed <address> <id>` becomes `boxed <id> <address>`, with what it takes of the user's room. */
export const upgradeBoxed: UpgradeStep = async (store, atMs, onDone) => {
  for await (const rows of pages(store, rangeOf('boxed'))) {
    const change = newChange()
    for (const [key, text] of rows) {
      const old = JSON.parse(text) as Partial<Boxed> & Pick<Boxed, 'version'>
      if (old.bytes !== undefined) continue
      const [, address = '', id = ''] = key.split(' ')
      const atRest = store.get(keyOf.object(id))
      change.dels.push(key)
      if (atRest === undefined) continue
      const by = old.by === undefined ? {} : { by: old.by }
      // When it came was not noted: it is kept as if it had come now.
      const bytes = ownerOf(id as ObjectId) === address ? 0 : atRest.length
      const boxed: Boxed = { version: old.version, atMs, bytes, ...by }
      change.puts.push([keyOf.boxed(address, id), JSON.stringify(boxed)])
    }
    await write(store, change)
    onDone(rows.length)
  }
}

/** One entry for each object: the last, which keeps its number, so that cursors stay what they are. */
export const upgradeLists: UpgradeStep = async (store, _, onDone) => {
  for await (const heads of pages(store, rangeOf('head'))) {
    for (const [key, text] of heads) {
      const parts = findList(key.slice('head '.length))
      if (parts !== undefined && isOld(parts)) await upgradeList(store, parts, text, onDone)
    }
  }
}

/** The lists of version 1 that have objects, whatever lists there are today. */
type OldSort = 'public' | 'box' | 'thread'
type OldParts = Extract<ListParts, { readonly sort: OldSort }>

interface OldList {
  /** False for what version 1 kept beside: public objects of others, and threads of what is in none. */
  isRead(store: UpgradeStore, name: string): boolean
  /** Whether an object stands in it. */
  has(store: UpgradeStore, name: string, object: AtRest): boolean
  /** The version that stands there: the one that its user was given, or else the object as it is. */
  versionOf(entry: Placed, object: AtRest): number
  /** What an object takes of the bytes of the list. */
  bytesOf(store: UpgradeStore, name: string, id: string): number
  /** Answers that follow from nothing that is here stand in it no more. */
  readonly isProven: boolean
}

const oldLists: { readonly [S in OldSort]: OldList } = {
  public: {
    isRead: isOurs,
    has: (store, name, object) =>
      isListed(store, object) && (name === object.owner || name === domainOf(object.owner as Name)),
    versionOf: (_, { version }) => version,
    bytesOf: () => 0,
    isProven: false,
  },
  box: {
    isRead: () => true,
    has: (store, name, { id }) => store.get(keyOf.boxed(name, id)) !== undefined,
    versionOf: ({ version }) => version,
    bytesOf: boxedBytes,
    isProven: false,
  },
  thread: {
    isRead(store, name) {
      const top = findAtRest(store, name)
      return top === undefined || topOf(top) === name
    },
    has: (_, name, object) => topOf(object) === name,
    versionOf: (_, { version }) => version,
    bytesOf: () => 0,
    isProven: true,
  },
}

function isOld(parts: ListParts): parts is OldParts {
  return Object.hasOwn(oldLists, parts.sort)
}

async function upgradeList(
  store: UpgradeStore,
  { list, sort, name }: OldParts,
  head: string,
  onDone: (count: number) => void,
): Promise<void> {
  const old = oldLists[sort]
  const last = new Map<string, number>()
  const edited = new Set<string>()
  for await (const rows of pages(store, rangeOf('entry', list))) {
    for (const [key, value] of rows) {
      const { id, version } = JSON.parse(value) as Placed
      const current = findAtRest(store, id)
      if (last.has(id) || (current !== undefined && current.version !== version)) edited.add(id)
      last.set(id, Number(lastPart(key)))
    }
  }
  const unjoined = old.isProven ? await joinThread(store, [...last.keys()], edited) : undefined
  let bytes = 0
  for await (const rows of pages(store, rangeOf('entry', list))) {
    const change = newChange()
    for (const [key, value] of rows) {
      const placed = JSON.parse(value) as Placed
      const { id, version: _, ...more } = placed
      const object = findAtRest(store, id)
      const stays = object !== undefined && old.has(store, name, object)
      if (!stays || last.get(id) !== Number(lastPart(key)) || unjoined?.has(id) === true) {
        change.dels.push(key)
        continue
      }
      const n = Number(lastPart(key))
      const stands = old.versionOf(placed, object)
      const isDeletion = object.deleted === true && stands === object.version
      const entry = entryText({ id, version: stands }, { ...more, ...(isDeletion ? { deleted: true } : {}) })
      if (entry !== value) change.puts.push([key, entry])
      if (object.deleted !== true)
        change.puts.push([
          newestKey(list, object),
          JSON.stringify({ id, version: stands, n } satisfies Placed),
        ])
      bytes += old.bytesOf(store, name, id)
    }
    await write(store, change)
    onDone(rows.length)
  }
  const change = newChange()
  // Numbers that were told are not given again, but of a list that nobody reads.
  if (old.isRead(store, name)) change.puts.push([keyOf.head(list), `${head.split(' ')[0]} ${bytes}`])
  else change.dels.push(keyOf.head(list))
  await write(store, change)
}

function boxedBytes(store: UpgradeStore, address: string, id: string): number {
  const boxed = store.get(keyOf.boxed(address, id))
  return boxed === undefined ? 0 : parseBoxed(boxed).bytes
}

/** Public objects of our own; of some there are views. */
function isListed(store: UpgradeStore, { owner, kind, public: isPublic }: AtRest): boolean {
  return isPublic === true && !traitsOf(kind).hasViews && isOurs(store, owner)
}

/** Whoever has an account here, users and domains. */
function isOurs(store: UpgradeStore, owner: string): boolean {
  return store.get(keyOf.account(owner)) !== undefined
}

/** The list of a domain has what its users publish: in the order of its versions, behind what stands there. */
export const addUpToDomains: UpgradeStep = async (store, _, onDone) => {
  const found = new Map<Name, AtRest[]>()
  for await (const heads of pages(store, rangeOf('head', 'public'))) {
    for (const [key] of heads) {
      const owner = lastPart(key) as Name
      if (!isAddressName(owner)) continue
      const domain = domainOf(owner) as Name
      const objects = found.get(domain) ?? []
      found.set(domain, objects)
      for (const id of await idsIn(store, listOf.public(owner))) {
        const object = findAtRest(store, id)
        if (object !== undefined) objects.push(object)
      }
    }
  }
  for (const [domain, objects] of found) {
    const list = listOf.public(domain)
    const known = await idsIn(store, list)
    const [numberText = '0', bytes = '0'] = store.get(keyOf.head(list))?.split(' ') ?? []
    let number = Number(numberText)
    // One write, so that none of it is added twice.
    const change = newChange()
    for (const object of objects.sort((left, right) => left.version - right.version)) {
      const { id, version } = object
      if (known.has(id)) continue
      number++
      const isDeletion = object.deleted === true ? { deleted: true as const } : {}
      change.puts.push([keyOf.entry(list, number), entryText({ id, version }, isDeletion)])
      const placed: Placed = { id, version, n: number }
      if (object.deleted !== true) change.puts.push([newestKey(list, object), JSON.stringify(placed)])
    }
    change.puts.push([keyOf.head(list), `${number} ${bytes}`])
    await write(store, change)
    onDone(objects.length)
  }
}

async function idsIn(store: UpgradeStore, list: ListName): Promise<Set<string>> {
  const ids = new Set<string>()
  for await (const rows of pages(store, rangeOf('entry', list)))
    for (const [, value] of rows) ids.add((JSON.parse(value) as Placed).id)
  return ids
}

/** What an object says besides its lists: when it ends, who spoke, what it names, and whether it is only cached. */
export const upgradeObjects: UpgradeStep = async (store, atMs, onDone) => {
  for await (const rows of pages(store, rangeOf('object'))) {
    const change = newChange()
    for (const [, text] of rows) {
      const object = JSON.parse(text) as FmtpObject & { readonly keepDays?: number }
      const { id, owner, expiresAt, keepDays } = object
      const isOwn = isOurs(store, owner)
      const endsAtMs = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt)
      if (endsAtMs >= 0) change.puts.push([keyOf.expires(endsAtMs, id), ''])
      const top = topOf(object)
      if (isOwn && top !== undefined) change.puts.push([keyOf.spoke(top, owner), ''])
      if (isOwn && object.kind === 'user' && Number.isSafeInteger(keepDays))
        change.puts.push([keyOf.retention(owner), String(keepDays)])
      attach(change, id, { before: undefined, object, isProven: isOwn }, store)
      if (isOwn || store.get(keyOf.cached(id)) !== undefined) continue
      if ((await store.scan(rangeOf('boxed', id), { limit: 1 })).length > 0) continue
      if ((await store.scan(rangeOf('kept', id), { limit: 1 })).length > 0) continue
      const heardAtMs = Number(store.get(keyOf.foreign(id)) ?? atMs)
      cache(change, id, { bytes: text.length, nowMs: heardAtMs }, store)
    }
    await write(store, change)
    onDone(rows.length)
  }
}
