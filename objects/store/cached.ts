/**
 * Foreign objects that were fetched and that nobody here asked to keep (protocol §10.2): their bytes are counted, and the
 * least recently used go first. What comes into a box is no cache any more.
 */
import { limits } from '../../schemas/limits.ts'
import type { Change } from './change.ts'
import { holdAs } from './change.ts'
import type { Database } from './engine/database.ts'
import { keyOf, listOf } from './layout.ts'
import { parseRow } from './row.ts'

export interface Cached {
  readonly bytes: number
  /** Unix ms, at most a day behind. */
  readonly usedAtMs: number
}

function findCached(id: string, database: Pick<Database, 'get'>) {
  const text = database.get(keyOf.cached(id))
  return { text, cached: text === undefined ? undefined : parseRow<Cached>(text) }
}

/** Counts an object that was fetched now. */
export function cache(
  change: Change,
  id: string,
  { bytes, nowMs }: { readonly bytes: number; readonly nowMs: number },
  database: Pick<Database, 'get'>,
): void {
  const { text, cached } = findCached(id, database)
  holdAs(change, keyOf.cached(id), text)
  if (cached !== undefined) change.dels.push(keyOf.used(cached.usedAtMs, id))
  const record: Cached = { bytes, usedAtMs: nowMs }
  change.puts.push([keyOf.cached(id), JSON.stringify(record)])
  // The same ms as before would be taken away again: deletions come after what is put.
  if (cached?.usedAtMs === nowMs) change.dels.pop()
  change.puts.push([keyOf.used(nowMs, id), ''])
  change.adjusts.push({ list: listOf.cache, bytes: bytes - (cached?.bytes ?? 0) })
}

/** Stops counting an object: it is held, or it goes. */
export function uncache(change: Change, id: string, database: Pick<Database, 'get'>): void {
  const { text, cached } = findCached(id, database)
  if (text === undefined || cached === undefined) return
  change.equals.push([keyOf.cached(id), text])
  change.dels.push(keyOf.cached(id), keyOf.used(cached.usedAtMs, id))
  change.adjusts.push({ list: listOf.cache, bytes: -cached.bytes })
}

/** Notes that an object was used, at most once a day: reading writes nothing else. May be lost. */
export async function noteUse(id: string, nowMs: number, database: Database): Promise<void> {
  const { text, cached } = findCached(id, database)
  if (text === undefined || cached === undefined || nowMs - cached.usedAtMs < limits.cacheUsedMs) return
  const record: Cached = { ...cached, usedAtMs: nowMs }
  await database.commit([
    {
      equals: [[keyOf.cached(id), text]],
      puts: [
        [keyOf.cached(id), JSON.stringify(record)],
        [keyOf.used(nowMs, id), ''],
      ],
      dels: [keyOf.used(cached.usedAtMs, id)],
      isRelaxed: true,
    },
  ])
}
