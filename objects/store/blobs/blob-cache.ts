/**
 * Blobs that went through here to somebody else (protocol §10.7): kept whole, counted with the cache of foreign objects, and
 * the least recently used go first. One counts only for objects of the domain that gave all of it: others name what they do not have.
 */
import { limits } from '../../../schemas/limits.ts'
import { domainOf, type ObjectId, ownerOf } from '../../../schemas/text/names.ts'
import type { Database } from '../engine/database.ts'
import { keyOf, lastPart, listOf, rangeOf } from '../layout.ts'
import { parseRow } from '../row.ts'
import { untilWritten } from '../until-written.ts'

export interface Carried {
  readonly bytes: number
  /** Unix ms, at most a day behind. */
  readonly usedAtMs: number
}

const rowsMost = 1000

function findCarried(sha256: string, domain: string, database: Pick<Database, 'get'>) {
  const text = database.get(keyOf.carried(sha256, domain))
  return { text, carried: text === undefined ? undefined : parseRow<Carried>(text) }
}

/** True where a domain has shown to have the bytes: all of them came from there, for whomever, and they are counted here. */
export async function cameFrom(sha256: string, domain: string, database: Database): Promise<boolean> {
  if (database.get(keyOf.carried(sha256, domain)) !== undefined) return true
  const rows = await database.scan(rangeOf('pulled', sha256), { limit: rowsMost })
  return rows.some(([key]) => domainOf(ownerOf(lastPart(key) as ObjectId)) === domain)
}

/** Notes that a blob is here whole, as it came from a domain. Nobody may remove its file meanwhile. */
export function keepCarried(
  { sha256, domain, bytes }: { readonly sha256: string; readonly domain: string; readonly bytes: number },
  nowMs: number,
  database: Database,
): Promise<true> {
  const [key, blob] = [keyOf.carried(sha256, domain), keyOf.blob(sha256)]
  return untilWritten(async () => {
    const { text, carried } = findCarried(sha256, domain, database)
    const here = database.get(blob)
    const idle = keyOf.idle(nowMs, sha256, domain)
    const before = carried === undefined ? idle : keyOf.idle(carried.usedAtMs, sha256, domain)
    const record: Carried = { bytes, usedAtMs: nowMs }
    const [isWritten] = await database.commit([
      {
        equals: [
          ...(text === undefined ? [] : [[key, text] as const]),
          ...(here === undefined ? [] : [[blob, here] as const]),
        ],
        absent: [keyOf.blobLeaving(sha256), ...(text === undefined ? [key] : [])],
        puts: [
          [key, JSON.stringify(record)],
          [idle, ''],
          [blob, here ?? JSON.stringify({ bytes, atMs: nowMs })],
        ],
        dels: before === idle ? [] : [before],
        adjusts: [{ list: listOf.cache, bytes: bytes - (carried?.bytes ?? 0) }],
      },
    ])
    return isWritten === true || undefined
  })
}

/** Notes that it was given from here, at most once a day. May be lost. */
export async function noteCarriedUse(
  sha256: string,
  domain: string,
  nowMs: number,
  database: Database,
): Promise<void> {
  const { text, carried } = findCarried(sha256, domain, database)
  if (text === undefined || carried === undefined || nowMs - carried.usedAtMs < limits.cacheUsedMs) return
  const key = keyOf.carried(sha256, domain)
  const record: Carried = { ...carried, usedAtMs: nowMs }
  await database.commit([
    {
      equals: [[key, text]],
      puts: [
        [key, JSON.stringify(record)],
        [keyOf.idle(nowMs, sha256, domain), ''],
      ],
      dels: [keyOf.idle(carried.usedAtMs, sha256, domain)],
      isRelaxed: true,
    },
  ])
}

/** Takes one out of the cache, by its row of when it was used; who needs the bytes otherwise keeps them. True where it is out. */
export async function dropCarried(idle: string, database: Database): Promise<boolean> {
  const [, , sha256 = '', domain = ''] = idle.split(' ')
  const { text, carried } = findCarried(sha256, domain, database)
  const isOld = carried === undefined || keyOf.idle(carried.usedAtMs, sha256, domain) !== idle
  if (text === undefined || isOld) {
    await database.commit([{ dels: [idle], isRelaxed: true }])
    return false
  }
  const loose = keyOf.loose(sha256)
  // Of one that is loose already it is known since when.
  const isLoose = database.get(loose) !== undefined || database.get(keyOf.blob(sha256)) === undefined
  const [isWritten] = await database.commit([
    {
      equals: [[keyOf.carried(sha256, domain), text]],
      absent: isLoose ? [] : [loose],
      puts: isLoose ? [] : [[loose, '0']],
      dels: [keyOf.carried(sha256, domain), idle],
      adjusts: [{ list: listOf.cache, bytes: -carried.bytes }],
    },
  ])
  return isWritten === true
}
