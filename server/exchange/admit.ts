/**
 * The first door: an object comes in (protocol §8). Its rungs stand in the order of their cost, and what is stored was
 * verified; the answer is given when it is on the disk.
 */

import { groupIn } from '../../objects/addressees.ts'
import type { Clock } from '../../objects/clock.ts'
import { isMatch } from '../../objects/pattern.ts'
import { isBroughtByOwner } from '../../objects/policy.ts'
import {
  atRestText,
  believeStored,
  type DomainKeys,
  type VerifiedObject,
  verifySeal,
} from '../../objects/seals/seal.ts'
import { queuePulls } from '../../objects/store/blobs/fetch-queue.ts'
import { keyOf } from '../../objects/store/layout.ts'
import { describe } from '../../objects/store/new-version.ts'
import { isResealed, isSameVersion, keepSeal } from '../../objects/store/newer-seal.ts'
import { untilWritten } from '../../objects/store/until-written.ts'
import { findPlace } from '../../objects/thread.ts'
import { decideSuccession, hasEnded } from '../../objects/version.ts'
import { isEveryones } from '../../objects/view.ts'
import { maySee, type Sight } from '../../objects/visibility.ts'
import type { Elder } from '../../routing/lookup/expired-seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame, DescribeOutcome, Result } from '../../schemas/frame.ts'
import { traitsOf } from '../../schemas/kinds/kinds.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import {
  type Address,
  type Domain,
  domainOf,
  isAddressName,
  type Name,
  ownerOf,
} from '../../schemas/text/names.ts'
import { type Answer, failureAnswer } from '../../wire/pairing.ts'
import { nameOf, type Standing } from '../accounts/principal.ts'
import { followOn, readHandedOn } from './recipients/forwarded-versions.ts'
import { type Judgement, judge } from './recipients/judge.ts'
import { type Coming, type TakingPorts, take } from './recipients/local-delivery.ts'
import type { Passage, Passing } from './recipients/relay-policy.ts'
import type { HearReport } from './recipients/relay-report.ts'

export interface AdmitPorts extends TakingPorts {
  readonly kinds: Kinds
  readonly keys: DomainKeys
  readonly clock: Clock
  readonly sight: Sight
  isOwnDomain(domain: string): boolean
  /** What is passed on for others. */
  readonly passage: Passage
  /** What relays say of what they took. */
  readonly hearReport: HearReport
  /** What a forward brings past its credential (protocol §7.5). */
  believeOld: Elder
  readonly blockedDomains: readonly string[]
  /** Throws FMTP_RATE where a domain that nobody here knows sends too much. */
  spend(domain: string, remote: string): Promise<void>
  readonly objectBytes: number
  /** How many a describe may be for. */
  readonly recipients: number
  /** Throws FMTP_FULL where the disk has no room for what is new. */
  requireRoom(): void
  onDecision(decision: AdmitDecision): void
  /** Blobs of a domain were queued to be pulled. */
  onPulls(domain: Domain): void
}

/** One line of the log: what became of an object for one recipient, and why. */
export interface AdmitDecision {
  readonly id: string
  readonly kind: string
  readonly from: string | undefined
  readonly for: string
  readonly outcome: DescribeOutcome
  readonly reason: string
  readonly ms: number
}

/** `chars`: length of the text that the frame was read from, where it was. */
export type Admit = (frame: DescribeFrame, standing: Standing, chars?: number) => Promise<Answer>

/** Who gets an object by one write. */
interface Taken {
  readonly accepted: readonly Judged[]
  readonly relayed: readonly Name[]
  readonly passing: Passing
}

interface Judged {
  readonly recipient: Name
  readonly judgement: Judgement
  /** Text of the recipient's box key as it was read, so that nothing stands in a box twice. */
  readonly boxed: string | undefined
}

interface JudgedWithResult extends Judged {
  readonly result: Result
}

const elsewhere: Judgement = { outcome: 'absent', reason: 'not a domain of ours' }

export function createAdmit(ports: AdmitPorts): Admit {
  const { store } = ports

  async function verify(object: FmtpObject, standing: Standing): Promise<VerifiedObject> {
    const verdict = await verifySeal(object, ports.keys, ports.clock.now())
    if (verdict.isBelieved) return verdict.verified
    // Its own home would have renewed it; another brings it as it was.
    const isForward = !isBroughtByOwner(object, nameOf(standing))
    const old = isForward ? await ports.believeOld(object) : undefined
    if (old === undefined) throw new FmtpError(verdict.code, verdict.reason)
    return old
  }

  /** What is here, under the seal that lives longer: the one here, or the one that came. */
  async function withFresherSeal(known: VerifiedObject, object: FmtpObject): Promise<VerifiedObject> {
    const isOurs = ports.isOwnDomain(domainOf(object.owner as Name))
    if (isOurs || !isResealed(object, known.object)) return known
    const verdict = await verifySeal(object, ports.keys, ports.clock.now())
    return verdict.isBelieved ? keepSeal(store, verdict.verified) : known
  }

  /** The first of these that config blocks. */
  function findBlocked(...domains: readonly string[]): string | undefined {
    return domains.find(domain => ports.blockedDomains.some(pattern => isMatch(pattern, domain)))
  }

  async function pass(object: FmtpObject, standing: Standing): Promise<void> {
    await ports.spend(bringerOf(object, standing), standing.remote)
    if (object.version > ports.clock.now() + limits.clockSkewMs)
      throw new FmtpError('FMTP_FROM_FUTURE', `version ${object.version}`)
    if (hasEnded(object, ports.clock.now())) throw new FmtpError('FMTP_ENDED', object.expiresAt)
  }

  /** This very version, where it is here already: then its seal was verified, and only the boxes are looked at. */
  function findKnown(object: FmtpObject): VerifiedObject | undefined {
    const text = store.findText(object.id)
    const here = text === undefined ? undefined : store.findObject(object.id)
    if (here === undefined) return undefined
    if (text === atRestText(object) || isSameVersion(object, here)) return believeStored(here)
    // Of our own nothing is told that an outsider does not show to have.
    const isOurs = ports.isOwnDomain(domainOf(object.owner as Name))
    if (here.version > object.version && !isOurs)
      throw new FmtpError('FMTP_TOO_OLD', `here is ${here.version}`)
    return undefined
  }

  function isTombstoneHere({ id, deleted }: FmtpObject): boolean {
    return deleted === true && store.findText(id) !== undefined
  }

  /** This, or the same version under the seal that it has here meanwhile. */
  function asHeld(verified: VerifiedObject): VerifiedObject {
    const { object } = verified
    const here = store.findObject(object.id)
    return here !== undefined && here.hash !== object.hash && isSameVersion(object, here)
      ? believeStored(here)
      : verified
  }

  /** A report is taken from a group about a post for it that is here: nobody else owes one. @throws {FmtpError} FMTP_NOT_OWED */
  function checkOwed(object: FmtpObject): void {
    if (object.kind !== 'report' || object.deleted === true) return
    const { about } = object as Report
    const post = store.findObject(about)
    if (post === undefined || !groupIn(post).includes(object.owner as Address))
      throw new FmtpError('FMTP_NOT_OWED', `${object.owner} about ${about}`)
  }

  /** @throws {FmtpError} FMTP_TOO_OLD, FMTP_BAD_OBJECT, FMTP_PARENT */
  function checkSuccession({ verified, before }: Coming): void {
    const { object } = verified
    const succession = decideSuccession(verified, before?.object)
    if (succession.outcome === 'refused') throw new FmtpError(succession.code, succession.reason)
    const place = findPlace(object, store.places)
    if (place.isJoined || !place.isFalse || !ports.isOwnDomain(domainOf(ownerOf(place.waitsFor)))) return
    // All versions of the parent were here. Who may not see it is not told that it exists.
    const parent = store.findObject(place.waitsFor)
    if (parent !== undefined && maySee(parent, [object.owner], ports.sight))
      throw new FmtpError('FMTP_PARENT', place.reason)
  }

  async function write(
    coming: Coming,
    { accepted, relayed, passing }: Taken,
    standing: Standing,
  ): Promise<boolean> {
    const { verified, before } = coming
    const { object } = verified
    const handedOn = await readHandedOn(coming, ports)
    const change = describe(verified, before, 'taken', store)
    const takers = accepted.map(({ recipient, judgement, boxed }) => {
      const forwardedBy = judgement.outcome === 'accept' ? judgement.forwardedBy : undefined
      return { recipient, boxed, forwardedBy }
    })
    take(change, coming, takers, ports)
    if (relayed.length > 0) passing.add(change, verified, relayed)
    followOn(change, coming, { handedOn, takers }, ports)
    const home = domainOf(object.owner as Name)
    const hasPulls =
      accepted.length > 0 &&
      !ports.isOwnDomain(home) &&
      queuePulls(change, object, ports.clock.now(), store.database)
    // Only who speaks for the owner can say that this is how it stands now: a forward may be of long ago.
    if (traitsOf(object.kind).isIntroduction && isBroughtByOwner(object, nameOf(standing)))
      change.puts.push([keyOf.foreign(object.id), String(ports.clock.now())])
    const [isWritten] = await store.database.commit([change])
    if (isWritten === true && hasPulls) ports.onPulls(home)
    return isWritten === true
  }

  return async (frame, standing, chars) => {
    const startMs = ports.clock.now()
    checkSize(frame.object, ports.objectBytes, chars)
    const object = ports.kinds.parseObject(frame.object)
    if (!isEveryones(object)) throw new FmtpError('FMTP_BAD_OBJECT', 'a view that is not for everyone')
    const recipients = (frame.for ?? []) as Name[]
    if (recipients.length === 0) throw new FmtpError('FMTP_NO_RECIPIENT')
    checkCount(recipients, ports.recipients)
    const blocked = findBlocked(bringerOf(object, standing), domainOf(object.owner as Name))
    if (blocked !== undefined) return refuseFor(blocked)
    await pass(object, standing)
    if (isOfRelay(object)) return ports.hearReport(await verify(object, standing), standing)
    const known = findKnown(object)
    // Users of ours publish; what others bring of theirs is believed only where it is here already: a forward.
    if (known === undefined && ports.isOwnDomain(domainOf(object.owner as Name))) {
      throw new FmtpError('FMTP_NOT_OWNER', 'an object of ours comes from outside')
    }
    const isForUs = recipients.some(each => ports.isOwnDomain(domainOf(each)))
    if (known === undefined && isForUs) checkOwed(object)
    // A tombstone makes room.
    if (known === undefined && !isTombstoneHere(object)) ports.requireRoom()
    const passing = await ports.passage(object, frame, standing)
    const blockedBehind = passing.session === undefined ? undefined : findBlocked(domainOf(passing.session))
    if (blockedBehind !== undefined) return refuseFor(blockedBehind)
    const verified =
      known === undefined ? await verify(object, standing) : await withFresherSeal(known, object)
    return untilWritten(async () => {
      const coming = { verified: asHeld(verified), before: store.findBefore(object.id) }
      const judged = recipients.map(recipient => judgeOne(coming.verified, recipient, passing))
      const accepted = judged.filter(
        ({ result, judgement }) => judgement.outcome === 'accept' && result.outcome !== 'duplicate',
      )
      const relayed = judged
        .filter(({ result }) => result.outcome === 'relayed')
        .map(({ recipient }) => recipient)
      if (accepted.length > 0 || relayed.length > 0) {
        checkSuccession(coming)
        // Another version, or this one for the same recipient, came between reading and writing: look again.
        if (!(await write(coming, { accepted, relayed, passing }, standing))) return undefined
      }
      return conclude(judged, startMs, known !== undefined)
    })

    function refuseFor(domain: string): Answer {
      const judgement = refusal(`${domain} is blocked by config`)
      const judged = recipients.map(recipient => ({
        recipient,
        judgement,
        boxed: undefined,
        result: resultOf(recipient, judgement, false),
      }))
      return conclude(judged, startMs)
    }

    function conclude(judged: readonly JudgedWithResult[], sinceMs: number, isKnownHere = false): Answer {
      const ms = ports.clock.now() - sinceMs
      const { id, version, kind } = object
      const from = nameOf(standing)
      for (const { recipient, judgement, result } of judged) {
        const outcome = result.outcome as DescribeOutcome
        ports.onDecision({ id, kind, from, for: recipient, outcome, reason: judgement.reason, ms })
      }
      const results = judged.map(({ result }) => result)
      return { outcome: wholeOutcome(results, isKnownHere), results, id, version }
    }
  }

  function judgeOne(verified: VerifiedObject, recipient: Name, passing: Passing): JudgedWithResult {
    const { object, atRest } = verified
    if (!ports.isOwnDomain(domainOf(recipient)))
      return { recipient, judgement: elsewhere, boxed: undefined, result: passing.judge(object, recipient) }
    const from = { session: passing.session, bytes: atRest.length }
    const judgement = judge(object, recipient, from, ports)
    const boxed = store.findBoxedText(recipient, object.id)
    // What was put aside as damaged is not here, whatever the box says.
    const isHere = !store.isAside(object.id) && store.hasThis(verified, boxed)
    return { recipient, judgement, boxed, result: resultOf(recipient, judgement, isHere) }
  }
}

/** A server tells what became of what it passes on. */
function isOfRelay({ kind, owner }: FmtpObject): boolean {
  return kind === 'report' && !isAddressName(owner as Name)
}

/** Where an object comes from: what the session proved, else its owner's domain. */
function bringerOf(object: FmtpObject, standing: Standing): string {
  return domainOf(nameOf(standing) ?? (object.owner as Name))
}

function refusal(reason: string): Judgement {
  return { outcome: 'refuse', reason, decision: { isAccepted: false, code: 'FMTP_REFUSED', reason } }
}

/** What one recipient's judgement looks like to the other side: less than the log knows. */
export function resultOf(recipient: Name, judgement: Judgement, isHere: boolean): Result {
  if (judgement.outcome === 'accept') return { for: recipient, outcome: isHere ? 'duplicate' : 'stored' }
  if (judgement.outcome === 'absent') {
    return { ...failureAnswer(new FmtpError('FMTP_UNKNOWN_RECIPIENT')), for: recipient, outcome: 'absent' }
  }
  return { for: recipient, ...failureAnswer(new FmtpError(judgement.decision.code)) }
}

/** The best that happened for any recipient stands for the object as a whole. */
function wholeOutcome(results: readonly Result[], isDuplicate = false): DescribeOutcome {
  const order: readonly DescribeOutcome[] = [
    ...(['stored', 'queued', 'relayed', 'duplicate', 'busy', 'refused', 'absent'] as const),
  ]
  const best = order.find(outcome => results.some(result => result.outcome === outcome)) ?? 'absent'
  return best === 'stored' && isDuplicate ? 'duplicate' : best
}

/** @throws {FmtpError} FMTP_TOO_MANY_RECIPIENTS */
export function checkCount(recipients: readonly string[], most: number): void {
  if (recipients.length > most)
    throw new FmtpError('FMTP_TOO_MANY_RECIPIENTS', `${recipients.length} recipients`)
}

/** `9e15` becomes sixteen digits, and no other text grows more when it is read and written. */
const bytesOfChar = 4

/**
 * An object's bytes count without the frame around it, whose text most objects need not be written for again.
 * @throws {FmtpError} FMTP_OBJECT_TOO_LARGE
 */
export function checkSize(object: object, most: number, chars = Number.POSITIVE_INFINITY): void {
  if (chars * bytesOfChar <= most) return
  const bytes = Buffer.byteLength(JSON.stringify(object))
  if (bytes > most) throw new FmtpError('FMTP_OBJECT_TOO_LARGE', `${bytes} bytes`)
}
