/**
 * The second door: a user of ours makes an object (protocol §9.5). A draft is filled and sealed with the home key; a
 * finished object is verified and taken as it is. Object, boxes and outbox entries are one write.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Append } from '../../objects/database.ts'
import { type DomainKeys, digestOf, sealObject, type VerifiedObject, verifySeal } from '../../objects/seal.ts'
import { entryText, listsOf } from '../../objects/store.ts'
import { canonicalText } from '../../schemas/canonical.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame, Result } from '../../schemas/frame.ts'
import { limits } from '../../schemas/limits.ts'
import type { Message } from '../../schemas/message.ts'
import { type Address, type Name, type ObjectId, ownerOf } from '../../schemas/names.ts'
import type { Draft, FmtpObject, Unsealed } from '../../schemas/object.ts'
import { isSealed, parseDraft, parseObject } from '../../schemas/parse.ts'
import type { User } from '../../schemas/user.ts'
import { type Answer, failureAnswer } from '../../wire/pairing.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { AttachedWrite } from '../accounts/user-view.ts'
import { outboxWrites } from '../delivery/outbox.ts'
import { checkCount, checkSize, resultOf } from './admit.ts'
import { boxWrite, type JudgePorts, judge } from './judge.ts'

export interface PublishPorts extends JudgePorts {
  readonly accounts: Accounts
  readonly keys: DomainKeys
  readonly clock: Clock
  readonly isIsland: boolean
  readonly objectBytes: number
  /** How many an object may be written to. */
  readonly recipients: number
  onPublished(record: {
    readonly id: string
    readonly kind: string
    readonly owner: string
    readonly results: readonly Result[]
    readonly ms: number
  }): void
}

/**
 * The version that is here already, read once for all that a publish decides: another write may end meanwhile, also
 * between two lines of ours, and then the commit must find that its text is not this one any more.
 */
interface Before {
  readonly text: string
  readonly object: Omit<FmtpObject, 'encryptedKey'>
}

interface Finished {
  readonly verified: VerifiedObject
  readonly before: Before | undefined
}

/** `author` is whom the session proved to be. */
export type Publish = (frame: DescribeFrame, author: Address) => Promise<Answer>

export function createPublish(ports: PublishPorts): Publish {
  const { store, accounts, clock } = ports

  function findBefore(id: string): Before | undefined {
    const text = store.findText(id)
    return text === undefined ? undefined : { text, object: JSON.parse(text) as FmtpObject }
  }

  async function finish(value: object, author: Address): Promise<Finished | 'known'> {
    if (!isSealed(value)) return fillAndSeal(parseDraft(value), author)
    const object = parseObject(value)
    requireOwner(object.id, author)
    const before = findBefore(object.id)
    if (before?.object.hash === object.hash) return 'known'
    const verdict = await verifySeal(object, ports.keys, clock.now())
    if (!verdict.isBelieved) throw new FmtpError(verdict.code, verdict.reason)
    const { verified } = verdict
    const isLive =
      verified.thumbprint === accounts.homeKey(author).signer.kid ||
      accounts.hasDevice(author, verified.thumbprint)
    if (!isLive) throw new FmtpError('FMTP_SEAL_CREDENTIAL', `device ${verified.thumbprint} is not enrolled`)
    checkTimes(object, before?.object, clock.now())
    return { verified, before }
  }

  function fillAndSeal(draft: Draft, author: Address): Finished | 'known' {
    requireOwner(draft.id, author)
    const before = findBefore(draft.id)
    if (draft.version === undefined && before !== undefined && saysTheSame(draft, before.object))
      return 'known'
    const nowMs = clock.now()
    const unsealed = {
      ...(draft.deleted === true ? tombstoneOf(before?.object, draft) : draft),
      ...threadOf(draft),
      owner: author,
      createdAt: draft.createdAt ?? before?.object.createdAt ?? new Date(nowMs).toISOString(),
      version: draft.version ?? Math.max(nowMs, (before?.object.version ?? 0) + 1),
    } as Unsealed
    checkTimes(unsealed, before?.object, nowMs)
    const home = accounts.homeKey(author)
    // Others refuse what is older than its key, so it is not taken here either.
    if (unsealed.version < home.enrolledAtMs - limits.clockSkewMs)
      throw new FmtpError('FMTP_SEAL_EXPIRED', `version ${unsealed.version} is older than the home key`)
    const verified = sealObject(unsealed, home)
    checkSealedSize(verified, ports.objectBytes)
    return { verified, before }
  }

  /** `parentHash` and `top` of an answer, from the parent where it is here. */
  function threadOf(draft: Draft): Partial<FmtpObject> {
    if (draft.parent === undefined) return {}
    const parent = store.findObject(draft.parent)
    if (parent !== undefined) {
      return { parentHash: draft.parentHash ?? digestOf(parent), top: draft.top ?? parent.top ?? parent.id }
    }
    if (draft.parentHash !== undefined && draft.top !== undefined) return {}
    throw new FmtpError('FMTP_BAD_OBJECT', 'the parent is not here: parentHash and top are needed')
  }

  function checkKind(object: FmtpObject): void {
    if (object.kind === 'server')
      throw new FmtpError('FMTP_NOT_OWNER', 'a server object is made by its server')
    if (object.kind !== 'user') return
    const { view, policy } = object as User
    if (view !== undefined && view !== 'owner')
      throw new FmtpError('FMTP_BAD_OBJECT', 'publish the view of the owner')
    if (policy === 'confirm') throw new FmtpError('FMTP_NOT_OFFERED', 'policy confirm')
    if (object.deleted === true) throw new FmtpError('FMTP_NOT_OFFERED', 'deleting an account')
  }

  async function addressLocally(verified: VerifiedObject, recipients: readonly Address[]) {
    const { object, atRest } = verified
    const from = { session: object.owner as Name, bytes: atRest.length }
    const results: Result[] = []
    const boxes: ReturnType<typeof boxWrite>[] = []
    for (const recipient of recipients) {
      if (recipient === object.owner) {
        // Nobody is judged by their own lists: it is in this box in any case.
        results.push({ for: recipient, outcome: 'stored' })
        continue
      }
      const judgement = await judge(object, recipient, from, ports)
      const isHere = store.findBoxed(recipient, object.id)?.version === object.version
      results.push(resultOf(recipient, judgement, isHere))
      if (judgement.outcome === 'accept' && !isHere) boxes.push(boxWrite(object, recipient, atRest.length))
    }
    return { results, boxes }
  }

  /** `undefined` where another version came meanwhile: look again. */
  async function write(
    { verified, before }: Finished,
    replaces: number | undefined,
  ): Promise<Result[] | undefined> {
    const { object, atRest } = verified
    checkVersion(object, before?.object, replaces)
    checkCount(recipientsOf(object, undefined), ports.recipients)
    const recipients = recipientsOf(object, before?.object)
    const local = recipients.filter(recipient => accounts.isOwn(recipient))
    const foreign = recipients.filter(recipient => !accounts.isOwn(recipient))
    const addressed = await addressLocally(verified, local)
    const author = accounts.findView(object.owner as Address)
    const queued = ports.isIsland
      ? { appends: [], puts: [] }
      : outboxWrites(object, foreign, { store, author, nowMs: clock.now() })
    // Room is kept for what others send: a full box must not keep its owner from writing, or from deleting.
    const own = boxWrite(object, object.owner, 0)
    const lists: Append[] = listsOf(object).map(list => ({
      list,
      value: entryText(object),
      bytes: atRest.length,
    }))
    const base = store.objectWrite(verified, before?.text)
    const user = await userWriteOf(object, before?.object)
    const [isWritten] = await store.database.commit([
      {
        absent: [...(base.absent ?? []), ...user.absent],
        equals: [...(base.equals ?? []), ...user.equals],
        puts: [...base.puts, ...user.puts, own.put, ...addressed.boxes.map(box => box.put), ...queued.puts],
        dels: user.dels,
        appends: [...lists, own.append, ...addressed.boxes.map(box => box.append), ...queued.appends],
      },
    ])
    if (object.kind === 'user') accounts.forget(object.owner as Name)
    if (isWritten !== true) return undefined
    return inOrder(recipients, [...addressed.results, ...foreign.map(queuedResult)])
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

  return async (frame, author) => {
    const startMs = clock.now()
    checkSize(frame.object, ports.objectBytes)
    if (frame.for !== undefined)
      throw new FmtpError('FMTP_BAD_FRAME', 'publish names its recipients in the object')
    for (;;) {
      const finished = await finish(frame.object, author)
      if (finished === 'known') return knownAnswer(store.findObject((frame.object as FmtpObject).id))
      checkKind(finished.verified.object)
      const results = await write(finished, frame.replaces)
      // Perhaps the same draft, sent twice: then it is known now.
      if (results === undefined) continue
      const { id, version, kind, owner } = finished.verified.object
      ports.onPublished({ id, kind, owner, results, ms: clock.now() - startMs })
      return { outcome: 'stored', results, id, version }
    }
  }
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

/** A draft that was sent again: all it says stands in the object already, in whatever order. */
function saysTheSame(draft: Draft, object: Before['object']): boolean {
  const said = object as Readonly<Record<string, unknown>>
  return Object.entries(draft).every(([name, value]) => isSame(value, said[name]))
}

function isSame(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
    return left === right
  return canonicalText(left) === canonicalText(right)
}

/** An object is made once, and none is made in the future. */
function checkTimes(
  { createdAt, version }: Unsealed,
  before: Before['object'] | undefined,
  nowMs: number,
): void {
  if (Math.max(version, Date.parse(createdAt)) > nowMs + limits.clockSkewMs)
    throw new FmtpError('FMTP_FROM_FUTURE', `version ${version}, created ${createdAt}`)
  if (before !== undefined && before.createdAt !== createdAt)
    throw new FmtpError('FMTP_BAD_OBJECT', `created ${createdAt}, here it was ${before.createdAt}`)
}

/** A draft that was small enough may not be with what the home filled in. */
function checkSealedSize({ object, atRest }: VerifiedObject, most: number): void {
  const bytes = Buffer.byteLength(atRest) + `"encryptedKey":"${object.encryptedKey}",`.length
  if (bytes > most) throw new FmtpError('FMTP_OBJECT_TOO_LARGE', `${bytes} bytes when sealed`)
}

function tombstoneOf(before: Before['object'] | undefined, draft: Draft): Draft {
  if (before === undefined) throw new FmtpError('FMTP_ABSENT', draft.id)
  const { parent, parentHash, top } = before
  const thread = { ...(parent && { parent }), ...(parentHash && { parentHash }), ...(top && { top }) }
  return {
    id: draft.id,
    kind: before.kind,
    ...(before.public === undefined ? {} : { public: before.public }),
    ...thread,
    deleted: true,
  }
}

function checkVersion(
  object: FmtpObject,
  before: Before['object'] | undefined,
  replaces: number | undefined,
): void {
  if (replaces !== undefined && replaces !== before?.version) {
    throw new FmtpError('FMTP_CONFLICT', `replaces ${replaces}, here is ${before?.version}`)
  }
  if (before !== undefined && before.version >= object.version)
    throw new FmtpError('FMTP_TOO_OLD', `here is ${before.version}`)
}

/** Whom it is for; an edit and a deletion also go to whoever had the version before. */
function recipientsOf(object: FmtpObject, before: Before['object'] | undefined): Address[] {
  const named = [object, before].flatMap(each =>
    each?.kind === 'message' ? ((each as Message).to ?? []) : [],
  )
  return [...new Set(named as Address[])]
}

function inOrder(recipients: readonly Address[], results: readonly Result[]): Result[] {
  return recipients.flatMap(recipient => results.find(result => result.for === recipient) ?? [])
}
