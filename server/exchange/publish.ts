/**
 * The second door: a user of ours makes an object (protocol §9.5). A draft is filled and sealed with the home key; a
 * finished object is verified and taken as it is. Object, boxes and outbox entries are one write.
 */

import { addresseesOf } from '../../objects/addressees.ts'
import { isForum } from '../../objects/group-policy.ts'
import { type DomainKeys, sealObject, type VerifiedObject, verifySeal } from '../../objects/seals/seal.ts'
import { type Attached, attachedTo } from '../../objects/store/attachments.ts'
import { box } from '../../objects/store/box.ts'
import { addTo, type Change } from '../../objects/store/change.ts'
import type { Write } from '../../objects/store/engine/write.ts'
import { applyRemoval } from '../../objects/store/forum-list.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { describe } from '../../objects/store/new-version.ts'
import type { Before, Store } from '../../objects/store/store.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { findPlace } from '../../objects/thread.ts'
import { decideSuccession, isOtherThan } from '../../objects/version.ts'
import { maySee, type Sight } from '../../objects/visibility.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame, Result } from '../../schemas/frame.ts'
import type { Group } from '../../schemas/kinds/group.ts'
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { limits } from '../../schemas/limits.ts'
import type { Draft, FmtpObject } from '../../schemas/object.ts'
import { isSealed, type Kinds } from '../../schemas/parse-object.ts'
import { type Address, type Name, type ObjectId, ownerOf } from '../../schemas/text/names.ts'
import { type Answer, failureAnswer } from '../../wire/pairing.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { AttachedWrite } from '../accounts/user-view.ts'
import { readHolders } from '../delivery/delivery-rows.ts'
import { outboxWrites } from '../delivery/outbox.ts'
import { refusedRow } from '../delivery/status/results.ts'
import { checkCount, checkSize, resultOf } from './admit.ts'
import { checkTimes, type DraftPorts, fillDraft, saysTheSame } from './publishing/drafts.ts'
import { checkOffice, type OfficePorts, requireOffice } from './publishing/on-behalf.ts'
import { checkOffered } from './publishing/publishable.ts'
import { followOn, readHandedOn } from './recipients/forwarded-versions.ts'
import { judge } from './recipients/judge.ts'
import { givenTo, passOn, type Taker, type TakingPorts, take } from './recipients/local-delivery.ts'
import type { CountRecipients } from './recipients/new-recipients.ts'
import { handOn, readEarlier } from './recipients/thread-history.ts'

export interface PublishPorts extends TakingPorts, OfficePorts, DraftPorts {
  readonly store: Store
  readonly accounts: Accounts
  readonly kinds: Kinds
  readonly keys: DomainKeys
  readonly sight: Sight
  readonly objectBytes: number
  /** Text of the key of a blob that is here, and that the author has uploaded or may have. */
  findBlob(
    sha256: string,
    by: { readonly secret: string | undefined; readonly author: Address },
  ): Promise<string | undefined>
  /** Throws FMTP_FULL where the disk has no room for what is new. */
  requireRoom(): void
  /** Counts whom the author writes to for the first time. Throws FMTP_RATE where these are too many for a day. */
  readonly countRecipients: CountRecipients
  onPublished(record: {
    readonly id: string
    readonly kind: string
    readonly owner: string
    readonly results: readonly Result[]
    readonly ms: number
  }): void
}

interface Finished {
  readonly verified: VerifiedObject
  readonly before: Before | undefined
  /** What makes the address of a new group. */
  readonly founding?: Write | undefined
}

/** How a frame of an author came. */
export interface PublishedFrom {
  /** IP address of the client. */
  readonly remote: string
  /** Length of the text that the frame was read from. */
  readonly chars?: number | undefined
}

/** Whose word a version is; missing where an account is erased, and nobody says anything. */
interface Saying {
  readonly author: Address
  readonly remote: string
  readonly replaces: number | undefined
}

export interface Publish {
  /** `author` is whom the session proved to be. */
  (frame: DescribeFrame, author: Address, from: PublishedFrom): Promise<Answer>
  /**
   * Puts a tombstone in the place of an object of an account that was deleted, or of a group in the name of its moderator. True
   * where it is new.
   */
  erase(id: ObjectId, author: Address): Promise<boolean>
}

export function createPublish(ports: PublishPorts): Publish {
  const { store, accounts, clock } = ports

  async function finish(value: object, author: Address): Promise<Finished | 'known'> {
    if (!isSealed(value)) return fillAndSeal(ports.kinds.parseDraft(value), author)
    const object = ports.kinds.parseObject(value)
    requireOwner(object.id, author)
    const before = store.findBefore(object.id)
    if (before?.object.hash === object.hash) return 'known'
    const verdict = await verifySeal(object, ports.keys, clock.now())
    if (!verdict.isBelieved) throw new FmtpError(verdict.code, verdict.reason)
    const { verified } = verdict
    const isLive =
      verified.thumbprint === accounts.homeKey(author).signer.kid ||
      accounts.hasDevice(author, verified.thumbprint)
    if (!isLive) throw new FmtpError('FMTP_SEAL_CREDENTIAL', `device ${verified.thumbprint} is not enrolled`)
    checkTimes(object, clock.now())
    return { verified, before }
  }

  function fillAndSeal(draft: Draft, author: Address): Finished | 'known' {
    const before = store.findBefore(draft.id)
    // Who its moderators were is not known any more.
    if (draft.kind === 'group' && draft.deleted === true && before?.object.deleted === true) return 'known'
    const { owner, home, founding, filled } = requireOffice(draft, author, ports)
    if (draft.version === undefined && before !== undefined && saysTheSame(draft, before.object))
      return 'known'
    const unsealed = fillDraft({ ...draft, ...filled }, { author, owner, before: before?.object }, ports)
    // Others refuse what is older than its key, so it is not taken here either.
    if (unsealed.version < home.enrolledAtMs - limits.clockSkewMs)
      throw new FmtpError('FMTP_SEAL_EXPIRED', `version ${unsealed.version} is older than the home key`)
    const verified = sealObject(unsealed, home)
    checkSealedSize(verified, ports.objectBytes)
    if (owner !== author || draft.kind === 'group') checkOffice(verified.object, before?.object, ports)
    return { verified, before, founding }
  }

  /** @throws {FmtpError} FMTP_PARENT where the parent is here, and is not what the object says. */
  function checkPlace(object: FmtpObject): void {
    const place = findPlace(object, store.places)
    if (place.isJoined || !place.isFalse) return
    const parent = store.findObject(place.waitsFor)
    if (parent !== undefined && maySee(parent, [object.owner], ports.sight))
      throw new FmtpError('FMTP_PARENT', place.reason)
  }

  /** Judges users and groups of ours: who takes it, and what is told of each. */
  function judgeLocally(
    verified: VerifiedObject,
    recipients: readonly Address[],
  ): { readonly results: Result[]; readonly takers: Taker[] } {
    const { object, atRest } = verified
    const from = { session: object.owner as Name, bytes: atRest.length }
    const takers: Taker[] = []
    const results = recipients.map((recipient): Result => {
      // Nobody is judged by their own lists: it is in this box in any case.
      if (recipient === object.owner) return { for: recipient, outcome: 'stored' }
      const judgement = judge(object, recipient, from, ports)
      const boxed = store.findBoxedText(recipient, object.id)
      const isHere = store.hasThis(verified, boxed)
      if (judgement.outcome === 'accept' && !isHere) takers.push({ recipient, boxed })
      return resultOf(recipient, judgement, isHere)
    })
    return { results, takers }
  }

  /** Room is kept for what others send: a full box must not keep its owner from writing, or from deleting. */
  function boxForOwner(change: Change, { verified, before }: Finished): void {
    const { object } = verified
    const address = object.owner
    const boxed = store.findBoxedText(address, object.id)
    const isOther = isOtherThan(verified, before)
    box(change, object, { address, bytes: 0, nowMs: clock.now(), boxed, isOther }, store.database)
  }

  /** What else an object of a group changes: its list, or what its members have of it. */
  function addForGroup(change: Change, { verified, before }: Finished): void {
    const { object } = verified
    if (object.kind === 'report') applyRemoval(change, object, before?.object, store)
    if (object.kind !== 'group') return
    const group = (object.deleted === true ? before?.object : object) as Group | undefined
    if (group === undefined || isForum(group)) return
    passOn(change, { verified, before }, { group, given: givenTo({ verified, before }) }, ports)
  }

  /** `undefined` where another version came meanwhile: look again. */
  async function write(finished: Finished, saying?: Saying): Promise<Result[] | undefined> {
    const { verified, before, founding } = finished
    const { object } = verified
    checkVersion(verified, before?.object, saying?.replaces)
    // What waits under a parent that says otherwise is erased all the same.
    if (saying !== undefined) checkPlace(object)
    checkCount(recipientsOf(object), ports.recipients)
    // Before the others that have it: who hands it on meanwhile is noticed by that.
    const handedOn = await readHandedOn(finished, ports)
    const holders = before === undefined ? [] : await readHolders(object.id, store)
    const recipients = recipientsOf(object, before?.object, holders)
    const local = recipients.filter(recipient => accounts.isOwn(recipient))
    const foreign = recipients.filter(recipient => !accounts.isOwn(recipient))
    const earlier = await readEarlier(object, ports)
    const change = describe(verified, before, 'made', store)
    for (const [sha256, { secret }] of newlyAttached(object, before?.object)) {
      const blob = await ports.findBlob(sha256, { secret, author: object.owner as Address })
      if (blob === undefined) throw new FmtpError('FMTP_NO_BLOB', sha256)
      change.equals.push([keyOf.blob(sha256), blob])
    }
    addTo(change, await userWriteOf(object, before?.object))
    // From here to the commit nobody comes between: who is gone by now has nothing behind it.
    if (saying !== undefined) accounts.leavers.requireHere(saying.author)
    boxForOwner(change, { verified, before })
    const { results, takers } = judgeLocally(verified, local)
    take(change, { verified, before }, takers, ports)
    followOn(change, { verified, before }, { handedOn, takers }, ports)
    change.puts.push(...refusedRow(object, results, clock.now()))
    addForGroup(change, finished)
    if (founding !== undefined) addTo(change, founding)
    if (!ports.isIsland) {
      const author = accounts.findView(object.owner as Address)
      const nowMs = clock.now()
      const isFollowed = earlier.length > 0
      addTo(
        change,
        outboxWrites(object, foreign, { store, author, nowMs, isNew: before === undefined, isFollowed }),
      )
    }
    handOn(change, object, earlier, { takers: new Set(takers.map(({ recipient }) => recipient)), ports })
    if (saying !== undefined) {
      const from = { before: before?.object, remote: saying.remote }
      addTo(change, ports.countRecipients(object, recipients, from))
    }
    const [isWritten] = await store.database.commit([change])
    if (object.kind === 'user') accounts.forget(object.owner as Name)
    if (isWritten !== true) return undefined
    return inOrder(recipients, [...results, ...foreign.map(queuedResult)])
  }

  async function userWriteOf(
    object: FmtpObject,
    before: Before['object'] | undefined,
  ): Promise<AttachedWrite> {
    if (object.kind !== 'user') return nothing
    return accounts.userWrite(object as User, before as User | undefined)
  }

  function queuedResult(recipient: Address): Result {
    if (!ports.isIsland) return { for: recipient, outcome: 'queued' }
    return { ...failureAnswer(new FmtpError('FMTP_ISLAND')), for: recipient, outcome: 'refused' }
  }

  /** The tombstone is newer than all that others have of it: of a user that is everyone's view. */
  function tombstoneOf(id: ObjectId, author: Address): Finished | undefined {
    const before = store.findBefore(id)
    if (before === undefined || before.object.deleted === true) return undefined
    const { kind, version: held } = before.object
    const shown = traitsOf(kind).hasViews ? (store.findView('everyone', author)?.version ?? 0) : 0
    const version = Math.max(clock.now(), held + 1, shown + 1)
    const finished = fillAndSeal({ id, kind, deleted: true, version } as Draft, author)
    return finished === 'known' ? undefined : finished
  }

  async function erase(id: ObjectId, author: Address): Promise<boolean> {
    const startMs = clock.now()
    return untilWritten(async () => {
      const finished = tombstoneOf(id, author)
      if (finished === undefined) return false
      const results = await write(finished)
      if (results === undefined) return undefined
      const { kind, owner } = finished.verified.object
      ports.onPublished({ id, kind, owner, results, ms: clock.now() - startMs })
      return true
    })
  }

  const publish = async (
    frame: DescribeFrame,
    author: Address,
    { remote, chars }: PublishedFrom,
  ): Promise<Answer> => {
    const startMs = clock.now()
    accounts.leavers.requireHere(author)
    checkSize(frame.object, ports.objectBytes, chars)
    if (frame.for !== undefined)
      throw new FmtpError('FMTP_BAD_FRAME', 'publish names its recipients in the object')
    return untilWritten(async () => {
      const finished = await finish(frame.object, author)
      if (finished === 'known') return knownAnswer(store.findObject((frame.object as FmtpObject).id))
      checkOffered(finished.verified.object, author)
      // A tombstone makes room.
      if (finished.verified.object.deleted !== true || finished.before === undefined) ports.requireRoom()
      const results = await write(finished, { author, remote, replaces: frame.replaces })
      // Perhaps the same draft, sent twice: then it is known now.
      if (results === undefined) return undefined
      const { id, version, kind, owner } = finished.verified.object
      ports.onPublished({ id, kind, owner, results, ms: clock.now() - startMs })
      return { outcome: 'stored', results, id, version } as const
    })
  }
  return Object.assign(publish, { erase })
}

/** Blobs that this version names and the one before did not. */
function newlyAttached(object: FmtpObject, before: Before['object'] | undefined): [string, Attached][] {
  const old = before === undefined ? new Map<string, Attached>() : attachedTo(before)
  return [...attachedTo(object)].filter(([sha256]) => !old.has(sha256))
}

const nothing: AttachedWrite = { absent: [], equals: [], puts: [], dels: [] }

function knownAnswer(object: FmtpObject | undefined): Answer {
  if (object === undefined) throw new FmtpError('FMTP_BUSY', 'the object went away meanwhile')
  return { outcome: 'duplicate', id: object.id, version: object.version }
}

function requireOwner(id: string, author: Address): void {
  const owner = ownerOf(id as ObjectId)
  if (owner !== author) throw new FmtpError('FMTP_NOT_OWNER', `${id} is not of ${author}`)
}

/** A draft that was small enough may not be with what the home filled in. */
function checkSealedSize({ object, atRest }: VerifiedObject, most: number): void {
  const bytes = Buffer.byteLength(atRest) + `"encryptedKey":"${object.encryptedKey}",`.length
  if (bytes > most) throw new FmtpError('FMTP_OBJECT_TOO_LARGE', `${bytes} bytes when sealed`)
}

function checkVersion(
  verified: VerifiedObject,
  before: Before['object'] | undefined,
  replaces: number | undefined,
): void {
  if (replaces !== undefined && replaces !== before?.version) {
    throw new FmtpError('FMTP_CONFLICT', `replaces ${replaces}, here is ${before?.version}`)
  }
  const succession = decideSuccession(verified, before)
  if (succession.outcome === 'refused') throw new FmtpError(succession.code, succession.reason)
  // Sealed by another device of the author: it is here, under the seal that it has.
  if (succession.outcome === 'same') throw new FmtpError('FMTP_TOO_OLD', `here is ${before?.version}`)
}

/** Whom it is for; an edit and a deletion also go to whoever was given a version before. */
function recipientsOf(
  object: FmtpObject,
  before?: Before['object'],
  holders: readonly Address[] = [],
): Address[] {
  const named = [object, before].flatMap(each => (each === undefined ? [] : addresseesOf(each as FmtpObject)))
  const isGreeting = traitsOf(object.kind).isIntroduction && object.deleted !== true
  return [...new Set([...named, ...(isGreeting ? [] : holders)])]
}

function inOrder(recipients: readonly Address[], results: readonly Result[]): Result[] {
  return recipients.flatMap(recipient => results.find(result => result.for === recipient) ?? [])
}
