/** What the steps of an upgrade read and write with, while nobody else has the store. */
import type { FmtpObject } from '../../../schemas/object.ts'
import type { Change } from '../change.ts'
import type { Database } from '../engine/database.ts'
import type { Row } from '../engine/leveldb.ts'
import { keyOf, type Range } from '../layout.ts'

export type UpgradeStore = Pick<Database, 'get' | 'scan' | 'commit'>

/** One step. `atMs` is when the upgrade began. Counts what it goes through by calling `onDone`. */
export type UpgradeStep = (
  store: UpgradeStore,
  atMs: number,
  onDone: (count: number) => void,
) => Promise<void>

export type AtRest = Omit<FmtpObject, 'encryptedKey'>

const page = 500

/** The text of an object as it stands in the store. */
export function findAtRest(store: UpgradeStore, id: string): AtRest | undefined {
  const text = store.get(keyOf.object(id))
  return text === undefined ? undefined : (JSON.parse(text) as AtRest)
}

/** Without conditions, as nobody else writes. May be lost in a crash: then it is written again. */
export async function write(store: UpgradeStore, change: Partial<Change>): Promise<void> {
  await store.commit([{ ...change, absent: [], equals: [], isRelaxed: true }])
}

/** All rows of a range, page by page; what is put behind the page meanwhile comes as well. */
export async function* pages(store: UpgradeStore, range: Range): AsyncGenerator<readonly Row[], void> {
  for (let { gt } = range; ; ) {
    const rows = await store.scan({ gt, lt: range.lt }, { limit: page })
    if (rows.length > 0) yield rows
    const [last] = rows.at(-1) ?? []
    if (last === undefined || rows.length < page) return
    gt = last
  }
}
