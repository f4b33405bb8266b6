/**
 * What one process keeps of its store in memory: nothing in it is more than a copy of what is on the disk, and it follows
 * each batch. It is for whoever is alone on the store (`database.ts`).
 */
import { BoundedMap } from '../../../wire/bounded-map.ts'
import { keyOf, type ListName } from '../layout.ts'
import type { GroupBatch } from './group-commit.ts'
import { ListMemos } from './list-memos.ts'
import { Tails } from './list-tails.ts'
import type { Head } from './write.ts'

const headsMost = 100_000
// Most are about 1 KB, so that all stay within some MiB.
const valuesMost = 5000
const valueChars = 4096

export class Memory {
  /** Heads that were read or written. */
  readonly heads = new BoundedMap<ListName, Head>(headsMost)
  readonly tails = new Tails()
  readonly memos = new ListMemos()
  /** Values that were read; null of a key that is not there, which is asked for again before it is written. */
  readonly #values = new BoundedMap<string, string | null>(valuesMost)

  /** null: there is no such key. `undefined`: it was not read. */
  findValue(key: string): string | null | undefined {
    return this.#values.get(key)
  }

  keepValue(key: string, value: string | undefined): void {
    if (value === undefined || value.length <= valueChars) this.#values.set(key, value ?? null)
  }

  /** Takes over what a batch has written. */
  follow(batch: Pick<GroupBatch, 'changedKeys' | 'heads' | 'lists'>): void {
    for (const key of batch.changedKeys) this.#values.delete(key)
    for (const [list, head] of batch.heads) {
      this.heads.set(list, head)
      this.#values.delete(keyOf.head(list))
    }
    for (const [list, change] of batch.lists) {
      this.tails.keep(list, change)
      this.memos.forget(list)
    }
  }
}
