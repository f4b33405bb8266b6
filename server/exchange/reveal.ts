/**
 * The third door: an object or a list is asked for (protocol §9). What the asker may not see is absent to it; what is
 * not ours is looked up for our own users only.
 */
import type { Clock } from '../../objects/clock.ts'
import { maySee, type Sight } from '../../objects/disclosure.ts'
import { isLeftOut } from '../../objects/forum.ts'
import type { Hints } from '../../objects/hints.ts'
import type { Store } from '../../objects/store.ts'
import { hasEnded } from '../../objects/version.ts'
import { type Lookup, type Sought, soughtId } from '../../routing/lookup.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { RequestFrame } from '../../schemas/frame.ts'
import { singleKinds } from '../../schemas/kinds.ts'
import { limits } from '../../schemas/limits.ts'
import { type Address, domainOf, type Name, nonceOf, type ObjectId, ownerOf } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Answer, failureAnswer, type Inquiry } from '../../wire/pairing.ts'
import type { Accounts } from '../accounts/accounts.ts'
import { readResults } from '../delivery/results.ts'
import { absent, type BlobReveal } from './blob-reveal.ts'
import { createLists } from './lists.ts'
import type { FindContacts } from './own-contacts.ts'
import type { Pull } from './pull.ts'
import type { Standing } from './standing.ts'
import type { FindView } from './views.ts'

export interface RevealPorts {
  readonly store: Store
  readonly accounts: Accounts
  readonly sight: Sight
  readonly lookup: Lookup
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

/** Of these nobody asks who has them. */
const silent: ReadonlySet<string> = new Set(['user', 'server', 'mark', 'report'])

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

  async function revealObject(sought: Sought, inquiry: Inquiry, standing: Standing): Promise<Answer> {
    const { request } = inquiry
    if (request.follow === true) throw new FmtpError('FMTP_NOT_OFFERED', 'following one object')
    const id = soughtId(sought)
    const viewers = viewersOf(standing, request)
    const here = findFor(id, viewers)
    const isOwn = accounts.isOwn(ownerOf(id))
    const mayClimb = standing.role === 'client' && !isOwn && (request.effort ?? 'own') !== 'own'
    // A copy that was fetched or forwarded may be old: whoever may climb gets what the ladder says.
    if (here !== undefined && !(mayClimb && request.effort === 'lookup' && mayBeOld(id, viewers)))
      return {
        ...found(inquiry, here),
        ...(isOwn && singleKinds.has(here.kind) ? contactsFor(standing) : {}),
        ...(await statesOf(here, standing)),
      }
    if (isOwn) return absent()
    if (!mayClimb || request.effort === 'cache')
      return { ...failureAnswer(new FmtpError('FMTP_NOT_HERE')), outcome: 'unreachable' }
    const outcome = await ports.lookup(sought)
    // The ladder serves the whole house; this asker sees what is public or theirs.
    if (outcome.outcome === 'found' && maySee(outcome.object, viewers, sight))
      return found(inquiry, outcome.object)
    if (outcome.outcome !== 'unreachable') return absent()
    return { ...failureAnswer(outcome.error), outcome: 'unreachable' }
  }

  /** Beside the object, which is the same for everyone. */
  function contactsFor({ remote }: Standing): Pick<Answer, 'contacts'> {
    const contacts = ports.findContacts(remote)
    return contacts.length === 0 ? {} : { contacts: [...contacts] }
  }

  /** An author learns what became of it at each recipient. */
  async function statesOf(object: FmtpObject, standing: Standing): Promise<Pick<Answer, 'results'>> {
    if (standing.role !== 'client' || standing.name !== object.owner || silent.has(object.kind)) return {}
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

  const revealList = createLists({
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

  const reveal = async (inquiry: Inquiry, standing: Standing): Promise<Answer> => {
    const { address, id, list, blob } = inquiry.request
    if ([address, id, list].filter(each => each !== undefined).length !== 1) {
      throw new FmtpError('FMTP_BAD_FRAME', 'one of address, id, list')
    }
    if (blob !== undefined && id === undefined) throw new FmtpError('FMTP_BAD_FRAME', 'a blob needs an id')
    if (standing.role === 'guest') await ports.spendRequest(standing.remote)
    if (list?.of === 'outbox') return ports.pull(inquiry.request, standing)
    if (list !== undefined) return revealList(list, inquiry, standing, viewersOf(standing, inquiry.request))
    if (blob !== undefined)
      return ports.revealBlob({ blob, id: id as ObjectId }, inquiry, {
        standing,
        viewers: viewersOf(standing, inquiry.request),
      })
    if (id !== undefined) return revealObject({ id: id as ObjectId }, inquiry, standing)
    return revealObject({ address: address as Name }, inquiry, standing)
  }
  return Object.assign(reveal, { findFor })
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
