/**
 * What was read of a list a moment ago, until the list changes: the first page of a blog is asked for again and again.
 * Nothing in it is more than a copy of what is on the disk.
 */
import { BoundedMap } from '../../../wire/bounded-map.ts'
import type { ListName } from '../layout.ts'

const listsMost = 1000
const memosMost = 8

export class ListMemos {
  readonly #lists = new BoundedMap<ListName, Map<string, unknown>>(listsMost)

  /** What `read` gave for this, since the list changed last. */
  async remember<T>(list: ListName, what: string, read: () => Promise<T>): Promise<T> {
    const memos = this.#lists.get(list) ?? new Map<string, unknown>()
    const known = memos.get(what)
    if (known !== undefined) return known as T
    this.#lists.set(list, memos)
    const value = await read()
    // A list that changed while it was read has other memos now.
    if (this.#lists.get(list) === memos && memos.size < memosMost) memos.set(what, value)
    return value
  }

  forget(list: ListName): void {
    this.#lists.delete(list)
  }
}
