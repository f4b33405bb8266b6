/**
 * Objects by id and in lists, over the database (docs/architecture.md): what is read, and the writes that keep an
 * object and its index entries together. It decides nothing about who may.
 */
import type { FmtpObject } from '../schemas/object.ts'
import type { User } from '../schemas/user.ts'
import { BoundedMap } from '../wire/bounded-map.ts'
import { readJws } from '../wire/jws.ts'
import { readCredential } from './credential.ts'
import type { Database, Write } from './database.ts'
import { keyOf, type ListName, listOf } from './layout.ts'
import type { VerifiedObject } from './seal.ts'

/** A box entry: the user has this version. `by` forwarded it, where the owner did not write to the user. */
export interface Boxed {
  readonly version: number
  readonly by?: string
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

interface Recent {
  readonly text: string
  readonly credential: string
  readonly object: FmtpObject
}

// Objects of a few KiB, so that the memo stays within some MiB.
const recentMost = 2000
const recentChars = 4096

export class Store {
  readonly database: Database
  /** Objects by their key, whole: an object that came a moment ago is read several times. Held against the disk's text. */
  readonly #recent = new BoundedMap<string, Recent>(recentMost)

  constructor(database: Database) {
    this.database = database
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
    return text === undefined ? undefined : (JSON.parse(text) as Boxed)
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
    const entries = rows.map(({ number, value }) => {
      const { id, version } = JSON.parse(value) as { id: string; version: number }
      return { number, id, version }
    })
    return { entries, last: entries.at(-1)?.number ?? after, isComplete: rows.length < limit }
  }

  /** What every commit of an object writes: its text, on condition that nothing came between, and its credential. */
  objectWrite(verified: VerifiedObject, before: string | undefined): Write & { puts: [string, string][] } {
    const key = keyOf.object(verified.object.id)
    const isNew = before !== verified.atRest
    if (isNew) this.#remember(verified)
    return {
      ...(before === undefined ? { absent: [key] } : { equals: [[key, before]] }),
      puts: isNew ? [[key, verified.atRest], ...this.credentialPuts(verified)] : [],
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
    const atRest = JSON.parse(text) as Omit<FmtpObject, 'encryptedKey'>
    const credential = keyOf.credential(readJws(atRest.hash, 'fmtp-hash')?.kid ?? '', atRest.owner)
    const encryptedKey = this.database.get(credential)
    if (encryptedKey === undefined) return undefined
    const object = withMember(atRest, 'encryptedKey', encryptedKey)
    if (text.length <= recentChars) this.#recent.set(key, { text, credential, object })
    return object
  }
}

function endOf(credential: string): number {
  return readCredential(credential)?.payload.exp ?? 0
}

/** Adds a member at its place in the order of names, so that the canonical form stays cheap. */
function withMember(atRest: object, name: string, value: string): FmtpObject {
  const entries = Object.entries(atRest)
  const at = entries.findIndex(([other]) => other > name)
  entries.splice(at === -1 ? entries.length : at, 0, [name, value])
  return Object.fromEntries(entries) as FmtpObject
}

/** The value of a list's entry. */
export function entryText(object: FmtpObject): string {
  return `{"id":${JSON.stringify(object.id)},"version":${object.version}}`
}

/** Lists that an object belongs to whoever it is for: its thread, and its owner's public list. */
export function listsOf(object: FmtpObject): ListName[] {
  const lists: ListName[] = [listOf.thread(object.top ?? object.id)]
  if (object.public === true) lists.push(listOf.public(object.owner))
  return lists
}
