/**
 * The second door: a user of ours makes an object (protocol §9.5). A draft is filled and sealed with the home key; a
 * finished object is verified and taken as it is. Object, boxes and outbox entries are one write.
 */
import type { Clock } from '../../objects/clock.ts'
import type { Append } from '../../objects/database.ts'
import type { DomainKeys } from '../../objects/seal.ts'
import { digestOf, sealObject, type VerifiedObject, verifySeal } from '../../objects/seal.ts'
import { entryText, listsOf, objectWrite } from '../../objects/store.ts'
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
import { outboxWrites } from '../delivery/outbox.ts'
import { checkSize, resultOf } from './admit.ts'
import { boxWrite, type JudgePorts, judge } from './judge.ts'

export interface PublishPorts extends JudgePorts {
  readonly accounts: Accounts
  readonly keys: DomainKeys
  readonly clock: Clock
  readonly isIsland: boolean
  readonly objectBytes: number
  onPublished(record: {
    readonly id: string
    readonly kind: string
    readonly owner: string
    readonly results: readonly Result[]
    readonly ms: number
  }): void
}

/** `author` is whom the session proved to be. */
export type Publish = (frame: DescribeFrame, author: Address) => Promise<Answer>

export function createPublish(ports: PublishPorts): Publish {
  const { store, accounts, clock } = ports

  async function finish(value: object, author: Address): Promise<VerifiedObject | 'known'> {
    if (!isSealed(value)) return fillAndSeal(parseDraft(value), author)
    const object = parseObject(value)
    requireOwner(object.id, author)
    if (store.findObject(object.id)?.hash === object.hash) return 'known'
    const verdict = await verifySeal(object, ports.keys, clock.now())
    if (!verdict.isBelieved) throw new FmtpError(verdict.code, verdict.reason)
    const { verified } = verdict
    const isLive =
      verified.thumbprint === accounts.homeKey(author).signer.kid ||
      accounts.hasDevice(author, verified.thumbprint)
    if (!isLive) throw new FmtpError('FMTP_SEAL_CREDENTIAL', `device ${verified.thumbprint} is not enrolled`)
    if (object.version > clock.now() + limits.clockSkewMs) throw new FmtpError('FMTP_FROM_FUTURE')
    return verified
  }

  function fillAndSeal(draft: Draft, author: Address): VerifiedObject | 'known' {
    requireOwner(draft.id, author)
    const before = store.findObject(draft.id)
    if (draft.version === undefined && before !== undefined && saysTheSame(draft, before)) return 'known'
    const nowMs = clock.now()
    const unsealed = {
      ...(draft.deleted === true ? tombstoneOf(before, draft) : draft),
      ...threadOf(draft),
      owner: author,
      createdAt: before?.createdAt ?? draft.createdAt ?? new Date(nowMs).toISOString(),
      version: draft.version ?? Math.max(nowMs, (before?.version ?? 0) + 1),
    }
    return sealObject(unsealed as Unsealed, accounts.homeKey(author))
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
      const judgement = await judge(object, recipient, from, ports)
      const isHere = store.findBoxed(recipient, object.id)?.version === object.version
      results.push(resultOf(recipient, judgement, isHere))
      if (judgement.outcome === 'accept' && !isHere && recipient !== object.owner)
        boxes.push(boxWrite(object, recipient, atRest.length))
    }
    return { results, boxes }
  }

  async function write(
    verified: VerifiedObject,
    replaces: number | undefined,
  ): Promise<Result[] | undefined> {
    const { object, atRest } = verified
    // Read together: what is checked here is what the commit asks for, whatever comes meanwhile.
    const before = store.findObject(object.id)
    const base = objectWrite(verified, store.findText(object.id))
    checkVersion(object, before, replaces)
    const recipients = recipientsOf(object, before)
    const local = recipients.filter(recipient => accounts.isOwn(recipient))
    const foreign = recipients.filter(recipient => !accounts.isOwn(recipient))
    const addressed = await addressLocally(verified, local)
    const author = store.findView('everyone', object.owner)
    const queued = ports.isIsland
      ? { appends: [], puts: [] }
      : outboxWrites(object, foreign, { store, author, nowMs: clock.now() })
    const own = boxWrite(object, object.owner, atRest.length)
    const lists: Append[] = listsOf(object).map(list => ({
      list,
      value: entryText(object),
      bytes: atRest.length,
    }))
    const view =
      object.kind === 'user'
        ? accounts.viewPuts({ object: object as User }, await accounts.liveKeys(object.owner as Address))
        : []
    const [isWritten] = await store.database.commit([
      {
        ...base,
        puts: [...base.puts, ...view, own.put, ...addressed.boxes.map(box => box.put), ...queued.puts],
        appends: [...lists, own.append, ...addressed.boxes.map(box => box.append), ...queued.appends],
      },
    ])
    if (isWritten !== true) return undefined
    return inOrder(recipients, [...addressed.results, ...foreign.map(queuedResult)])
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
    const verified = await finish(frame.object, author)
    if (verified === 'known') return knownAnswer(store.findObject((frame.object as FmtpObject).id))
    checkKind(verified.object)
    for (;;) {
      const results = await write(verified, frame.replaces)
      if (results === undefined) continue
      const { id, version, kind, owner } = verified.object
      ports.onPublished({ id, kind, owner, results, ms: clock.now() - startMs })
      return { outcome: 'stored', results, id, version }
    }
  }
}

function knownAnswer(object: FmtpObject | undefined): Answer {
  if (object === undefined) throw new FmtpError('FMTP_BUSY', 'the object went away meanwhile')
  return { outcome: 'duplicate', id: object.id, version: object.version }
}

function requireOwner(id: string, author: Address): void {
  const owner = ownerOf(id as ObjectId)
  if (owner !== author) throw new FmtpError('FMTP_NOT_OWNER', `${id} is not of ${author}`)
}

/** A draft that was sent again: all it says stands in the object already. */
function saysTheSame(draft: Draft, object: FmtpObject): boolean {
  const said = object as Readonly<Record<string, unknown>>
  return Object.entries(draft).every(([name, value]) => JSON.stringify(value) === JSON.stringify(said[name]))
}

function tombstoneOf(before: FmtpObject | undefined, draft: Draft): Draft {
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
  before: FmtpObject | undefined,
  replaces: number | undefined,
): void {
  if (replaces !== undefined && replaces !== before?.version) {
    throw new FmtpError('FMTP_CONFLICT', `replaces ${replaces}, here is ${before?.version}`)
  }
  if (before !== undefined && before.version >= object.version)
    throw new FmtpError('FMTP_TOO_OLD', `here is ${before.version}`)
}

/** Whom it is for; an edit and a deletion also go to whoever had the version before. */
function recipientsOf(object: FmtpObject, before: FmtpObject | undefined): Address[] {
  const named = [object, before].flatMap(each =>
    each?.kind === 'message' ? ((each as Message).to ?? []) : [],
  )
  return [...new Set(named as Address[])]
}

function inOrder(recipients: readonly Address[], results: readonly Result[]): Result[] {
  return recipients.flatMap(recipient => results.find(result => result.for === recipient) ?? [])
}
