/**
 * The third door: an object or a list is asked for (protocol §9). What the asker may not see is absent to it; what is
 * not ours is looked up for our own users and the servers of our children only.
 */
import type { Clock } from '../../objects/clock.ts'
import { isLeftOut } from '../../objects/store/forum-list.ts'
import type { Hints } from '../../objects/store/hints.ts'
import type { Store } from '../../objects/store/store.ts'
import { hasEnded } from '../../objects/version.ts'
import { maySee, type Sight } from '../../objects/visibility.ts'
import type { StandsFor } from '../../routing/lookup/delegation.ts'
import type { Lookup, LookupOptions } from '../../routing/lookup/lookup.ts'
import { type Sought, soughtId } from '../../routing/lookup/query.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { ListQuery, RequestFrame } from '../../schemas/frame.ts'
import { singleKinds, traitsOf } from '../../schemas/kinds/kinds.ts'
import { limits } from '../../schemas/limits.ts'
import type { AskedList } from '../../schemas/lists.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import {
  type Address,
  type Domain,
  domainOf,
  type Name,
  nonceOf,
  type ObjectId,
  ownerOf,
} from '../../schemas/text/names.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { Standing } from '../accounts/principal.ts'
import { absent, type BlobAsking, type BlobReveal, type SoughtBlob } from '../blobs/give-piece.ts'
import { readResults } from '../delivery/status/results.ts'
import { createLists, type RevealList } from './reading/lists.ts'
import type { Pull } from './reading/outbox-resend.ts'
import type { FindContacts } from './reading/own-contacts.ts'
import type { FindView } from './reading/views.ts'

export interface RevealPorts {
  readonly store: Store
  readonly accounts: Accounts
  readonly sight: Sight
  readonly lookup: Lookup
  /** A domain that this server looks up for. */
  isChild(domain: Domain): boolean
  /** A domain that this server's configuration names as a parent. */
  isParent(domain: Domain): boolean
  /** Whether who proved one domain stands for another one too. */
  readonly standsFor: StandsFor
  /** The view of a user of ours that all these viewers may have. */
  readonly findView: FindView
  readonly revealBlob: BlobReveal
  /** Where who asks from there reaches this server. */
  readonly findContacts: FindContacts
  readonly hints: Hints
  readonly clock: Clock
  /** How often a follower looks at its list without a hint, ms. */
  readonly followMs: number
  /** Counts a request of a guest. Throws FMTP_RATE where there are too many from one address. */
  spendRequest(remote: string): Promise<void>
  /** A peer asks for what waits for it. */
  readonly pull: Pull
  /** A follow ended because its list could not be read. */
  onFollowFailed(thrown: unknown): void
}

export interface Reveal {
  (inquiry: Inquiry, standing: Standing): Promise<Answer>
  /** An object that is here, as these viewers may see it. Without viewers: everyone's view. */
  findFor(id: ObjectId, viewers: readonly string[]): FmtpObject | undefined
}

export function createReveal(ports: RevealPorts): Reveal {
  const { store, accounts, sight } = ports

  function findFor(id: ObjectId, viewers: readonly string[]): FmtpObject | undefined {
    const owner = ownerOf(id)
    const isOwnUser = nonceOf(id) === 'user' && accounts.isOwn(owner)
    const object = isOwnUser ? ports.findView(owner as Address, viewers) : store.findObject(id)
    if (object === undefined || !(isOwnUser || maySee(object, viewers, sight))) return undefined
    // Who has it among the favourites keeps it.
    if (hasEnded(object, ports.clock.now()) && !viewers.some(viewer => store.isKept(id, viewer)))
      return undefined
    return refreshed(object)
  }

  /** Who reads the list of somebody whose account was deleted sees what is deleted there. */
  function isLeaving(address: Address): boolean {
    const leaver = accounts.findLeaver(address)
    return leaver !== undefined && leaver.public !== false
  }

  /** Credentials of our own are renewed on the way out. */
  function refreshed(object: FmtpObject): FmtpObject {
    const encryptedKey = accounts.freshCredential(object.encryptedKey, object.owner as Name)
    return encryptedKey === object.encryptedKey ? object : { ...object, encryptedKey }
  }

  /** In the order of protocol §9.1. */
  async function revealObject(sought: Sought, inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const { request } = inquiry
    if (request.follow === true) throw new FmtpError('FMTP_NOT_OFFERED', 'following one object')
    const id = soughtId(sought)
    const hops = requireHops(standing, request)
    const viewers = await viewersOf(standing, request)
    const here = findFor(id, viewers)
    const isOwn = accounts.isOwn(ownerOf(id))
    const extent = isOwn ? 'here' : extentOf(standing, request, domainOf(ownerOf(id)))
    // A copy that was fetched or forwarded may be old: whoever may climb gets what the ladder says.
    if (here !== undefined && (extent === 'here' || !mayBeOld(id, viewers)))
      return {
        ...found(inquiry, here),
        ...contactsFor(here, standing),
        ...(await statesOf(here, standing)),
      }
    if (isOwn) return absent()
    if (extent === 'here') return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    if (extent !== 'below' && hops.length > limits.parentsDeep) throw new FmtpError('FMTP_TOO_FAR', `${hops}`)
    const looking = ports.lookup(sought, { hops, ...(extent === 'all' ? {} : { extent }) })
    const outcome = await telling(looking, inquiry)
    // The ladder serves the whole house; this asker sees what is public or theirs.
    if (outcome.outcome === 'found' && maySee(outcome.object, viewers, sight)) {
      const asOf = ports.clock.now() - outcome.ageMs
      return {
        ...found(inquiry, outcome.object),
        ...contactsFor(outcome.object, standing),
        ...(standing.role === 'server' ? { asOf } : {}),
      }
    }
    // A child is asked for what is public: of anything else that says nothing.
    if (extent === 'below' && viewers.length > 0)
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    if (outcome.outcome !== 'unreachable') return absent()
    return { ...failureAnswer(outcome.error), outcome: 'unreachable' }
  }

  /** The servers through which a question came. @throws {FmtpError} FMTP_LOOP where this one is among them */
  function requireHops(standing: Standing, request: RequestFrame): readonly Domain[] {
    const hops = hopsOf(standing, request)
    const loop = hops.find(hop => accounts.isOwnDomain(hop))
    if (loop !== undefined) throw new FmtpError('FMTP_LOOP', `${loop} among ${hops}`)
    return hops
  }

  /** Beside the object, which is the same for everyone. */
  function contactsFor(object: FmtpObject, { remote }: Standing): Pick<Answer, 'contacts'> {
    if (!traitsOf(object.kind).isSingle) return {}
    const domain = domainOf(object.owner as Name)
    const contacts = accounts.isOwnDomain(domain)
      ? ports.findContacts(remote)
      : ports.isChild(domain)
        ? ports.findContacts(remote, domain)
        : []
    return contacts.length === 0 ? {} : { contacts: [...contacts] }
  }

  /** Users that a session speaks for in a request (protocol §9.3). */
  async function viewersOf(standing: Standing, request: RequestFrame): Promise<readonly string[]> {
    if (standing.role === 'guest') return []
    if (standing.role !== 'server') return [standing.name]
    const named = (request.for ?? []) as readonly string[] as readonly Name[]
    const domains = [...new Set(named.map(domainOf))]
    if (domains.length > limits.forDomains)
      throw new FmtpError('FMTP_NOT_ALLOWED', `for users of ${domains.length} domains`)
    const stands = await Promise.all(
      domains.map(domain => isForwarded(standing.name, domain) || ports.standsFor(standing.name, domain)),
    )
    return named.filter(viewer => stands[domains.indexOf(domainOf(viewer))] === true)
  }

  /**
   * What a parent carries to us it asks for others, for whom it has found the asker to stand; of who is here or below us we know
   * ourselves (protocol §10.8).
   */
  function isForwarded(by: Domain, domain: Domain): boolean {
    return ports.isParent(by) && !accounts.isOwnDomain(domain) && !ports.isChild(domain)
  }

  /** Of blobs there is no copy in between: who asks for one here asks for what is here. */
  function revealBlob(sought: SoughtBlob, inquiry: Inquiry, by: Pick<BlobAsking, 'standing' | 'viewers'>) {
    const { request } = inquiry
    const domain = domainOf(ownerOf(sought.id))
    const effort = request.effort === 'lookup' ? 'lookup' : 'own'
    const extent = accounts.isOwnDomain(domain)
      ? 'here'
      : extentOf(by.standing, { ...request, effort }, domain)
    const hops = requireHops(by.standing, request)
    return ports.revealBlob(sought, inquiry, { ...by, hops, extent: extent === 'cache' ? 'here' : extent })
  }

  /**
   * How far a request for somebody else's object goes: not at all, or to that part of the ladder. What is below us is
   * asked for anybody, since nobody else may reach it (protocol §9.2).
   */
  function extentOf(
    standing: Standing,
    { effort = 'own' }: RequestFrame,
    domain: Domain,
  ): 'here' | 'all' | NonNullable<LookupOptions['extent']> {
    const isOfChild = standing.role === 'server' && ports.isChild(standing.name)
    if (effort === 'lookup' && (standing.role === 'client' || isOfChild)) return 'all'
    if (effort === 'cache' && isOfChild) return 'cache'
    return ports.isChild(domain) && !(standing.role === 'server' && standing.name === domain)
      ? 'below'
      : 'here'
  }

  /** Whoever waits long is told that it goes on. Most have their answer before there is anything to wait for. */
  async function telling<T>(work: Promise<T>, inquiry: Inquiry): Promise<T> {
    let isOver = false
    let waiting: AbortController | undefined
    setImmediate(() => {
      if (isOver) return
      waiting = new AbortController()
      ports.clock.sleep(limits.lookingMs, waiting.signal).then(() => {
        if (!isOver) inquiry.looking()
      })
    })
    try {
      return await work
    } finally {
      isOver = true
      waiting?.abort('over')
    }
  }

  /** An author learns what became of it at each recipient. */
  async function statesOf(object: FmtpObject, standing: Standing): Promise<Pick<Answer, 'results'>> {
    if (standing.role !== 'client' || standing.name !== object.owner) return {}
    if (!traitsOf(object.kind).isTold) return {}
    const results = await readResults(object, store)
    return results.length === 0 ? {} : { results: results.slice(0, limits.recipients) }
  }

  /** Messages come again when they change, and a room to its members; a user or server object need not. */
  function mayBeOld(id: ObjectId, viewers: readonly string[]): boolean {
    const isOfRoom = nonceOf(id) === 'group' && viewers.some(viewer => sight.hasBoxed(viewer, id))
    if (isOfRoom) return false
    return singleKinds.has(nonceOf(id)) || store.findFetchedAtMs(id) !== undefined
  }

  function found(inquiry: Inquiry, object: FmtpObject): Answer {
    inquiry.describe({ object })
    return { outcome: 'found', id: object.id as ObjectId, version: object.version }
  }

  const pages = createLists({
    ...ports,
    isOwn: name => accounts.isOwn(name),
    findFor,
    isOpen: (address, viewers) =>
      ports.findView(address, viewers) !== undefined ||
      accounts.groups.find(address)?.public === true ||
      isLeaving(address),
    isLeftOut: (object, viewers) =>
      isLeftOut(object, viewers, { store, isGroup: address => accounts.groups.isGroup(address) }),
  })

  type Door = (list: ListQuery, inquiry: Inquiry, standing: Standing) => Promise<Answer>

  const byPages =
    (read: RevealList): Door =>
    async (list, inquiry, standing) =>
      read(list, inquiry, standing, await viewersOf(standing, inquiry.request))

  /** Who answers for each list that may be asked for. */
  const doors: { readonly [L in AskedList]: Door } = {
    public: byPages(pages.public),
    box: byPages(pages.box),
    thread: byPages(pages.thread),
    outbox: (_, inquiry, standing) => ports.pull(inquiry.request, standing),
  }

  const reveal = async (inquiry: Inquiry, standing: Standing): Promise<Answer> => {
    const { address, id, list, blob } = inquiry.request
    if ([address, id, list].filter(each => each !== undefined).length !== 1) {
      throw new FmtpError('FMTP_BAD_FRAME', 'one of address, id, list')
    }
    if (blob !== undefined && id === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a blob needs an id')
    if (standing.role === 'guest') await ports.spendRequest(standing.remote)
    if (list !== undefined) return doors[list.of](list, inquiry, standing)
    const viewers = await viewersOf(standing, inquiry.request)
    if (blob !== undefined) return revealBlob({ blob, id: id as ObjectId }, inquiry, { standing, viewers })
    if (id !== undefined) return revealObject({ id: id as ObjectId }, inquiry, standing)
    return revealObject({ address: address as Name }, inquiry, standing)
  }
  return Object.assign(reveal, { findFor })
}

/** The servers through which a question came, the one that asks among them in any case (protocol §10.7). */
function hopsOf(standing: Standing, { hops = [] }: RequestFrame): readonly Domain[] {
  if (standing.role !== 'server') return []
  const named = hops as readonly string[] as readonly Domain[]
  return named.includes(standing.name) ? named : [...named, standing.name]
}
