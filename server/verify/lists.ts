/** Goes through all entries in order, and through the heads of lists: last numbers, and sums of bytes. */
import {
  entriesAfter,
  entryOf,
  findList,
  keyOf,
  type ListParts,
  type ListSort,
  sortOfList,
  type Word,
} from '../../objects/store/layout.ts'
import { checkGap, checkOutboxEntry } from './delivery-rows.ts'
import { checkEntry } from './places.ts'
import { isWhole, type Sight } from './sight.ts'

interface HeadRow {
  readonly number: number
  readonly bytes: number
}

function findHead(text: string | undefined): HeadRow | undefined {
  const [number = '', bytes = '', more] = text?.split(' ') ?? []
  if (!isWhole(number) || !isWhole(bytes) || more !== undefined) return undefined
  return { number: Number(number), bytes: Number(bytes) }
}

export class EntryChecks {
  readonly #sight: Sight
  #parts: ListParts | undefined
  #last = 0

  constructor(sight: Sight) {
    this.#sight = sight
  }

  check(key: string, value: string): void {
    const { list, number } = entryOf(key) ?? { list: undefined, number: Number.NaN }
    if (list === undefined || keyOf.entry(list, number) !== key) {
      this.#sight.stray(key, 'is no number of a list')
      return
    }
    const parts = findList(list)
    if (parts === undefined || parts.entries === 'none') {
      this.#sight.stray(key, 'is of no list that has entries')
      return
    }
    if (list !== this.#parts?.list) this.end()
    this.#parts = parts
    if (parts.entries === 'objects') checkEntry(this.#sight, key, value, { parts, number })
    else checkOutboxEntry(this.#sight, key, value, { list, number, before: this.#last })
    this.#last = number
  }

  /** After the last entry of a list. */
  end(): void {
    const [sight, parts, last] = [this.#sight, this.#parts, this.#last]
    this.#parts = undefined
    this.#last = 0
    if (parts === undefined) return
    const { list } = parts
    const text = sight.get(keyOf.head(list))
    const head = findHead(text)
    if (head !== undefined && head.number >= last) {
      if (parts.entries === 'deliveries') checkGap(sight, list, last, head.number + 1)
      return
    }
    sight.numbers.set(list, last)
    const value = `${last} ${head?.bytes ?? 0}`
    const told = `the list has an entry ${last}, and its head says ${text ?? 'nothing'}`
    sight.find('count-wrong', keyOf.head(list), told, { puts: [[keyOf.head(list), value]] })
  }
}

/** Which rows the bytes of a list are the sum of. */
const summed: { readonly [S in ListSort]: readonly Word[] } = {
  public: [],
  box: ['boxed', 'newest'],
  thread: [],
  outbox: [],
  bulk: [],
  blobs: ['uploaded'],
  relay: ['relayed'],
  cache: ['cached', 'used', 'carried'],
}

export async function checkHead(sight: Sight, key: string, value: string): Promise<void> {
  const parts = findList(key.slice('head '.length))
  if (parts === undefined) {
    sight.stray(key, 'is of no list')
    return
  }
  const { list, sort } = parts
  const bytes = sight.bytes.get(list) ?? 0
  sight.bytes.delete(list)
  const head = findHead(value)
  const hasEntries = head === undefined && (await sight.hasRows(entriesAfter(list, 0)))
  if (hasEntries || summed[sort].some(word => sight.unread.has(word))) return
  const number = Math.max(head?.number ?? 0, sight.numbers.get(list) ?? 0)
  if (head?.bytes === bytes) {
    const isOutbox = parts.entries === 'deliveries' && !(await sight.hasRows(entriesAfter(list, 0)))
    if (isOutbox) checkGap(sight, list, 0, number + 1)
    return
  }
  const told = `says ${value.slice(0, 40)} of ${bytes} bytes`
  sight.find('count-wrong', key, told, { puts: [[key, `${number} ${bytes}`]] })
}

/** Lists that have bytes and no head. */
export async function checkHeadless(sight: Sight): Promise<void> {
  for (const [list, bytes] of sight.bytes) {
    const isUnread = [...summed[sortOfList(list)], 'head'].some(word => sight.unread.has(word))
    if (bytes === 0 || isUnread || (await sight.hasRows(entriesAfter(list, 0)))) continue
    const key = keyOf.head(list)
    sight.find('count-wrong', key, `says nothing of ${bytes} bytes`, { puts: [[key, `0 ${bytes}`]] })
  }
}
