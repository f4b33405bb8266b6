/**
 * Lists for whoever may read them (protocol §9.4): pages in the order of arrival or of making, within limits, and what
 * comes later to those who follow.
 */
import type { Clock } from '../../../objects/clock.ts'
import type { Hints } from '../../../objects/store/hints.ts'
import { type ListName, type ListWith, listOf, positionDigits } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { ListQuery } from '../../../schemas/frame.ts'
import { limits } from '../../../schemas/limits.ts'
import type { AskedList } from '../../../schemas/lists.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, isAddressName, type Name, type ObjectId } from '../../../schemas/text/names.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../../wire/pairing.ts'
import type { Standing } from '../../accounts/principal.ts'
import { follow } from './follow.ts'

export interface ListsPorts {
  readonly store: Store
  readonly hints: Hints
  readonly clock: Clock
  /** How often a follower looks at its list without a hint, ms. */
  readonly followMs: number
  isOwn(name: Name): boolean
  /** An object that is here, as these viewers may see it. */
  findFor(id: ObjectId, viewers: readonly string[]): FmtpObject | undefined
  /** False where a user of ours hides from these viewers; true for a forum. */
  isOpen(address: Address, viewers: readonly string[]): boolean
  /** True for a post that a forum of ours did not take, or removed. */
  isLeftOut(object: FmtpObject, viewers: readonly string[]): boolean
  /** A follow ended because its list could not be read. */
  onFollowFailed(thrown: unknown): void
}

/** The lists that are read page by page. */
type PagedList = Extract<AskedList, ListWith<'objects'>>

/** What a list is to its readers. `own`: the user of ours who asks. `name`: whose list it is. */
interface PagedRow {
  /** `undefined`: it is the list of another home. @throws {FmtpError} FMTP_NOT_ALLOWED, FMTP_BAD_FRAME */
  find(
    query: ListQuery,
    own: Name | undefined,
  ): { readonly list: ListName; readonly name: string } | undefined
  /** True where it looks empty to these viewers, whatever stands in it, and does not grow. */
  isHidden(name: string, viewers: readonly string[]): boolean
  /** True for an object that these viewers may see, though not in this list. */
  isLeftOut(object: FmtpObject, name: string, viewers: readonly string[]): boolean
  /** Who forwarded an object to the owner of the list. */
  findBringer(name: string, id: string): string | undefined
}

/** Who reads what, and how much of it. */
interface Reading {
  readonly row: PagedRow
  readonly list: ListName
  readonly name: string
  readonly kind: string | undefined
  readonly viewers: readonly string[]
  /** True for a user of ours. */
  readonly isOwn: boolean
  readonly inquiry: Inquiry
  /** What a follower was given in the order of making, by id and version: it does not come again as an arrival. */
  readonly handed?: Set<string>
}

/** Up to where a page was read. */
interface PageEnd {
  /** Number of the last entry that was looked at. */
  readonly last: number
  /** What its reader is told of that. */
  readonly cursor: string
  readonly isComplete: boolean
}

/** One request for a list. */
interface Asking {
  readonly query: ListQuery
  readonly inquiry: Inquiry
  readonly standing: Standing
  readonly viewers: readonly string[]
}

export type RevealList = (
  query: ListQuery,
  inquiry: Inquiry,
  standing: Standing,
  viewers: readonly string[],
) => Promise<Answer>

export function createLists(ports: ListsPorts): { readonly [L in PagedList]: RevealList } {
  const { store } = ports

  const rows: { readonly [L in PagedList]: PagedRow } = {
    public: {
      find({ owner }, own) {
        const name = owner ?? own
        if (name === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a public list needs owner')
        return ports.isOwn(name as Name) ? { list: listOf.public(name), name } : undefined
      },
      // A user who hides has no list for strangers.
      isHidden: (name, viewers) => isAddressName(name as Name) && !ports.isOpen(name as Address, viewers),
      // The list of a domain does not show users who hide; the list of a forum does.
      isLeftOut: ({ owner }, name, viewers) =>
        !isAddressName(name as Name) && owner !== name && !ports.isOpen(owner as Address, viewers),
      findBringer: () => undefined,
    },
    box: {
      find({ owner }, own) {
        if (own === undefined || (owner !== undefined && owner !== own))
          throw new FmtpError('FMTP_NOT_ALLOWED', 'the box of another')
        return { list: listOf.box(own), name: own }
      },
      isHidden: () => false,
      isLeftOut: () => false,
      findBringer: (name, id) => store.findBoxed(name, id)?.by,
    },
    thread: {
      find({ top }) {
        if (top === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a thread needs top')
        return { list: listOf.thread(top), name: top }
      },
      isHidden: () => false,
      isLeftOut: (object, _, viewers) => ports.isLeftOut(object, viewers),
      findBringer: () => undefined,
    },
  }

  /** What stands behind the dot of a cursor: digits, in the other order too many or too few of them. */
  function readCursor(text: string, isNewest: boolean): string {
    const [epoch, digits = ''] = text.split('.')
    if (epoch !== store.database.epoch) throw new FmtpError('FMTP_CURSOR_LOST', text)
    const isWrong = isNewest ? digits.length !== positionDigits : digits.length > arrivalDigits
    if (isWrong) throw new FmtpError('FMTP_BAD_FRAME', `${text} is no cursor of this order`)
    return digits
  }

  function cursorText(digits: string | number): string {
    return `${store.database.epoch}.${digits}`
  }

  /** An object of a list, as this reader may see it. */
  function find(id: string, { row, name, viewers }: Reading): FmtpObject | undefined {
    const object = ports.findFor(id as ObjectId, viewers)
    return object === undefined || row.isLeftOut(object, name, viewers) ? undefined : object
  }

  /** Gives the characters that it took. */
  function hand({ row, name, inquiry }: Reading, object: FmtpObject, cursor: string): number {
    const by = row.findBringer(name, object.id)
    return inquiry.describe({ object, cursor, ...(by === undefined ? {} : { by }) })
  }

  /**
   * Hands over the next objects of a list. To others than our own users the cursor that is given stands at the last entry
   * that they may see, so that a list of which they may see nothing looks like an empty one; and a page of theirs ends when
   * enough entries were looked at.
   */
  async function sendArrivals(reading: Reading, from: number, limit: number): Promise<PageEnd> {
    const { list, kind, isOwn, inquiry } = reading
    let last = from
    let seen = from
    let sent = 0
    let chars = 0
    for (let looked = 0; isOwn || looked < limits.pageEntries; ) {
      await inquiry.drained()
      const page = await store.readList(list, last, Math.min(limits.pageObjectsMost, Math.max(limit, 100)))
      looked += page.entries.length
      for (const entry of page.entries) {
        last = entry.number
        const object = find(entry.id, reading)
        if (object === undefined) continue
        seen = last
        // An older version comes again further on.
        if (object.version !== entry.version || (kind !== undefined && object.kind !== kind)) continue
        if (reading.handed?.delete(placeOf(object)) === true) continue
        chars += hand(reading, object, cursorText(last))
        if (++sent >= limit || chars >= limits.pageBytes)
          return { last, cursor: cursorText(last), isComplete: isLast(list, last) }
      }
      if (page.isComplete) return { last, cursor: cursorText(isOwn ? last : seen), isComplete: true }
    }
    return { last, cursor: cursorText(last), isComplete: isLast(list, last) }
  }

  function isLast(list: ListName, number: number): boolean {
    return store.database.head(list).number <= number
  }

  /** The same from the newest on; a page of others than our own users ends when enough was looked at. */
  async function sendNewest(
    reading: Reading,
    from: string | undefined,
    limit: number,
  ): Promise<Omit<PageEnd, 'last'>> {
    const { list, kind, isOwn, inquiry } = reading
    let before = from
    let sent = 0
    let chars = 0
    for (let looked = 0; isOwn || looked < limits.pageEntries; ) {
      await inquiry.drained()
      const asked = Math.min(limits.pageObjectsMost, limit - sent)
      const entries = await store.readNewest(list, { kind, before, limit: asked })
      looked += entries.length
      for (const { id, position } of entries) {
        before = position
        const object = find(id, reading)
        if (object === undefined) continue
        reading.handed?.add(placeOf(object))
        chars += hand(reading, object, cursorText(position))
        if (++sent >= limit || chars >= limits.pageBytes)
          return { cursor: cursorText(position), isComplete: false }
      }
      if (entries.length < asked) return { cursor: endOf(before), isComplete: true }
    }
    return { cursor: endOf(before), isComplete: false }
  }

  function endOf(position: string | undefined): string {
    return cursorText(position ?? '0'.repeat(positionDigits))
  }

  async function followArrivals(reading: Reading, from: number): Promise<void> {
    await follow(reading.list, from, ports, reading.inquiry.signal, after =>
      sendArrivals(reading, after, limits.pageObjectsMost),
    )
  }

  async function read(row: PagedRow, { query, inquiry, standing, viewers }: Asking): Promise<Answer> {
    const found = row.find(query, standing.role === 'client' ? standing.name : undefined)
    if (found === undefined)
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    const { list, name } = found
    const isOwn = standing.role === 'client'
    const reading: Reading = { row, list, name, kind: query.kind, viewers, isOwn, inquiry }
    const limit = query.limit ?? limits.pageObjects
    const isNewest = query.order === 'newest'
    const isFollowing = inquiry.request.follow === true
    const after = query.after === undefined ? undefined : readCursor(query.after, isNewest)
    if (row.isHidden(name, viewers))
      return { outcome: 'found', cursor: isNewest ? endOf(after) : cursorText(after ?? 0), complete: true }
    // The list began anew, because all that stood in it had ended. A stranger is not told that there is a list.
    if (!isNewest && isOwn && Number(after ?? 0) > store.database.head(list).number)
      throw new FmtpError('FMTP_CURSOR_LOST', query.after)
    if (!isNewest) {
      const page = await sendArrivals(reading, Number(after ?? 0), limit)
      if (isFollowing) followArrivals(reading, page.last).catch(ports.onFollowFailed)
      return { outcome: 'found', cursor: page.cursor, complete: page.isComplete }
    }
    // Noted before the page is read, so that nothing is missed that comes meanwhile.
    const head = store.database.head(list).number
    const newest = isFollowing ? { ...reading, handed: new Set<string>() } : reading
    const page = await sendNewest(newest, after, limit)
    if (isFollowing) followArrivals(newest, head).catch(ports.onFollowFailed)
    return { outcome: 'found', cursor: page.cursor, complete: page.isComplete }
  }

  const reader =
    (row: PagedRow): RevealList =>
    (query, inquiry, standing, viewers) =>
      read(row, { query, inquiry, standing, viewers })
  return { public: reader(rows.public), box: reader(rows.box), thread: reader(rows.thread) }
}

function placeOf({ id, version }: FmtpObject): string {
  return `${version} ${id}`
}

/** Digits of the number of an entry, which is a safe integer. */
const arrivalDigits = 15
