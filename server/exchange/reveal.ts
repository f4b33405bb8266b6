/**
 * The third door: an object or a list is asked for (protocol §9). What the asker may not see is absent to it; what is
 * not ours is looked up for our own users only.
 */
import type { Clock } from '../../objects/clock.ts'
import { maySee } from '../../objects/disclosure.ts'
import type { Hints } from '../../objects/hints.ts'
import { type ListName, listOf } from '../../objects/layout.ts'
import { findMatch } from '../../objects/pattern.ts'
import type { Entry, Store } from '../../objects/store.ts'
import { type Lookup, type Sought, soughtId } from '../../routing/lookup.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { ListQuery, RequestFrame } from '../../schemas/frame.ts'
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
    // A foreign user's copy may be old: whoever may climb gets what the ladder says.
    if (here !== undefined && !(mayClimb && request.effort === 'lookup' && isCached(id)))
      return found(inquiry, here)
    if (isOwn) return absent()
    if (!mayClimb || request.effort === 'cache')
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    const outcome = await ports.lookup(sought)
    if (outcome.outcome === 'found') return found(inquiry, outcome.object)
    if (outcome.outcome === 'absent') return absent()
    return { ...failureAnswer(outcome.error), outcome: 'unreachable' }
  }

  function isCached(id: ObjectId): boolean {
    return store.findFetchedAtMs(id) !== undefined
  }

  function found(inquiry: Inquiry, object: FmtpObject): Answer {
    inquiry.describe({ object })
    return { outcome: 'found', id: object.id as ObjectId, version: object.version }
  }

  async function revealList(query: ListQuery, inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const viewers = viewersOf(standing, inquiry.request)
    const list = requireList(query, standing)
    const after = readCursor(query.after)
    const page = await sendPage(
      list,
      { after, limit: query.limit ?? limits.pageObjects },
      query,
      viewers,
      inquiry,
    )
    const isFollow = inquiry.request.follow === true
    if (isFollow) followList(list, page.last, query, viewers, inquiry).catch(ports.onFollowFailed)
    return { outcome: 'found', cursor: cursorText(page.last), complete: page.isComplete }
  }

  function requireList(query: ListQuery, standing: Standing): ListName {
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
    if (!isAddressName(whose as Name) || !accounts.isOwn(whose as Name))
      throw new FmtpError('FMTP_NOT_HERE', domainOf(whose as Name))
    return listOf.public(whose)
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

  interface Span {
    readonly after: number
    readonly limit: number
  }

  async function sendPage(
    list: ListName,
    span: Span,
    { kind }: ListQuery,
    viewers: readonly string[],
    inquiry: Inquiry,
  ): Promise<{ last: number; isComplete: boolean }> {
    let { after } = span
    let sent = 0
    let bytes = 0
    for (;;) {
      await inquiry.drained()
      const page = await store.readList(list, after, span.limit)
      for (const entry of page.entries) {
        const object = findCurrent(entry, viewers)
        after = entry.number
        if (object === undefined || (kind !== undefined && object.kind !== kind)) continue
        inquiry.describe({ object, cursor: cursorText(entry.number) })
        bytes += JSON.stringify(object).length
        if (++sent >= span.limit || bytes >= limits.pageBytes)
          return { last: after, isComplete: isLast(list, after) }
      }
      if (page.isComplete) return { last: page.last, isComplete: true }
    }
  }

  function isLast(list: ListName, number: number): boolean {
    return store.database.head(list).number <= number
  }

  /** An entry's object in the version that the entry names; an older one comes again further on. */
  function findCurrent(entry: Entry, viewers: readonly string[]): FmtpObject | undefined {
    const object = findFor(entry.id as ObjectId, viewers)
    return object?.version === entry.version ? object : undefined
  }

  async function followList(
    list: ListName,
    from: number,
    query: ListQuery,
    viewers: readonly string[],
    inquiry: Inquiry,
  ): Promise<void> {
    await follow(list, from, ports, inquiry.signal, async after => {
      const { last } = await sendPage(list, { after, limit: limits.pageObjectsMost }, query, viewers, inquiry)
      return last
    })
  }

  const reveal = async (inquiry: Inquiry, standing: Standing): Promise<Answer> => {
    const { address, id, list } = inquiry.request
    if ([address, id, list].filter(each => each !== undefined).length !== 1) {
      throw new FmtpError('FMTP_BAD_FRAME', 'one of address, id, list')
    }
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
