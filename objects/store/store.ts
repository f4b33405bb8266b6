/**
 * Objects by id and in lists, over the database (docs/architecture.md): what is read, and the writes that keep an
 * object and its index entries together. It decides nothing about who may.
 */

import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import { readJws } from '../../wire/jws.ts'
import { readCredential } from '../seals/credential.ts'
import { sealedDigest, type VerifiedObject } from '../seals/seal.ts'
import type { PlacePorts } from '../thread.ts'
import { type AtRest, parseAtRest, withCredential } from './at-rest.ts'
import { type Boxed, parseBoxed } from './box.ts'
import type { ListEntry, Placed } from './change.ts'
import type { Database } from './engine/database.ts'
import type { Write } from './engine/write.ts'
import { keyOf, kindsAfter, type ListName, lastPart, newestBefore, rangeOf } from './layout.ts'
import { Aside, type OnDamaged } from './quarantine.ts'
import { findRow } from './row.ts'

/**
 * The version that is here already, read once for all that a door decides: another write may end meanwhile, also between
 * two lines of its, and then the commit must find that the text is not this one any more.
 */
export interface Before {
  readonly text: string
  readonly object: AtRest
}

/** One entry of a list with the number that a cursor takes. */
export interface Entry {
  readonly number: number
  readonly id: string
  readonly version: number
}

export interface Page {
  readonly entries: readonly Entry[]
  /** Number of the last entry that was looked at. */
  readonly last: number
  readonly isComplete: boolean
}

/** One entry in the order of making: `position` is what a cursor takes. */
export interface NewestEntry {
  readonly position: string
  readonly id: string
}

interface Recent {
  readonly text: string
  readonly credential: string
  readonly object: FmtpObject
}

export interface NewestQuery {
  readonly kind?: string | undefined
  /** A position; without one from the newest. */
  readonly before?: string | undefined
  readonly limit: number
}

const holdersPage = 1000
// The first page of readers; others go further back.
const rememberedMost = 100
// Objects of a few KiB, so that the memo stays within some MiB.
const recentMost = 2000
const recentChars = 4096

export class Store {
  readonly database: Database
  /** Objects by their key, whole: an object that came a moment ago is read several times. Held against the disk's text. */
  readonly #recent = new BoundedMap<string, Recent>(recentMost)
  readonly #aside: Aside

  constructor(database: Database, onDamaged: OnDamaged = () => undefined) {
    this.database = database
    this.#aside = new Aside(database, onDamaged)
  }

  /** The current version of an object, with the newest credential of the key that sealed it. */
  findObject(id: string): FmtpObject | undefined {
    return this.#read(keyOf.object(id))
  }

  /** A view of a user of ours. The owner's own view is the object itself. */
  findView(view: string, address: string): User | undefined {
    return this.#read(keyOf.view(view, address)) as User | undefined
  }

  /** The text at rest, for conditions of a commit. */
  findText(id: string): string | undefined {
    return this.database.get(keyOf.object(id))
  }

  /** The text of a box key, for conditions of a commit. */
  findBoxedText(address: string, id: string): string | undefined {
    return this.database.get(keyOf.boxed(address, id))
  }

  findBoxed(address: string, id: string): Boxed | undefined {
    const text = this.findBoxedText(address, id)
    return text === undefined ? undefined : parseBoxed(text)
  }

  /** Users of ours in whose box an object stands, with the texts of their box keys. */
  async findHolders(id: string): Promise<readonly { readonly address: string; readonly boxed: string }[]> {
    const holders: { address: string; boxed: string }[] = []
    const range = rangeOf('boxed', id)
    for (let { gt } = range; ; ) {
      const rows = await this.database.scan({ gt, lt: range.lt }, { limit: holdersPage })
      for (const [key, boxed] of rows) holders.push({ address: lastPart(key), boxed })
      const [last] = rows.at(-1) ?? []
      if (last === undefined || rows.length < holdersPage) return holders
      gt = last
    }
  }

  /** The current version as it is at rest, for a door that may replace it. */
  findBefore(id: string): Before | undefined {
    return this.#readAtRest(keyOf.object(id))
  }

  /** The same of a view of a user of ours. */
  findViewBefore(view: string, address: string): Before | undefined {
    return this.#readAtRest(keyOf.view(view, address))
  }

  /** True where a user has this very version, and not another of the same number (protocol §6.6). */
  hasThis({ object, digest }: VerifiedObject, boxed: string | undefined): boolean {
    if (boxed === undefined || parseBoxed(boxed).version !== object.version) return false
    const held = this.findObject(object.id)
    return held !== undefined && sealedDigest(held) === digest
  }

  /** True for an object that was found damaged: its text is elsewhere, and the rows that name it are here still. */
  isAside(id: string): boolean {
    return this.#aside.has(id)
  }

  /** True where the current version of an object, or one that it replaced, has this digest. */
  hasDigest(id: string, digest: string): boolean {
    const current = this.findObject(id)
    if (current !== undefined && sealedDigest(current) === digest) return true
    return this.database.get(keyOf.digest(id, digest)) !== undefined
  }

  /** What places in threads are judged by. */
  readonly places: PlacePorts = {
    findObject: id => this.findObject(id),
    hasDigest: (id, digest) => this.hasDigest(id, digest),
    isUnjoined: id => this.database.get(keyOf.unjoined(id)) !== undefined,
  }

  /** True where a user of ours said something in a thread. */
  hasSpoken(top: string, address: string): boolean {
    return this.database.get(keyOf.spoke(top, address)) !== undefined
  }

  /** True where a user of ours has an object among the favourites. */
  isKept(id: string, address: string): boolean {
    return this.database.get(keyOf.kept(id, address)) !== undefined
  }

  findCredentialText(thumbprint: string, owner: string): string | undefined {
    return this.database.get(keyOf.credential(thumbprint, owner))
  }

  /** When a foreign object was last heard from its home, unix ms. */
  findFetchedAtMs(id: string): number | undefined {
    const text = this.database.get(keyOf.foreign(id))
    return text === undefined ? undefined : Number(text)
  }

  /** When its home said that this does not exist, unix ms. */
  findAbsentAtMs(id: string): number | undefined {
    const text = this.database.get(keyOf.absent(id))
    return text === undefined ? undefined : Number(text)
  }

  /** Entries of a list after a number, oldest first. An entry that is not current any more is for the reader to skip. */
  async readList(list: ListName, after: number, limit: number): Promise<Page> {
    const rows = await this.database.entries(list, after, limit)
    const entries = rows.flatMap(({ number, value }) => {
      const entry = findRow<ListEntry>(value)
      if (entry === undefined) this.#aside.tell(keyOf.entry(list, number))
      return entry === undefined ? [] : [{ number, id: entry.id, version: entry.version }]
    })
    return { entries, last: rows.at(-1)?.number ?? after, isComplete: rows.length < limit }
  }

  /**
   * What stands in a list before a position in the order of making, the newest first. Deleted objects are not there. The
   * cost does not depend on how much stands in the list.
   */
  readNewest(list: ListName, query: NewestQuery): Promise<readonly NewestEntry[]> {
    const { kind = '', before, limit } = query
    if (before !== undefined || limit > rememberedMost) return this.#readNewest(list, query)
    return this.database.remember(list, `newest ${kind} ${limit}`, () => this.#readNewest(list, query))
  }

  async #readNewest(list: ListName, query: NewestQuery): Promise<readonly NewestEntry[]> {
    const { kind, before, limit } = query
    const kinds = kind === undefined ? await this.#kindsIn(list) : [kind]
    const read = async (one: string): Promise<NewestEntry[]> => {
      const rows = await this.database.scan(newestBefore(list, one, before), { limit, isReverse: true })
      return rows.map(([key, value]) => {
        const placed = findRow<Placed>(value)
        if (placed === undefined) this.#aside.tell(key)
        // Nothing has an empty id: its reader goes on behind it.
        return { position: lastPart(key), id: placed?.id ?? '' }
      })
    }
    const entries = (await Promise.all(kinds.map(read))).flat()
    return entries.sort((left, right) => (left.position < right.position ? 1 : -1)).slice(0, limit)
  }

  /** Kinds of which something stands in a list: each is found by one step over all of the one before. */
  async #kindsIn(list: ListName): Promise<string[]> {
    const kinds: string[] = []
    for (;;) {
      const [first] = await this.database.scan(kindsAfter(list, kinds.at(-1)), { limit: 1 })
      const kind = first?.[0].split(' ').at(-2)
      if (kind === undefined) return kinds
      kinds.push(kind)
    }
  }

  /** What every commit of an object writes: its text, on condition that nothing came between, and its credential. */
  objectWrite(verified: VerifiedObject, before: string | undefined): Write & { puts: [string, string][] } {
    const { id } = verified.object
    const key = keyOf.object(id)
    const isNew = before !== verified.atRest
    if (isNew) this.#remember(verified)
    return {
      ...(before === undefined ? { absent: [key] } : { equals: [[key, before]] }),
      puts: isNew ? [[key, verified.atRest], ...this.credentialPuts(verified)] : [],
      ...(before === undefined && this.isAside(id) ? { dels: [keyOf.damaged(key)] } : {}),
    }
  }

  /** The credential of the key that sealed, unless one is here that ends later. */
  credentialPuts({ object, thumbprint }: VerifiedObject): [string, string][] {
    const { owner, encryptedKey } = object
    const known = this.findCredentialText(thumbprint, owner)
    if (known === encryptedKey) return []
    if (known !== undefined && endOf(known) >= endOf(encryptedKey)) return []
    return [[keyOf.credential(thumbprint, owner), encryptedKey]]
  }

  /** Spares the next reader of an object that is being written from putting it together again. */
  #remember({ object, atRest, thumbprint }: VerifiedObject): void {
    const key = keyOf.object(object.id)
    const credential = keyOf.credential(thumbprint, object.owner)
    if (atRest.length <= recentChars) this.#recent.set(key, { text: atRest, credential, object })
  }

  #read(key: string): FmtpObject | undefined {
    const text = this.database.get(key)
    if (text === undefined) return undefined
    const recent = this.#recent.get(key)
    if (recent?.text === text && this.database.get(recent.credential) === recent.object.encryptedKey)
      return recent.object
    const atRest = recent?.text === text ? parseAtRest(text) : this.#aside.findIntact(key, text)
    const kid = atRest && readJws(atRest.hash, 'fmtp-hash')?.kid
    if (atRest === undefined || kid === undefined) return undefined
    const credential = keyOf.credential(kid, atRest.owner)
    const encryptedKey = this.database.get(credential)
    if (encryptedKey === undefined) return undefined
    const object = withCredential(atRest, encryptedKey)
    if (text.length <= recentChars) this.#recent.set(key, { text, credential, object })
    return object
  }

  #readAtRest(key: string): Before | undefined {
    const text = this.database.get(key)
    if (text === undefined) return undefined
    const isKnown = this.#recent.get(key)?.text === text
    const object = isKnown ? parseAtRest(text) : this.#aside.findIntact(key, text)
    return object && { text, object }
  }
}

function endOf(credential: string): number {
  return readCredential(credential)?.payload.exp ?? 0
}
