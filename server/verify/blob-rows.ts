/**
 * Blobs: the rows that count them, and the files. Files come and go beside the snapshot, so that one that does not fit is
 * looked at again a moment later, together with the store as it is then.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attached, attachedTo, type Pulled } from '../../objects/store/attachments.ts'
import type { Carried } from '../../objects/store/blobs/blob-cache.ts'
import { type Pull, pullKeyOf } from '../../objects/store/blobs/fetch-queue.ts'
import { keyOf, listOf, rangeOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import { isDomain } from '../../schemas/text/names.ts'
import { areWhole, isWhole, partsOf, type Sight } from './sight.ts'

interface BlobRow {
  readonly bytes: number
  readonly atMs: number
}

function findBlob(sight: Sight, sha256: string): BlobRow | undefined {
  const row = sight.findRow<BlobRow>(keyOf.blob(sha256))
  return row !== undefined && areWhole(row.bytes, row.atMs) ? row : undefined
}

export async function checkBlob(sight: Sight, key: string, value: string): Promise<void> {
  const [sha256] = partsOf(key)
  if (findBlob(sight, sha256) === undefined) return
  if (sight.get(keyOf.loose(sha256)) !== undefined) return
  if (!(await isNeeded(sight, sha256)))
    sight.expect(keyOf.loose(sha256), '0', `no object names it, and ${value.slice(0, 40)} is here`)
}

/** An object names it, or the cache has it. */
async function isNeeded(sight: Sight, sha256: string): Promise<boolean> {
  for (const sort of ['attached', 'carried'] as const)
    if (await sight.hasRows(rangeOf(sort, sha256))) return true
  return false
}

export function checkUploaded(sight: Sight, key: string, value: string): void {
  const [sha256, address] = partsOf(key)
  if (!sight.isOurs(address)) {
    sight.stray(key, `there is no user ${address}`)
    return
  }
  const blob = findBlob(sight, sha256)
  const bytes = blob?.bytes ?? (isWhole(value) ? Number(value) : 0)
  sight.addBytes(listOf.blobs(address), bytes)
  if (blob !== undefined && value !== String(bytes))
    sight.find('count-wrong', key, `says ${value.slice(0, 20)} of ${bytes} bytes`, {
      puts: [[key, String(bytes)]],
    })
  else if (sight.get(keyOf.blob(sha256)) === undefined) {
    const puts = [[keyOf.blob(sha256), JSON.stringify({ bytes, atMs: 0 })] as const]
    sight.find('entry-missing', keyOf.blob(sha256), `${address} has put it here`, { puts })
  }
}

/** A blob that came with an object of another domain takes room of a user, as long as the object names it. */
export function checkPulled(sight: Sight, key: string, value: string): void {
  const [sha256, id] = partsOf(key)
  const pulled = findRow<Partial<Pulled>>(value)
  const blob = findBlob(sight, sha256)
  const seen = sight.findObject(id)
  const address = pulled?.address
  const isNamed = sight.isLost(id) || (seen !== undefined && attachedTo(seen.object).has(sha256))
  if (!isNamed || blob === undefined || typeof address !== 'string' || !sight.isOurs(address)) {
    // Without it nobody is given the blob for this object's sake, until it is asked for and comes again.
    sight.stray(key, `${id} has no such blob, or it is nobody's`)
    return
  }
  sight.addBytes(listOf.blobs(address), blob.bytes)
  if (value === JSON.stringify({ address, bytes: blob.bytes })) return
  const puts = [[key, JSON.stringify({ address, bytes: blob.bytes } satisfies Pulled)] as const]
  sight.find('count-wrong', key, `says ${value.slice(0, 60)} of ${blob.bytes} bytes`, { puts })
}

/** A blob that went through here takes room of the cache, and has a row by the time of its last use. */
export function checkCarried(sight: Sight, key: string, value: string): void {
  const [sha256, domain] = partsOf(key)
  const blob = findBlob(sight, sha256)
  if (blob === undefined || !isDomain(domain)) {
    // It is asked for again by who wants it.
    sight.stray(key, `${sha256} is not here, or came from no domain`)
    return
  }
  sight.addBytes(listOf.cache, blob.bytes)
  const carried = findRow<Partial<Carried>>(value)
  const usedAtMs = areWhole(carried?.usedAtMs) ? Number(carried?.usedAtMs) : 0
  const right = JSON.stringify({ bytes: blob.bytes, usedAtMs } satisfies Carried)
  if (value !== right) {
    const told = `says ${value.slice(0, 60)} of ${blob.bytes} bytes`
    sight.find('count-wrong', key, told, { puts: [[key, right]] })
  }
  sight.expect(keyOf.idle(usedAtMs, sha256, domain), '', `${sha256} is in the cache`)
}

export function checkIdle(sight: Sight, key: string, value: string): void {
  const [, sha256, domain] = partsOf(key)
  const carried = sight.findRow<Partial<Carried>>(keyOf.carried(sha256, domain))
  const usedAtMs = areWhole(carried?.usedAtMs) ? Number(carried?.usedAtMs) : 0
  const isRight = carried !== undefined && keyOf.idle(usedAtMs, sha256, domain) === key
  if (!isRight) sight.stray(key, `${sha256} was not used then`)
  else if (value !== '') sight.expect(key, '', `${sha256} was used then`)
}

/** Whose object has gone is dropped when its time comes. */
export function checkPull(sight: Sight, key: string, value: string): void {
  const [domain] = partsOf(key)
  const { dueAtMs, sha256, id } = pullKeyOf(key)
  if (!areWhole(dueAtMs) || keyOf.pull(domain, dueAtMs, sha256, id) !== key || !isIdOf(id, domain)) {
    sight.stray(key, 'is no time and blob of an object from there')
    return
  }
  const pull = findRow<Partial<Pull>>(value)
  const { atMs, attempts, faults, firstAtMs = 0 } = pull ?? {}
  if (areWhole(atMs, attempts, faults, firstAtMs)) return
  const anew: Pull = { atMs: dueAtMs, attempts: 0, faults: 0 }
  sight.find('entry-wrong', key, `says ${value.slice(0, 100)}`, { puts: [[key, JSON.stringify(anew)]] })
}

function isIdOf(id: string, domain: string): boolean {
  return id.endsWith(`@${domain}`) || id.endsWith(`.${domain}`)
}

export function checkLoose(sight: Sight, key: string, value: string): void {
  const [sha256] = partsOf(key)
  if (sight.get(keyOf.blob(sha256)) === undefined && sight.get(keyOf.blobLeaving(sha256)) === undefined)
    sight.stray(key, 'is no blob')
  else if (!isWhole(value)) sight.expect(key, '0', 'says since when no object names it')
}

export function checkBlobLeaving(sight: Sight, key: string): void {
  const [sha256] = partsOf(key)
  if (sight.get(keyOf.loose(sha256)) === undefined) sight.stray(key, 'is said to go, and is not loose')
}

export interface BlobCounts {
  readonly files: number
  readonly bytes: number
  /** Half of a file each: uploads under way, or cut off by a kill. */
  readonly drafts: number
  /** Whole files of which the store knows nothing: a kill leaves one behind. Nobody can have them. */
  readonly unknown: number
  /** Files that were put aside. */
  readonly aside: number
}

export interface BlobFilesOptions {
  readonly folder: string
  /** The store as it is now. */
  readonly get: (key: string) => string | undefined
  readonly signal: AbortSignal
  readonly isRepairing: boolean
  readonly onProgress: (files: number) => void
}

/** What does not fit at first sight: a name of a file, or of a row. */
type Suspect = readonly [code: 'blob-damaged' | 'blob-missing' | 'unknown', sha256: string]

// How long an upload is between its file and its row, and a removal between its row and its file.
const momentMs = 1500
const stepMs = 50
const namePattern = /^[A-Za-z0-9_-]{43}$/

/** Reads every file, and looks for that of every row. */
export async function checkBlobFiles(sight: Sight, options: BlobFilesOptions): Promise<BlobCounts> {
  const { folder, signal, onProgress } = options
  const suspects: Suspect[] = []
  let [files, bytes, unknown] = [0, 0, 0]
  for (const name of namesIn(folder)) {
    signal.throwIfAborted()
    const found = namePattern.test(name) ? await findHash(fileOf(folder, name)) : undefined
    if (found === undefined && namePattern.test(name)) continue
    files++
    bytes += found?.bytes ?? 0
    if (found?.sha256 !== name) suspects.push(['blob-damaged', name])
    else if (sight.get(keyOf.blob(name)) === undefined) suspects.push(['unknown', name])
    else checkSize(sight, name, found.bytes)
    onProgress(files)
  }
  for await (const rows of sight.snapshot.batches(rangeOf('blob')))
    for (const [key] of rows) {
      const [sha256] = partsOf(key)
      if (!existsSync(fileOf(folder, sha256))) suspects.push(['blob-missing', sha256])
    }
  const left = options.isRepairing ? suspects : await waitFor(suspects, options)
  for (const suspect of left) if (await isUnknown(sight, suspect, options)) unknown++
  return { files, bytes, unknown, drafts: countIn(folder, 'drafts'), aside: countIn(folder, 'damaged') }
}

/** Those that do not fit a moment later either. */
async function waitFor(
  suspects: readonly Suspect[],
  { folder, get, signal }: BlobFilesOptions,
): Promise<readonly Suspect[]> {
  let left = suspects
  for (let waitedMs = 0; left.length > 0 && waitedMs < momentMs; waitedMs += stepMs) {
    await sleep(stepMs, undefined, { signal })
    left = left.filter(([code, sha256]) => {
      const [hasRow, hasFile] = [get(keyOf.blob(sha256)) !== undefined, existsSync(fileOf(folder, sha256))]
      return code === 'blob-damaged' ? hasFile : hasRow !== hasFile
    })
  }
  return left
}

function checkSize(sight: Sight, sha256: string, bytes: number): void {
  const key = keyOf.blob(sha256)
  const row = findBlob(sight, sha256)
  if (row?.bytes === bytes) return
  const puts = [[key, JSON.stringify({ bytes, atMs: row?.atMs ?? 0 })] as const]
  sight.find('entry-wrong', key, `its file has ${bytes} bytes`, { puts })
}

/** Looks once more; finds what is damaged, and gives true for a file of which nothing is known. */
async function isUnknown(
  sight: Sight,
  [code, sha256]: Suspect,
  { folder, get, isRepairing }: BlobFilesOptions,
): Promise<boolean> {
  const file = fileOf(folder, sha256)
  const [hasRow, hasFile] = [get(keyOf.blob(sha256)) !== undefined, existsSync(file)]
  if (code === 'blob-missing') {
    if (hasRow && !hasFile)
      sight.find(code, keyOf.blob(sha256), 'its file is not there: put it back from a backup, or upload it')
  } else if (code === 'unknown') {
    if (hasRow || !hasFile) return false
    // Somebody has put it here, or names it: only its row is missing.
    if (await isNamed(sight, sha256)) {
      checkSize(sight, sha256, statSync(file).size)
      return false
    }
    if (isRepairing) putAside(folder, sha256)
    return !isRepairing
  } else if (hasFile && (await findHash(file))?.sha256 !== sha256) {
    if (isRepairing) putAside(folder, sha256)
    sight.find(code, keyOf.blob(sha256), `the bytes of ${file} are others: put it back from a backup`)
  }
  return false
}

function putAside(folder: string, name: string): void {
  mkdirSync(join(folder, 'damaged'), { recursive: true, mode: 0o700 })
  renameSync(fileOf(folder, name), join(folder, 'damaged', name))
}

async function isNamed(sight: Sight, sha256: string): Promise<boolean> {
  for (const sort of ['uploaded', 'pulled', 'carried'] as const)
    if (await sight.hasRows(rangeOf(sort, sha256))) return true
  for await (const rows of sight.snapshot.batches(rangeOf('attached', sha256)))
    if (rows.some(([, value]) => findRow<Attached>(value)?.isProven === true)) return true
  return false
}

function fileOf(folder: string, name: string): string {
  return join(folder, name.slice(0, 2), name.slice(2))
}

function* namesIn(folder: string): Generator<string> {
  if (!existsSync(folder)) return
  for (const start of readdirSync(folder))
    if (start.length === 2) for (const rest of readdirSync(join(folder, start))) yield `${start}${rest}`
}

function countIn(...path: readonly [string, string]): number {
  const folder = join(...path)
  return existsSync(folder) ? readdirSync(folder).length : 0
}

/** `undefined`: it is gone. */
async function findHash(
  file: string,
): Promise<{ readonly sha256: string; readonly bytes: number } | undefined> {
  const hash = createHash('sha256')
  try {
    const { size: bytes } = statSync(file)
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
    return { sha256: hash.digest('base64url'), bytes }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    // The disk does not give it back.
    return { sha256: '', bytes: 0 }
  }
}
