/**
 * Which keys other domains were seen to have (protocol §7.1). DNS is the only authority, so a key that changes is believed; but a
 * set of keys of which none was there before is what a takeover of a domain looks like, and its operator here is told.
 */
import type { Clock } from '../../objects/clock.ts'
import { isMatch } from '../../objects/pattern.ts'
import type { DomainKey } from '../../objects/seals/seal.ts'
import type { Database } from '../../objects/store/engine/database.ts'
import { keyOf, lastPart, rangeOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { limits } from '../../schemas/limits.ts'

/** A key by the name and the thumbprint that DNS shows. */
export interface KeyName {
  readonly selector: string
  readonly thumbprint: string
}

/** Times are unix ms; the last is right to the hour. */
export interface SeenKey extends KeyName {
  readonly firstAtMs: number
  readonly lastAtMs: number
}

/** All keys of a domain gave way to others at once. */
export interface KeyChange {
  readonly atMs: number
  readonly from: readonly SeenKey[]
  readonly to: readonly KeyName[]
}

/** The row of a domain: the keys that it had when they were fetched last, and the changes that nobody has acknowledged. */
interface Pinned {
  readonly keys: readonly SeenKey[]
  readonly changes?: readonly KeyChange[]
}

export interface ChangedKeys {
  readonly domain: string
  /** The oldest first. */
  readonly changes: readonly KeyChange[]
}

export interface ContinuityPorts {
  readonly database: Database
  readonly clock: Clock
  /** Somebody here has written to this domain: it is forgotten after all others. */
  isKnown(domain: string): boolean
  onChanged(change: KeyChange & { readonly domain: string }): void
  onFailed(thrown: unknown): void
  /** Domains that are kept. Default: `limits.keysSeen`. */
  readonly most?: number
}

const changesMost = 8
const page = 1000
/** Of the oldest, so many are looked at for one that nobody here knows. */
const strangersAmong = 1000

export class Continuity {
  readonly #ports: ContinuityPorts
  /** Domains of which there is a row, the one that was seen longest ago first; read when a new one comes. */
  #domains: Promise<Set<string>> | undefined

  constructor(ports: ContinuityPorts) {
    this.#ports = ports
  }

  /** Takes note of what DNS shows; who asked for it does not wait for that. A domain without keys says nothing. */
  see(domain: string, keys: readonly DomainKey[]): void {
    if (keys.length > 0) this.#note(domain, keys).catch(this.#ports.onFailed)
  }

  async #note(domain: string, keys: readonly DomainKey[]): Promise<void> {
    const { database, clock, onChanged } = this.#ports
    const key = keyOf.pinned(domain)
    const names = keys.map(({ selector, thumbprint }) => ({ selector, thumbprint }))
    let isNew = false
    const change = await untilWritten(async () => {
      const text = database.get(key)
      const before = text === undefined ? undefined : readPinned(text)
      const nowMs = clock.now()
      isNew = text === undefined
      if (before !== undefined && isSame(before.keys, names) && isFresh(before, nowMs)) return none
      const found = before === undefined ? undefined : findChange(before, names, nowMs)
      const row = JSON.stringify(nextRow(before, names, found, nowMs))
      const condition = text === undefined ? { absent: [key] } : { equals: [[key, text] as const] }
      // That nothing changed can be lost.
      const write = { ...condition, puts: [[key, row] as const], isRelaxed: found === undefined }
      const [isWritten] = await database.commit([write])
      return isWritten === true ? (found ?? none) : undefined
    })
    if (change !== none) onChanged({ domain, ...change })
    if (isNew || this.#domains !== undefined) await this.#keepFew(domain)
  }

  /** Strangers can have as many domains as they like: those seen longest ago go, and before them those that nobody knows. */
  async #keepFew(domain: string): Promise<void> {
    const { database, isKnown, most = limits.keysSeen } = this.#ports
    this.#domains ??= readOldestFirst(database)
    const domains = await this.#domains
    domains.delete(domain)
    domains.add(domain)
    while (domains.size > most) {
      const leaving = findStranger(domains, isKnown) ?? domain
      domains.delete(leaving)
      await database.commit([{ dels: [keyOf.pinned(leaving)], isRelaxed: true }])
    }
  }
}

/** The first that nobody knows, else the first. */
function findStranger(
  domains: ReadonlySet<string>,
  isKnown: (domain: string) => boolean,
): string | undefined {
  let looked = 0
  for (const domain of domains) {
    if (!isKnown(domain)) return domain
    if (++looked === strangersAmong) break
  }
  const [first] = domains
  return first
}

/** Nothing changed. */
const none: KeyChange = { atMs: 0, from: [], to: [] }

/** `undefined` for a text that is no such row. */
export function readPinned(text: string): Pinned | undefined {
  const row = findRow<Pinned>(text)
  if (row === undefined || !Array.isArray(row.keys) || row.keys.length === 0) return undefined
  const { keys, changes = [] } = row as Pinned
  const isRight =
    keys.every(isSeenKey) &&
    Array.isArray(changes) &&
    changes.every(each => isTime(each?.atMs) && areNames(each.to) && areNames(each.from))
  return isRight ? row : undefined
}

function isSeenKey(key: SeenKey | undefined): boolean {
  return isName(key) && isTime(key?.firstAtMs) && isTime(key?.lastAtMs)
}

function areNames(names: readonly KeyName[] | undefined): boolean {
  return Array.isArray(names) && names.every(isName)
}

function isName(name: KeyName | undefined): boolean {
  return typeof name?.selector === 'string' && typeof name.thumbprint === 'string'
}

function isTime(ms: number | undefined): boolean {
  return Number.isSafeInteger(ms)
}

function isSame(keys: readonly KeyName[], names: readonly KeyName[]): boolean {
  const texts = (of: readonly KeyName[]): string =>
    of
      .map(({ selector, thumbprint }) => `${thumbprint} ${selector}`)
      .sort()
      .join()
  return texts(keys) === texts(names)
}

/** Seen a while ago, and not after now: a clock that was set back must not keep a time that has not come. */
function isFresh({ keys }: Pinned, nowMs: number): boolean {
  return keys.every(({ lastAtMs }) => lastAtMs <= nowMs && nowMs - lastAtMs < limits.keySeenMs)
}

function findChange({ keys }: Pinned, names: readonly KeyName[], atMs: number): KeyChange | undefined {
  const before = new Set(keys.map(({ thumbprint }) => thumbprint))
  // By the thumbprint: under another selector it is the same key.
  return names.some(({ thumbprint }) => before.has(thumbprint)) ? undefined : { atMs, from: keys, to: names }
}

function nextRow(
  before: Pinned | undefined,
  names: readonly KeyName[],
  change: KeyChange | undefined,
  nowMs: number,
): Pinned {
  const firstAtMs = (thumbprint: string): number =>
    before?.keys.find(each => each.thumbprint === thumbprint)?.firstAtMs ?? nowMs
  const keys = names.map(name => ({ ...name, firstAtMs: firstAtMs(name.thumbprint), lastAtMs: nowMs }))
  const changes = [...recent(before?.changes ?? [], nowMs), ...(change === undefined ? [] : [change])]
  return { keys, ...(changes.length === 0 ? {} : { changes: changes.slice(-changesMost) }) }
}

function recent(changes: readonly KeyChange[], nowMs: number): readonly KeyChange[] {
  return changes.filter(({ atMs }) => nowMs - atMs < limits.keyChangeMs)
}

async function* rowsOf(database: Database): AsyncGenerator<readonly [domain: string, text: string]> {
  for (let { gt, lt } = rangeOf('pinned'); ; ) {
    const rows = await database.scan({ gt, lt }, { limit: page })
    for (const [key, text] of rows) yield [lastPart(key), text]
    const [last] = rows.at(-1) ?? []
    if (last === undefined || rows.length < page) return
    gt = last
  }
}

async function readOldestFirst(database: Database): Promise<Set<string>> {
  const seen: (readonly [domain: string, lastAtMs: number])[] = []
  for await (const [domain, text] of rowsOf(database))
    seen.push([domain, readPinned(text)?.keys[0]?.lastAtMs ?? 0])
  return new Set(seen.sort(([, left], [, right]) => left - right).map(([domain]) => domain))
}

/** The domains whose keys changed without overlap, which nobody has acknowledged, by name. */
export async function readChangedKeys(database: Database, nowMs: number): Promise<ChangedKeys[]> {
  const changed: ChangedKeys[] = []
  for await (const [domain, text] of rowsOf(database)) {
    const changes = recent(readPinned(text)?.changes ?? [], nowMs)
    if (changes.length > 0) changed.push({ domain, changes })
  }
  return changed
}

/** Takes the changes of all domains of a pattern as seen, and gives the names of these domains. */
export async function acknowledgeKeys(database: Database, pattern: string): Promise<string[]> {
  const seen: string[] = []
  for await (const [domain] of rowsOf(database)) {
    if (!isMatch(pattern, domain)) continue
    const key = keyOf.pinned(domain)
    const isDone = await untilWritten(async () => {
      const text = database.get(key)
      const row = text === undefined ? undefined : readPinned(text)
      if (text === undefined || row?.changes === undefined) return false
      const puts = [[key, JSON.stringify({ keys: row.keys } satisfies Pinned)] as const]
      const [isWritten] = await database.commit([{ equals: [[key, text]], puts }])
      return isWritten === true ? true : undefined
    })
    if (isDone) seen.push(domain)
  }
  return seen
}
