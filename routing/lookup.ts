/**
 * The lookup ladder (protocol §10.2): an address or id leads to its object. Local store and cache, then the domain
 * itself. Concurrent lookups of one name share one climb; a stale copy is served at once and refreshed behind.
 */
import type { Clock } from '../objects/clock.ts'
import {
  type DomainKeys,
  type SealVerdict,
  type VerifiedObject,
  verifyOldSeal,
  verifySeal,
} from '../objects/seal.ts'
import type { Store } from '../objects/store.ts'
import { isNewer } from '../objects/version.ts'
import { isEveryones } from '../objects/view.ts'
import type { Contact } from '../schemas/contact.ts'
import { type FailureCode, FmtpError, toFmtpError } from '../schemas/failures.ts'
import { singleKinds } from '../schemas/kinds.ts'
import { limits } from '../schemas/limits.ts'
import {
  type Domain,
  domainOf,
  isAddressName,
  makeObjectId,
  type Name,
  type ObjectId,
  ownerOf,
} from '../schemas/names.ts'
import type { FmtpObject } from '../schemas/object.ts'
import type { Kinds } from '../schemas/parse-object.ts'
import type { User } from '../schemas/user.ts'
import { answerError, type Reply } from '../wire/pairing.ts'
import { askOver } from './asking.ts'
import { keepAbsent, keepFetched } from './cache.ts'
import { climb, type Note, type Rung, type Step } from './ladder.ts'
import type { Reach } from './reach.ts'
import type { AskByDatagram } from './udp.ts'

/** What is looked for: somebody's own object by address, or an object by id. */
export type Sought = { readonly address: Name } | { readonly id: ObjectId }

export type LookupOutcome =
  | {
      readonly outcome: 'found'
      readonly object: FmtpObject
      readonly trail: readonly Step[]
      readonly ageMs: number
      /** The rung that gave it; none: an old copy, since all failed. */
      readonly rung?: string
    }
  | { readonly outcome: 'absent'; readonly trail: readonly Step[]; readonly rung?: string }
  | {
      readonly outcome: 'unreachable'
      readonly error: FmtpError
      /** True when the domain was reached, in the name of `as`: the failure is about what was asked for. */
      readonly isReached: boolean
      readonly trail: readonly Step[]
    }

export interface LookupPorts {
  readonly store: Store
  readonly kinds: Kinds
  readonly keys: DomainKeys
  readonly reach: Reach
  /** A quick try, before a connection is made. */
  readonly askByDatagram?: AskByDatagram
  readonly clock: Clock
  /** Everyone's view of a user of ours, our own server objects and public objects. */
  findOwn(id: ObjectId): FmtpObject | undefined
  isOwnDomain(domain: Domain): boolean
  /** In whose name foreign domains are called. */
  readonly as: Domain
  onStep(sought: string, step: Step): void
  /** False where the disk has no room: then what is fetched is given, and not kept. */
  hasRoom(): boolean
  /** A domain says where it can be reached from here. */
  onContacts(domain: Domain, contacts: readonly Contact[]): void
  /** A foreign object was given from here. */
  onUse(id: ObjectId): void
  /** A foreign object was kept, and takes room. */
  onKept(): void
}

export interface LookupOptions {
  /** True: nothing but what is fresh, here or from its home (protocol §10.2). */
  readonly isFresh?: boolean
  /** True: part of an attempt that is made in any case, also to a domain that is held back. */
  readonly isScheduled?: boolean
  /** True: every rung is climbed, whatever is here, and nothing that is found is kept; an old copy is no last resort. */
  readonly isTraced?: boolean
}

export type Lookup = (sought: Sought, options?: LookupOptions) => Promise<LookupOutcome>

/** The id that a sought thing has. */
export function soughtId(sought: Sought): ObjectId {
  if ('id' in sought) return sought.id
  return makeObjectId(isAddressName(sought.address) ? 'user' : 'server', sought.address)
}

interface DomainRungOptions {
  readonly onReached?: () => void
  readonly isScheduled?: boolean
  readonly isTraced?: boolean
  /** True: a datagram is tried first. */
  readonly isQuick?: boolean
}

type Found = { readonly object: FmtpObject | 'absent'; readonly ageMs: number }

/** What could not be refreshed is asked for again after this. */
const againMs = 60_000
const failuresMost = 10_000

export function createLookup(ports: LookupPorts): Lookup {
  const { store, clock } = ports
  /** By id; those that take nothing stale, or are made in any case, are apart. */
  const climbs = new Map<string, Promise<LookupOutcome>>()
  const refreshes = new Set<ObjectId>()
  /** Unix ms at which a refresh failed. */
  const failures = new Map<ObjectId, number>()

  function localRung(id: ObjectId, about: string, { isFresh, isTraced }: LookupOptions): Rung<Found> {
    return {
      name: 'local',
      async climb(note) {
        const found = findLocal(id)
        note.add('cache', found === undefined ? 'miss' : 'ok', { about, ageMs: found?.ageMs })
        // What is ours is nowhere else; a copy says nothing of the way.
        if (isTraced) return ports.isOwnDomain(domainOf(ownerOf(id))) ? found : undefined
        if (found === undefined || found.ageMs > limits.userStaleMs) return undefined
        if (found.ageMs > limits.userFreshMs) {
          if (isFresh) return undefined
          refresh(id, about)
        }
        if (found.object !== 'absent') ports.onUse(id)
        return found
      },
    }
  }

  function findLocal(id: ObjectId): Found | undefined {
    if (ports.isOwnDomain(domainOf(ownerOf(id)))) return { object: ports.findOwn(id) ?? 'absent', ageMs: 0 }
    const nowMs = clock.now()
    const fetchedAtMs = store.findFetchedAtMs(id)
    const absentAtMs = store.findAbsentAtMs(id)
    // What the home said last counts; a copy from before is no last resort either.
    if (absentAtMs !== undefined && absentAtMs >= (fetchedAtMs ?? 0))
      return nowMs - absentAtMs < limits.absentMs ? { object: 'absent', ageMs: 0 } : undefined
    const object = fetchedAtMs === undefined ? undefined : store.findObject(id)
    if (object === undefined || fetchedAtMs === undefined) return undefined
    return { object, ageMs: nowMs - fetchedAtMs }
  }

  function domainRung(
    id: ObjectId,
    sought: Sought,
    { onReached, isScheduled, isQuick = false, isTraced = false }: DomainRungOptions = {},
  ): Rung<Found> {
    return {
      name: 'domain',
      async climb(note) {
        const domain = domainOf(ownerOf(id))
        // Nobody calls oneself.
        if (isTraced && ports.isOwnDomain(domain)) return undefined
        const quick = isQuick ? await askQuickly(id, sought, note) : undefined
        if (quick !== undefined) return { object: quick, ageMs: 0 }
        const query = { ...sought, effort: 'own' } as const
        const object = await askOver(
          () => ports.reach.domain(domain, ports.as, note, isScheduled),
          peer => {
            onReached?.()
            note.add('ask', 'ok', { ...sought, host: peer.host })
            return note.step('request', described, async () => {
              const reply = await peer.request(query)
              const { contacts } = reply.answer
              if (contacts !== undefined && !isTraced) ports.onContacts(domain, contacts)
              return takeReply(reply, id, ports.kinds)
            })
          },
        )
        if (object !== undefined) return { object: await keep(object, note, isTraced), ageMs: 0 }
        return { object: isTraced ? 'absent' : await lose(id, note), ageMs: 0 }
      },
    }
  }

  /** By a datagram. What it says of absence nobody has signed, and an older version may be a replay: then a stream is asked. */
  async function askQuickly(id: ObjectId, sought: Sought, note: Note): Promise<FmtpObject | undefined> {
    const owner = ownerOf(id)
    const profile = isAddressName(owner) ? store.findObject(makeObjectId('user', owner)) : undefined
    const contacts = (profile as User | undefined)?.contacts ?? []
    const reply = await ports.askByDatagram?.({ sought, id, contacts, as: ports.as }, note)
    if (reply === undefined) return undefined
    try {
      const object = takeReply(reply, id, ports.kinds)
      const known = store.findObject(id)
      if (object === undefined || (known !== undefined && known.version > object.version)) return undefined
      return await keep(object, note, false)
    } catch (thrown) {
      note.add('datagram', toFmtpError(thrown).code, { id })
      return undefined
    }
  }

  /** Its home's word counts, also where it can not be kept. */
  async function lose(id: ObjectId, note: Note): Promise<'absent'> {
    try {
      await keepAbsent(store, id, clock.now())
    } catch (thrown) {
      note.add('keep', toFmtpError(thrown).code, { id })
    }
    return 'absent'
  }

  async function keep(object: FmtpObject, note: Note, isTraced: boolean): Promise<FmtpObject> {
    if (object.version > clock.now() + limits.clockSkewMs)
      throw new FmtpError('FMTP_FROM_FUTURE', `version ${object.version}`)
    const id = object.id as ObjectId
    return note.step('seal', { id }, async () => {
      const verdict = await verifySeal(object, ports.keys, clock.now())
      const verified = verdict.isBelieved ? verdict.verified : await believeByKeys(object)
      if (verified === undefined) {
        const { code, reason } = verdict as Extract<SealVerdict, { isBelieved: false }>
        throw new FmtpError(code, reason)
      }
      if (isTraced) return object
      const kept = await keepWhereRoom(verified, note)
      ports.onUse(id)
      ports.onKept()
      return kept
    })
  }

  /** What can not be kept now is given all the same, and fetched again by the next who asks. */
  async function keepWhereRoom(verified: VerifiedObject, note: Note): Promise<FmtpObject> {
    const { object } = verified
    const current = store.findObject(object.id)
    // A tombstone makes room.
    const mayKeep = ports.hasRoom() || (object.deleted === true && current !== undefined)
    let code: FailureCode = 'FMTP_FULL'
    try {
      if (mayKeep) return await keepFetched(store, verified, clock.now())
    } catch (thrown) {
      code = toFmtpError(thrown).code
      if (code !== 'FMTP_STORE') throw thrown
    }
    note.add('keep', code, { id: object.id })
    return current === undefined || isNewer(verified, current) ? object : current
  }

  /** Past its credential: by the keys that its owner has now. What says which those are must be believed without. */
  async function believeByKeys(object: FmtpObject): Promise<VerifiedObject | undefined> {
    if (singleKinds.has(object.kind)) return undefined
    const old = await verifyOldSeal(object, clock.now())
    if (old === undefined) return undefined
    const owner = await find({ address: object.owner as Name }, { isFresh: true })
    const hasKey = owner.outcome === 'found' && (owner.object as User).keys?.includes(old.thumbprint) === true
    return hasKey ? old : undefined
  }

  async function ascend(id: ObjectId, sought: Sought, options: LookupOptions): Promise<LookupOutcome> {
    const { isFresh = false, isScheduled = false, isTraced = false } = options
    const about = 'id' in sought ? sought.id : sought.address
    let isReached = false
    const onReached = (): void => {
      isReached = true
    }
    // What must be fresh is not taken from who may hold back what is newer; a delivery needs the connection anyway.
    const isQuick = !isFresh && !isScheduled && !isTraced
    const rungs = [localRung(id, about, options), domainRung(id, sought, { ...options, onReached, isQuick })]
    const onStep = (step: Step): void => ports.onStep(about, step)
    const climbed = await climb(rungs, { clock, onStep, isThorough: isTraced })
    const { found, trail, rung } = climbed
    const by = rung === undefined ? {} : { rung }
    if (found === undefined) {
      const error = climbed.error ?? new FmtpError('FMTP_UNREACHABLE')
      const old = isFresh || isTraced ? undefined : findOld(id, trail)
      return old ?? { outcome: 'unreachable', error, isReached, trail }
    }
    if (found.object !== 'absent')
      return { outcome: 'found', object: found.object, trail, ageMs: found.ageMs, ...by }
    return { outcome: 'absent', trail, ...by }
  }

  /** Every rung failed: a copy that is too old otherwise is better than none, and says its age. */
  function findOld(id: ObjectId, trail: readonly Step[]): LookupOutcome | undefined {
    const old = findLocal(id)
    if (old === undefined || old.object === 'absent' || old.ageMs > limits.userExpiredMs) return undefined
    return { outcome: 'found', object: old.object, trail, ageMs: old.ageMs }
  }

  /** Behind the reader's back: one at a time, and not at once again where the home did not answer. */
  function refresh(id: ObjectId, about: string): void {
    const failedAtMs = failures.get(id)
    if (refreshes.has(id) || (failedAtMs !== undefined && clock.now() - failedAtMs < againMs)) return
    refreshes.add(id)
    failures.delete(id)
    const rung = domainRung(id, about === id ? { id } : { address: ownerOf(id) }, { isQuick: true })
    climb([rung], { clock, onStep: step => ports.onStep(about, step) })
      .then(
        ({ found }) => found !== undefined,
        () => false,
      )
      .then(isRefreshed => {
        refreshes.delete(id)
        if (isRefreshed) return
        if (failures.size >= failuresMost) failures.delete(failures.keys().next().value ?? id)
        failures.set(id, clock.now())
      })
  }

  function share(key: string, start: () => Promise<LookupOutcome>): Promise<LookupOutcome> {
    const running = climbs.get(key) ?? start().finally(() => climbs.delete(key))
    climbs.set(key, running)
    return running
  }

  function find(sought: Sought, options: LookupOptions = {}): Promise<LookupOutcome> {
    const id = soughtId(sought)
    if (options.isTraced) return ascend(id, sought, options)
    const key = `${options.isFresh ? 'fresh ' : ''}${options.isScheduled ? 'scheduled ' : ''}${id}`
    return share(key, () => ascend(id, sought, options))
  }
  return find
}

/** The object that was asked for, or `undefined` where its home says that there is none. */
export function takeReply({ answer, describes }: Reply, id: ObjectId, kinds: Kinds): FmtpObject | undefined {
  if (answer.outcome === 'absent') return undefined
  const [first] = describes
  if (answer.outcome !== 'found' || first === undefined) throw answerError(answer)
  const object = kinds.parseObject(first.object)
  if (object.id !== id) throw new FmtpError('FMTP_BAD_OBJECT', `asked for ${id}, got ${object.id}`)
  if (!isEveryones(object)) throw new FmtpError('FMTP_BAD_OBJECT', 'a view that is not for everyone')
  return object
}

function described(object: FmtpObject | undefined): Step['detail'] {
  if (object === undefined) return {}
  const { id, version, kind } = object
  return { id, version, kind, contacts: 'contacts' in object ? object.contacts : undefined }
}
