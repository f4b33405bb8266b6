/**
 * The lookup ladder (protocol §10.2): an address or id leads to its object. Local store and cache, the parent's cache, a
 * child, the domain itself, quickly or over a connection, the parent's lookup. Concurrent lookups of one name share one
 * climb; a stale copy is served at once and refreshed behind.
 */

import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import {
  type Domain,
  domainOf,
  isAddressName,
  makeObjectId,
  type ObjectId,
  ownerOf,
} from '../../schemas/text/names.ts'
import type { Reach } from '../connect/connect.ts'
import type { Peer } from '../connect/peer.ts'
import { askOver } from '../connect/retry-once.ts'
import { climb, type Note, type Rung, type Step } from '../ladder.ts'
import { type Family, noFamily, requireBelow } from '../parents/hierarchy.ts'
import { within } from '../with-timeout.ts'
import type { AskByDatagram } from './datagram.ts'
import { createKeeping, type KeepingPorts } from './keep-found.ts'
import { nextHops, parentRung } from './parent-rung.ts'
import { type Sought, soughtId, takeReply } from './query.ts'

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

export interface LookupPorts extends KeepingPorts {
  readonly kinds: Kinds
  readonly reach: Reach
  /** A quick try, before a connection is made. */
  readonly askByDatagram?: AskByDatagram
  /** Missing: neither parents nor children. */
  readonly family?: Family
  /** Everyone's view of a user of ours, our own server objects and public objects. */
  findOwn(id: ObjectId): FmtpObject | undefined
  isOwnDomain(domain: Domain): boolean
  /** In whose name foreign domains are called. */
  readonly as: Domain
  onStep(sought: string, step: Step): void
  /** A domain says where it can be reached from here. */
  onContacts(domain: Domain, contacts: readonly Contact[]): void
}

export interface LookupOptions {
  /** True: nothing but what is fresh, here or from its home (protocol §10.2). */
  readonly isFresh?: boolean
  /** True: part of an attempt that is made in any case, also to a domain that is held back. */
  readonly isScheduled?: boolean
  /** True: every rung is climbed, whatever is here, and nothing that is found is kept; an old copy is no last resort. */
  readonly isTraced?: boolean
  /**
   * How far it goes. `cache`: to what is here, fresh or stale; `below`: and to a child, by the connection that it opened.
   * Default: up the whole ladder.
   */
  readonly extent?: 'cache' | 'below'
  /** The servers through which the question came here (protocol §10.7). */
  readonly hops?: readonly Domain[]
  /** Somebody who should have it, and is asked first: a seal is believed whoever brings it. */
  readonly from?: Peer | undefined
}

export type Lookup = (sought: Sought, options?: LookupOptions) => Promise<LookupOutcome>

interface DomainRungOptions {
  readonly onReached?: () => void
  readonly isScheduled?: boolean
  readonly isTraced?: boolean
  /** True: a datagram is tried first. */
  readonly isQuick?: boolean
}

/** One question to whoever has the object. */
interface Question {
  readonly id: ObjectId
  readonly sought: Sought
  readonly note: Note
  readonly hops?: readonly Domain[]
  readonly isTraced: boolean
}

/** What a climb is about. */
interface Query {
  readonly id: ObjectId
  readonly sought: Sought
  /** Through whom the question came here. */
  readonly hops: readonly Domain[]
  readonly isFresh: boolean
  readonly isTraced: boolean
}

type Found = { readonly object: FmtpObject | 'absent'; readonly ageMs: number }

/** What could not be refreshed is asked for again after this. */
const againMs = 60_000
const failuresMost = 10_000

export function createLookup(ports: LookupPorts): Lookup {
  const { store, clock, family = noFamily } = ports
  /**
   * By id; those that take nothing stale, or are made in any case, are apart, and so are those of another number of hops:
   * who waits for a climb is always a hop before it, so that climbs which wait for each other in a ring can not be.
   */
  const climbs = new Map<string, Promise<LookupOutcome>>()
  /** What a domain is being asked, whoever wants to know. */
  const asked = new Map<string, Promise<FmtpObject | 'absent'>>()
  /** The same by datagrams; `undefined` where these gave nothing. */
  const quickly = new Map<string, Promise<FmtpObject | undefined>>()
  const { keep, lose } = createKeeping(ports, async owner => {
    const found = await find({ address: owner }, { isFresh: true })
    return found.outcome === 'found' ? ((found.object as User).keys ?? []) : []
  })
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
    const domain = domainOf(ownerOf(id))
    // A parent may have an open way where this host takes no packet.
    const hasParent = family.findParent(domain) !== undefined
    return {
      name: 'domain',
      ...(hasParent ? { patienceMs: limits.viaParentAfterMs } : {}),
      async climb(note) {
        const quick = isQuick ? await share(quickly, id, () => askQuickly(id, sought, note)) : undefined
        if (quick !== undefined) return { object: quick, ageMs: 0 }
        const key = `${isScheduled ? 'scheduled ' : ''}${isTraced ? 'traced ' : ''}${id}`
        const object = await share(asked, key, () =>
          askOver(
            () => ports.reach.front(domain, ports.as, note, isScheduled),
            peer => {
              onReached?.()
              return ask(peer, { id, sought, note, isTraced })
            },
          ),
        )
        return { object, ageMs: 0 }
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
      return await keep(object, note)
    } catch (thrown) {
      note.add('datagram', toFmtpError(thrown).code, { id })
      return undefined
    }
  }

  /** A child is asked over the connection that it opened, and by it a child of that one. */
  function belowRung({ id, sought, hops, isTraced }: Query): Rung<Found> {
    return {
      name: 'below',
      async climb(note) {
        const domain = domainOf(ownerOf(id))
        if (!family.isChild(domain)) return undefined
        if (family.findBelow(domain) === undefined) {
          note.add('connection', 'miss', { domain })
          return undefined
        }
        const object = await askOver(
          async () => requireBelow(family, domain),
          peer => {
            const path = nextHops(hops, peer.as)
            // It does not have it: it asks itself.
            if (hops.includes(peer.name as Domain))
              throw new FmtpError('FMTP_LOOP', `${peer.name} is among ${hops}`)
            return ask(peer, { id, sought, note, hops: path, isTraced })
          },
        )
        return { object, ageMs: 0 }
      },
    }
  }

  /** What is not there may be elsewhere. */
  function sessionRung({ id, sought }: Query, peer: Peer): Rung<Found> {
    return {
      name: 'session',
      patienceMs: limits.nextHostMs,
      async climb(note) {
        const object = await note.step('request', { ...sought, host: peer.host }, async () => {
          const asking = peer.request({ ...sought, effort: 'own' })
          return takeReply(await within(asking, limits.standingMs, clock), id, ports.kinds)
        })
        if (object === undefined) return undefined
        // It does not say how old this is: it is asked for again behind who needs it.
        const asOfMs = clock.now() - limits.userFreshMs
        return { object: await keep(object, note, { asOfMs }), ageMs: limits.userFreshMs }
      },
    }
  }

  async function ask(
    peer: Peer,
    { id, sought, note, hops, isTraced }: Question,
  ): Promise<FmtpObject | 'absent'> {
    const domain = domainOf(ownerOf(id))
    const query = { ...sought, effort: 'own', ...(hops === undefined ? {} : { hops: [...hops] }) } as const
    note.add('ask', 'ok', { ...sought, host: peer.host })
    const object = await note.step('request', described, async () => {
      const reply = await peer.request(query)
      const { contacts } = reply.answer
      if (contacts !== undefined && !isTraced) ports.onContacts(domain, contacts)
      return takeReply(reply, id, ports.kinds)
    })
    if (object !== undefined) return keep(object, note, { isTraced })
    return isTraced ? 'absent' : lose(id, note)
  }

  function parentRungOf(effort: 'cache' | 'lookup', query: Query): Rung<Found> {
    const { id, sought, hops, isFresh, isTraced } = query
    const agesMost = isFresh
      ? limits.userFreshMs
      : effort === 'cache'
        ? limits.userStaleMs
        : limits.userExpiredMs
    const domain = domainOf(ownerOf(id))
    return parentRung(
      { id, sought, domain, effort, hops, agesMost },
      {
        ...ports,
        family,
        onContacts: isTraced ? () => undefined : ports.onContacts,
        async keep(object, note, asOfMs) {
          // Its home said since that there is none.
          if ((store.findAbsentAtMs(id) ?? 0) >= asOfMs) return undefined
          return { object: await keep(object, note, { isTraced, asOfMs }), ageMs: clock.now() - asOfMs }
        },
      },
    )
  }

  /** Behind what is here; of what is ours there is nothing elsewhere. */
  function rungsBehind(
    query: Query,
    options: DomainRungOptions,
    extent: LookupOptions['extent'],
  ): Rung<Found>[] {
    const { id, sought } = query
    if (extent === 'cache' || ports.isOwnDomain(domainOf(ownerOf(id)))) return []
    if (extent === 'below') return [belowRung(query)]
    return [
      parentRungOf('cache', query),
      belowRung(query),
      domainRung(id, sought, options),
      parentRungOf('lookup', query),
    ]
  }

  async function ascend(id: ObjectId, sought: Sought, options: LookupOptions): Promise<LookupOutcome> {
    const { isFresh = false, isScheduled = false, isTraced = false, extent, hops = [], from } = options
    const about = 'id' in sought ? sought.id : sought.address
    let isReached = false
    const onReached = (): void => {
      isReached = true
    }
    // What must be fresh is not taken from who may hold back what is newer; a delivery needs the connection anyway.
    const isQuick = !isFresh && !isScheduled && !isTraced
    const query = { id, sought, hops, isFresh, isTraced }
    const rungs = [
      localRung(id, about, options),
      ...(from === undefined ? [] : [sessionRung(query, from)]),
      ...rungsBehind(query, { onReached, isScheduled, isTraced, isQuick }, extent),
    ]
    const onStep = (step: Step): void => ports.onStep(about, step)
    const climbed = await climb(rungs, { clock, onStep, isThorough: isTraced })
    const { found, trail, rung } = climbed
    const by = rung === undefined ? {} : { rung }
    if (found === undefined) {
      const code = extent === undefined ? 'FMTP_UNREACHABLE' : 'FMTP_NOT_HERE'
      const error = climbed.error ?? new FmtpError(code)
      const old = isFresh || isTraced || extent === 'cache' ? undefined : findOld(id, trail)
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
    const sought = about === id ? { id } : { address: ownerOf(id) }
    const query = { id, sought, hops: [], isFresh: true, isTraced: false }
    const rungs = [belowRung(query), domainRung(id, sought, { isQuick: true }), parentRungOf('lookup', query)]
    climb(rungs, { clock, onStep: step => ports.onStep(about, step) })
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

  function share<T>(running: Map<string, Promise<T>>, key: string, start: () => Promise<T>): Promise<T> {
    const shared = running.get(key) ?? start().finally(() => running.delete(key))
    running.set(key, shared)
    return shared
  }

  function find(sought: Sought, options: LookupOptions = {}): Promise<LookupOutcome> {
    const id = soughtId(sought)
    if (options.isTraced) return ascend(id, sought, options)
    const { isFresh, isScheduled, extent = '', hops = [], from } = options
    const key = `${from === undefined ? '' : `${from.name} `}${isFresh ? 'fresh ' : ''}${isScheduled ? 'scheduled ' : ''}${extent} ${hops.length} ${id}`
    return share(climbs, key, () => ascend(id, sought, options))
  }
  return find
}

function described(object: FmtpObject | undefined): Step['detail'] {
  if (object === undefined) return {}
  const { id, version, kind } = object
  return { id, version, kind, contacts: 'contacts' in object ? object.contacts : undefined }
}
