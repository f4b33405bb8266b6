/** Goes through all entries in order, and through the heads of lists: last numbers, and sums of bytes. */
import { entriesAfter, entryOf, keyOf, type ListName, listOf } from '../../objects/store/layout.ts'
import { checkGap, checkOutboxEntry, isOutboxList } from './delivery-rows.ts'
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
  #list: ListName | undefined
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
    if (list !== this.#list) this.end()
    this.#list = list
    if (isOutboxList(list)) checkOutboxEntry(this.#sight, key, value, this.#last)
    else checkEntry(this.#sight, key, value)
    this.#last = number
  }

  /** After the last entry of a list. */
  end(): void {
    const [sight, list, last] = [this.#sight, this.#list, this.#last]
    this.#list = undefined
    this.#last = 0
    if (list === undefined) return
    const text = sight.get(keyOf.head(list))
    const head = findHead(text)
    if (head !== undefined && head.number >= last) {
      if (isOutboxList(list)) checkGap(sight, list, last, head.number + 1)
      return
    }
    sight.numbers.set(list, last)
    const value = `${last} ${head?.bytes ?? 0}`
    const told = `the list has an entry ${last}, and its head says ${text ?? 'nothing'}`
    sight.find('count-wrong', keyOf.head(list), told, { puts: [[keyOf.head(list), value]] })
  }
}

/** Which rows the bytes of a list are the sum of. */
function summedOf(list: ListName): readonly string[] {
  if (list.startsWith('box ')) return ['boxed', 'newest']
  if (list.startsWith('blobs ')) return ['uploaded']
  if (list.startsWith('relay ')) return ['relayed']
  return list === listOf.cache ? ['cached', 'used', 'carried'] : []
}

export async function checkHead(sight: Sight, key: string, value: string): Promise<void> {
  const list = key.slice('head '.length) as ListName
  const bytes = sight.bytes.get(list) ?? 0
  sight.bytes.delete(list)
  const head = findHead(value)
  const hasEntries = head === undefined && (await sight.hasRows(entriesAfter(list, 0)))
  if (hasEntries || summedOf(list).some(word => sight.unread.has(word))) return
  const number = Math.max(head?.number ?? 0, sight.numbers.get(list) ?? 0)
  if (head?.bytes === bytes) {
    const isOutbox = isOutboxList(list) && !(await sight.hasRows(entriesAfter(list, 0)))
    if (isOutbox) checkGap(sight, list, 0, number + 1)
    return
  }
  const told = `says ${value.slice(0, 40)} of ${bytes} bytes`
  sight.find('count-wrong', key, told, { puts: [[key, `${number} ${bytes}`]] })
}

/** Lists that have bytes and no head. */
export async function checkHeadless(sight: Sight): Promise<void> {
  for (const [list, bytes] of sight.bytes) {
    const isUnread = [...summedOf(list), 'head'].some(word => sight.unread.has(word))
    if (bytes === 0 || isUnread || (await sight.hasRows(entriesAfter(list, 0)))) continue
    const key = keyOf.head(list)
    sight.find('count-wrong', key, `says nothing of ${bytes} bytes`, { puts: [[key, `0 ${bytes}`]] })
  }
}
