/** Finds what has waited for hours, so that its authors learn of it (protocol §10.5): each entry is looked at once for that. */
import type { Clock } from '../../objects/clock.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { findRow } from '../../objects/store/row.ts'
import type { Store } from '../../objects/store/store.ts'
import type { Step } from '../../routing/ladder.ts'
import { limits } from '../../schemas/limits.ts'
import type { Lane } from './lane.ts'
import { noEntry, type OutboxEntry } from './outbox.ts'
import type { Reports } from './status/reports.ts'

export interface LatePorts {
  readonly store: Store
  readonly clock: Clock
  readonly reports: Reports
  readonly trail: readonly Step[]
  readonly code: string
}

const pageEntries = 64

export async function tellLate(lane: Lane, ports: LatePorts): Promise<void> {
  const { store, clock, reports, code, trail } = ports
  const untilMs = clock.now() - limits.lateMs
  for (let told = firstTold(lane); ; ) {
    const page = await store.database.entries(lane.list, told, pageEntries)
    const entries = page.map(({ number, value }) => ({
      number,
      entry: findRow<OutboxEntry>(value) ?? noEntry,
    }))
    const late = entries.filter(({ entry }) => entry.atMs <= untilMs)
    await Promise.all(late.map(each => reports.late(lane.placed(each), { code, trail })))
    const last = late.at(-1)
    if (last !== undefined) {
      told = last.number
      // Who was told already is not told again, should this be lost.
      const row = [keyOf.told(lane.list), String(told)] as const
      await store.database.commit([{ puts: [row], isRelaxed: true }])
    }
    if (late.length < pageEntries) return
  }
}

/** What is settled without a gap is late no more, where nothing of it was put off. */
function firstTold({ told, retries, cursor }: Lane): number {
  return retries.isEmpty ? Math.max(told, cursor.done) : told
}
