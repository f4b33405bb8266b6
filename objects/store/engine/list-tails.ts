/**
 * The last entries of lists, in memory: most readers wait at the end of their list, and are woken by the very append.
 * Nothing in it is more than a copy of what is on the disk.
 */
import { BoundedMap } from '../../../wire/bounded-map.ts'
import type { ListName } from '../layout.ts'
import type { ListChange } from './group-commit.ts'
import type { Entry } from './write.ts'

/** The last entries of a list: all with a number above `after` that were not taken out. */
interface Tail {
  readonly after: number
  readonly entries: readonly Entry[]
}

// Entries are about 100 bytes, so that all tails stay within some MiB.
const tailsMost = 1000
const tailEntries = 256

export class Tails {
  readonly #tails = new BoundedMap<ListName, Tail>(tailsMost)

  /** At most `limit` entries after a number, oldest first. `undefined`: they are not all in memory. */
  find(list: ListName, after: number, limit: number): readonly Entry[] | undefined {
    const tail = this.#tails.get(list)
    if (tail === undefined || after < tail.after) return undefined
    let start = tail.entries.length
    while (start > 0 && (tail.entries[start - 1]?.number ?? 0) > after) start--
    return tail.entries.slice(start, start + limit)
  }

  /** Follows what a batch did to a list. */
  keep(list: ListName, { appended, removed }: ListChange): void {
    const before = this.#tails.get(list)
    const [first] = appended
    const start = first === undefined ? undefined : first.number - 1
    if (before === undefined && start === undefined) return
    const all = [...(before?.entries ?? []), ...appended].filter(({ number }) => !removed.has(number))
    const dropped = Math.max(0, all.length - tailEntries)
    const after = dropped > 0 ? (all[dropped - 1]?.number ?? 0) : (before?.after ?? start ?? 0)
    this.#tails.set(list, { after, entries: all.slice(dropped) })
  }
}
