/**
 * The third door: an object or a list is asked for (protocol §9). What the asker may not see is absent to it; what is
 * not ours is looked up for our own users only.
 */
import type { Clock } from '../../objects/clock.ts'
import { maySee } from '../../objects/disclosure.ts'
import type { Hints } from '../../objects/hints.ts'
import { type ListName, lastPart, listOf } from '../../objects/layout.ts'
import { findMatch } from '../../objects/pattern.ts'
import type { Store } from '../../objects/store.ts'
import { type Lookup, type Sought, soughtId } from '../../routing/lookup.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { ListQuery, RequestFrame } from '../../schemas/frame.ts'
import { singleKinds } from '../../schemas/kinds.ts'
import { limits } from '../../schemas/limits.ts'
import { domainOf, isAddressName, type Name, nonceOf, type ObjectId, ownerOf } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Standing } from './standing.ts'

export interface RevealPorts {
  readonly store: Store
  readonly accounts: Accounts
  readonly lookup: Lookup
  readonly hints: Hints
  readonly clock: Clock
  /** How often a follower looks at its list without a hint, ms. */
  readonly followMs: number
  /** Counts a request of a guest. Throws FMTP_RATE where there are too many from one address. */
  spendRequest(remote: string): Promise<void>
  /** A follow ended because its list could not be read. */
  onFollowFailed(thrown: unknown): void
}

export interface Reveal {
  (inquiry: Inquiry, standing: Standing): Promise<Answer>
  /** An object that is here, as these viewers may see it. Without viewers: everyone's view. */
  findFor(id: ObjectId, viewers: readonly string[]): FmtpObject | undefined
}

export function createReveal(ports: RevealPorts): Reveal {
  const { store, accounts } = ports

  function findFor(id: ObjectId, viewers: readonly string[]): FmtpObject | undefined {
    const owner = ownerOf(id)
    const isOwnUser = nonceOf(id) === 'user' && accounts.isOwn(owner)
    const object = isOwnUser ? findUserFor(owner, viewers) : store.findObject(id)
    const isVisible = object !== undefined && (isOwnUser || maySee(object, viewers, hasBoxed))
    return isVisible ? refreshed(object) : undefined
  }

  function hasBoxed(address: string, id: string): boolean {
    return store.findBoxed(address, id) !== undefined
  }

  /** The view of a user of ours for these viewers. A hidden user is there for its friends alone. */
  function findUserFor(address: Name, viewers: readonly string[]): FmtpObject | undefined {
    const user = accounts.findUser(address)
    if (user === undefined) return undefined
    if (viewers.includes(address)) return user
    const isFriend = viewers.some(viewer => findMatch(user.whitelist, viewer) !== undefined)
    return user.public === false && !isFriend ? undefined : store.findView('everyone', address)
  }

  /** Credentials of our own are renewed on the way out. */
  function refreshed(object: FmtpObject): FmtpObject {
    const encryptedKey = accounts.freshCredential(object.encryptedKey, object.owner as Name)
    return encryptedKey === object.encryptedKey ? object : { ...object, encryptedKey }
  }

  async function revealObject(sought: Sought, inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const { request } = inquiry
    if (request.follow === true) throw new FmtpError('FMTP_NOT_OFFERED', 'following one object')
    const id = soughtId(sought)
    const viewers = viewersOf(standing, request)
    const here = findFor(id, viewers)
    const isOwn = accounts.isOwn(ownerOf(id))
    const mayClimb = standing.role === 'client' && !isOwn && (request.effort ?? 'own') !== 'own'
    // A copy that was fetched or forwarded may be old: whoever may climb gets what the ladder says.
    if (here !== undefined && !(mayClimb && request.effort === 'lookup' && mayBeOld(id)))
      return found(inquiry, here)
    if (isOwn) return absent()
    if (!mayClimb || request.effort === 'cache')
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    const outcome = await ports.lookup(sought)
    // The ladder serves the whole house; this asker sees what is public or theirs.
    if (outcome.outcome === 'found' && maySee(outcome.object, viewers, hasBoxed))
      return found(inquiry, outcome.object)
    if (outcome.outcome !== 'unreachable') return absent()
    return { ...failureAnswer(outcome.error), outcome: 'unreachable' }
  }

  /** Messages come again when they change; a user or server object need not. */
  function mayBeOld(id: ObjectId): boolean {
    return singleKinds.has(nonceOf(id)) || store.findFetchedAtMs(id) !== undefined
  }

  function found(inquiry: Inquiry, object: FmtpObject): Answer {
    inquiry.describe({ object })
    return { outcome: 'found', id: object.id as ObjectId, version: object.version }
  }

  async function revealList(query: ListQuery, inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const viewers = viewersOf(standing, inquiry.request)
    const list = findList(query, standing)
    if (list === undefined)
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    const reading: Reading = { list, kind: query.kind, viewers, isOwn: standing.role === 'client', inquiry }
    const after = readCursor(query.after)
    // Who hides has no list for strangers, not even an empty one that grows.
    if (query.of === 'public' && isHidden(list, viewers))
      return { outcome: 'found', cursor: cursorText(after), complete: true }
    const page = await sendPage(reading, after, query.limit ?? limits.pageObjects)
    if (inquiry.request.follow === true) followList(reading, page.last).catch(ports.onFollowFailed)
    return { outcome: 'found', cursor: cursorText(page.cursor), complete: page.isComplete }
  }

  function isHidden(list: ListName, viewers: readonly string[]): boolean {
    const owner = lastPart(list) as Name
    return isAddressName(owner) && findUserFor(owner, viewers) === undefined
  }

  /** `undefined`: it is the list of another home. */
  function findList(query: ListQuery, standing: Standing): ListName | undefined {
    const { of, owner, top } = query
    const own = standing.role === 'client' ? standing.name : undefined
    if (of === 'box') {
      if (own === undefined || (owner !== undefined && owner !== own))
        throw new FmtpError('FMTP_NOT_ALLOWED', 'the box of another')
      return listOf.box(own)
    }
    if (of === 'thread') {
      if (top === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a thread needs top')
      return listOf.thread(top)
    }
    const whose = owner ?? own
    if (whose === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a public list needs owner')
    return accounts.isOwn(whose as Name) ? listOf.public(whose) : undefined
  }

  function readCursor(text: string | undefined): number {
    if (text === undefined) return 0
    const [epoch, number] = text.split('.')
    if (epoch !== store.database.epoch) throw new FmtpError('FMTP_CURSOR_LOST', text)
    return Number(number)
  }

  function cursorText(number: number): string {
    return `${store.database.epoch}.${number}`
  }

  interface Reading {
    readonly list: ListName
    readonly kind: string | undefined
    readonly viewers: readonly string[]
    /** True for a user of ours. */
    readonly isOwn: boolean
    readonly inquiry: Inquiry
  }

  /** Up to which entry a page was read, and what its reader is told of that. */
  interface PageEnd {
    readonly last: number
    readonly cursor: number
    readonly isComplete: boolean
  }

  /**
   * Hands over the next objects of a list. To others than our own users the cursor that is given stands at the last entry
   * that they may see, so that a list of which they may see nothing looks like an empty one; and a page of theirs ends when
   * enough entries were looked at.
   */
  async function sendPage(reading: Reading, from: number, limit: number): Promise<PageEnd> {
    const { list, kind, viewers, isOwn, inquiry } = reading
    let last = from
    let seen = from
    let sent = 0
    let bytes = 0
    for (let looked = 0; isOwn || looked < limits.pageEntries; ) {
      await inquiry.drained()
      const page = await store.readList(list, last, Math.min(limits.pageObjectsMost, Math.max(limit, 100)))
      looked += page.entries.length
      for (const entry of page.entries) {
        last = entry.number
        const object = findFor(entry.id as ObjectId, viewers)
        if (object === undefined) continue
        seen = last
        // An older version comes again further on.
        if (object.version !== entry.version || (kind !== undefined && object.kind !== kind)) continue
        inquiry.describe({ object, cursor: cursorText(last) })
        bytes += JSON.stringify(object).length
        if (++sent >= limit || bytes >= limits.pageBytes)
          return { last, cursor: last, isComplete: isLast(list, last) }
      }
      if (page.isComplete) return { last, cursor: isOwn ? last : seen, isComplete: true }
    }
    return { last, cursor: last, isComplete: isLast(list, last) }
  }

  function isLast(list: ListName, number: number): boolean {
    return store.database.head(list).number <= number
  }

  async function followList(reading: Reading, from: number): Promise<void> {
    await follow(reading.list, from, ports, reading.inquiry.signal, async after => {
      const { last } = await sendPage(reading, after, limits.pageObjectsMost)
      return last
    })
  }

  const reveal = async (inquiry: Inquiry, standing: Standing): Promise<Answer> => {
    const { address, id, list } = inquiry.request
    if ([address, id, list].filter(each => each !== undefined).length !== 1) {
      throw new FmtpError('FMTP_BAD_FRAME', 'one of address, id, list')
    }
    if (standing.role === 'guest') await ports.spendRequest(standing.remote)
    if (list !== undefined) return revealList(list, inquiry, standing)
    if (id !== undefined) return revealObject({ id: id as ObjectId }, inquiry, standing)
    return revealObject({ address: address as Name }, inquiry, standing)
  }
  return Object.assign(reveal, { findFor })
}

function absent(): Answer {
  return { ...failureAnswer(new FmtpError('FMTP_ABSENT')), outcome: 'absent' }
}

/** Users that a session speaks for in a request (protocol §9.3). */
function viewersOf(standing: Standing, request: RequestFrame): readonly string[] {
  switch (standing.role) {
    case 'guest':
      return []
    case 'server':
      return (request.for ?? []).filter(viewer => domainOf(viewer as Name) === standing.name)
    default:
      return [standing.name]
  }
}

/**
 * Reads a list for ever: note the list, read, wait for a hint or a while, look at the head, read again if it moved.
 * `read` takes the last number and gives the new one. Ends with the signal.
 */
export async function follow(
  list: ListName,
  from: number,
  ports: { readonly store: Store; readonly hints: Hints; readonly clock: Clock; readonly followMs: number },
  signal: AbortSignal,
  read: (after: number) => Promise<number>,
): Promise<void> {
  let after = from
  let woken = new AbortController()
  const unwatch = ports.hints.watch(list, () => woken.abort())
  signal.addEventListener('abort', () => woken.abort(), { once: true })
  try {
    while (!signal.aborted) {
      while (!signal.aborted && ports.store.database.head(list).number > after) after = await read(after)
      if (signal.aborted) break
      if (!woken.signal.aborted) await ports.clock.sleep(ports.followMs, woken.signal)
      woken = new AbortController()
    }
  } finally {
    unwatch()
  }
}
