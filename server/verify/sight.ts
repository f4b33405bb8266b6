/**
 * What a check sees: one snapshot of the store, so that a busy server changes nothing between two reads, and what was
 * noted on the way. Its memory does not grow with the objects: only deletions, users and findings are noted.
 */
import { hash } from 'node:crypto'
import { type AtRest, findIntact } from '../../objects/store/at-rest.ts'
import type { Snapshot } from '../../objects/store/engine/database.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { keyOf, type ListName, type Range } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { FindingCode, Findings } from './findings.ts'

/** What a home knows and can make of its own. */
export interface Makers {
  /** True for the bare name of a domain that is served here. */
  isOwnDomain(name: string): boolean
  /** A new credential for a live key of a user of ours. */
  findCredential(owner: string, thumbprint: string): string | undefined
  /** The write that makes everyone's view of a user of ours anew. */
  findViewWrite(address: string): Promise<Write | undefined>
}

export interface SeenObject {
  readonly object: AtRest
  /** Length of its text. */
  readonly bytes: number
}

// Objects are a few KiB, and rows that name the same one often follow each other.
const seenMost = 2000

export class Sight {
  readonly snapshot: Snapshot
  readonly findings: Findings
  readonly makers: Makers
  readonly #objects = new BoundedMap<string, SeenObject | 'absent' | 'lost'>(seenMost)
  readonly #ours = new BoundedMap<string, boolean>(seenMost)
  /** Places of deletions in lists, by the first 48 bits of a hash. */
  readonly #deletions = new Set<number>()
  /** Rows of the order of making that an entry shows to be missing, and that are made from it. */
  readonly claimed = new Set<string>()
  /** Answers that a finding adds to those that wait, by parent. */
  readonly waiting = new Map<string, string[]>()
  /** Numbers that heads of lists must say, where they said less. */
  readonly numbers = new Map<ListName, number>()
  /** Sums of bytes by list. */
  readonly bytes = new Map<ListName, number>()
  /** Words of which not all rows could be read. */
  readonly unread = new Set<string>()

  constructor(snapshot: Snapshot, findings: Findings, makers: Makers) {
    this.snapshot = snapshot
    this.findings = findings
    this.makers = makers
  }

  get(key: string): string | undefined {
    return this.snapshot.get(key)
  }

  /** `undefined`: it is not there, or is not JSON. */
  findRow<T extends object>(key: string): T | undefined {
    const text = this.get(key)
    return text === undefined ? undefined : findRow<T>(text)
  }

  /** An object that is what was sealed. */
  findObject(id: string): SeenObject | undefined {
    const seen = this.#look(id)
    return typeof seen === 'object' ? seen : undefined
  }

  /** True for an object that is damaged, or was put aside: its rows wait for it to come again. */
  isLost(id: string): boolean {
    return this.#look(id) === 'lost'
  }

  #look(id: string): SeenObject | 'absent' | 'lost' {
    const known = this.#objects.get(id)
    if (known !== undefined) return known
    const key = keyOf.object(id)
    const text = this.get(key)
    const object = text === undefined ? undefined : findIntact(key, text)
    const isLost = text !== undefined || this.get(keyOf.damaged(key)) !== undefined
    const seen =
      object !== undefined ? { object, bytes: text?.length ?? 0 } : isLost ? ('lost' as const) : 'absent'
    this.#objects.set(id, seen)
    return seen
  }

  /** True for a user of ours and for a domain of ours: what they say was made here. */
  isOurs(name: string): boolean {
    const known = this.#ours.get(name)
    if (known !== undefined) return known
    // Also where the account itself is lost: nothing of its user is stray for that.
    const isOurs =
      this.get(keyOf.account(name)) !== undefined ||
      this.get(keyOf.view('everyone', name)) !== undefined ||
      this.makers.isOwnDomain(name)
    this.#ours.set(name, isOurs)
    return isOurs
  }

  /** True where a range has a row. */
  async hasRows(range: Range): Promise<boolean> {
    for await (const _ of this.snapshot.batches(range)) return true
    return false
  }

  noteDeletion(list: ListName, id: string, version: number): void {
    this.#deletions.add(placeOf(list, id, version))
  }

  isDeletedIn(list: ListName, id: string, version: number): boolean {
    return this.#deletions.size > 0 && this.#deletions.has(placeOf(list, id, version))
  }

  addBytes(list: ListName, bytes: number): void {
    this.bytes.set(list, (this.bytes.get(list) ?? 0) + bytes)
  }

  find(code: FindingCode, key: string, told: string, fix?: Write): void {
    this.findings.add({ code, key, told }, fix)
  }

  stray(key: string, told: string): void {
    this.find('entry-stray', key, told, { dels: [key] })
  }

  /** Finds a row that is missing or says something else. */
  expect(key: string, value: string, why: string): void {
    const text = this.get(key)
    if (text === value) return
    const fix = { puts: [[key, value] as const] }
    if (text === undefined) this.find('entry-missing', key, `${why}, and there is no such row`, fix)
    else this.find('entry-wrong', key, `${why}, and the row says ${text.slice(0, 100)}`, fix)
  }
}

function placeOf(list: ListName, id: string, version: number): number {
  return Number.parseInt(hash('sha256', `${list} ${id} ${version}`).slice(0, 12), 16)
}

/** Parts of a key behind its first word; missing ones are empty. */
export function partsOf(key: string): readonly [string, string, string, string] {
  const [, first = '', second = '', third = '', fourth = ''] = key.split(' ')
  return [first, second, third, fourth]
}

/** True for the text of a whole number that is not negative, as it is written. */
export function isWhole(text: string): boolean {
  return /^(0|[1-9][0-9]{0,15})$/.test(text)
}

export function areWhole(...values: readonly unknown[]): boolean {
  return values.every(value => Number.isSafeInteger(value) && (value as number) >= 0)
}
