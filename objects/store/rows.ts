/** Goes through a range of any length: each row once, page by page, as the store is at the time of the page. */
import type { Database } from './engine/database.ts'
import type { Row } from './engine/leveldb.ts'
import type { Range } from './layout.ts'

const page = 500

export async function* rowsIn(range: Range, database: Pick<Database, 'scan'>): AsyncGenerator<Row> {
  for (let { gt, lt } = range; ; ) {
    const rows = await database.scan({ gt, lt }, { limit: page })
    yield* rows
    const [last] = rows.at(-1) ?? []
    if (last === undefined || rows.length < page) return
    gt = last
  }
}
