/**
 * Climbs both ladders for one name to show the way (protocol §10): what finds its object, then what reaches its owner. Every
 * rung is climbed, connections are made anew, nothing is kept and nothing delivered.
 */
import type { Clock } from '../../objects/clock.ts'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Domain, domainOf, isAddressName, type Name, ownerOf } from '../../schemas/text/names.ts'
import { type Reach, requireItself } from '../connect/connect.ts'
import { recommendedRungs } from '../connect/contact-rungs.ts'
import type { Peer, Peers } from '../connect/peer.ts'
import { climb, type Note, type Rung, type Step } from '../ladder.ts'
import type { Family } from '../parents/hierarchy.ts'
import type { Lookup, LookupOutcome } from './lookup.ts'
import { type Sought, soughtId } from './query.ts'

export interface TracePorts {
  /** Over the same reach, which has no open connections and no memory of hosts that failed. */
  readonly lookup: Lookup
  readonly reach: Reach
  /** Connections that are open already. */
  readonly open: Peers
  /** Parents and children. */
  readonly family: Family
  /** What keeps the domain from being asked otherwise. */
  findHeld(domain: Domain): FmtpError | undefined
  isOwnDomain(domain: Domain): boolean
  readonly clock: Clock
  readonly as: Domain
  onStep(step: Step): void
}

export interface Failed {
  readonly code: FailureCode
  readonly text: string
  /** For the operator: who and why. */
  readonly reason: string
}

/** What was found of the name, and by which rung. */
export interface TracedLookup {
  readonly outcome: LookupOutcome['outcome']
  readonly rung?: string
  readonly id?: string
  readonly kind?: string
  /** Unix ms. */
  readonly version?: number
  readonly failed?: Failed
  readonly steps: readonly Step[]
}

/** What would be used to bring something to the owner: its devices, and in any case its home. */
export interface TracedContact {
  readonly outcome: 'reached' | 'unreachable'
  /** The first rung that answers, who proved to be there, and at which `host:port`. */
  readonly rung?: string
  readonly name?: string
  readonly host?: string
  readonly failed?: Failed
  readonly steps: readonly Step[]
}

export interface Traced {
  readonly lookup: TracedLookup
  /** Missing where there is nobody to reach: a name that does not exist, or one of our own. */
  readonly contact?: TracedContact
}

/** A reach that goes to each domain once: what the second ladder needs of it is what the first has found. */
export function onceEach(reach: Reach): Reach {
  const gone = new Map<string, Promise<Peer>>()
  async function front(domain: Domain, as: Domain, note: Note): Promise<Peer> {
    const key = `${as} ${domain}`
    const before = gone.get(key)
    if (before !== undefined) return note.step('again', { domain }, () => before)
    const going = reach.front(domain, as, note, true)
    gone.set(key, going)
    return going
  }
  return {
    ...reach,
    front,
    domain: async (domain, as, note) => requireItself(await front(domain, as, note), domain),
  }
}

export async function trace(sought: Sought, ports: TracePorts): Promise<Traced> {
  const owner = ownerOf(soughtId(sought))
  const domain = domainOf(owner)
  const held: Step[] = []
  const error = ports.findHeld(domain)
  if (error !== undefined) {
    const detail = { domain, reason: error.message, retryAfterMs: error.retryAfterMs }
    held.push({ rung: 'local', what: 'held', outcome: error.code, ms: 0, detail })
  }
  const found = await ports.lookup(sought, { isTraced: true })
  const lookup = tracedLookup(found, held)
  if (found.outcome === 'absent' || ports.isOwnDomain(domain)) return { lookup }
  const object = found.outcome === 'found' ? found.object : undefined
  const contacts = object === undefined ? undefined : await findContacts(object, owner, ports)
  return { lookup, contact: await climbContacts(owner, contacts ?? [], ports) }
}

/** An id leads to its owner, whose own object says where that can be reached. */
async function findContacts(
  object: FmtpObject,
  owner: Name,
  { lookup }: TracePorts,
): Promise<readonly Contact[]> {
  if (!isAddressName(owner)) return []
  if (object.kind === 'user') return (object as User).contacts ?? []
  const user = await lookup({ address: owner }, { isTraced: true })
  return user.outcome === 'found' ? ((user.object as User).contacts ?? []) : []
}

async function climbContacts(
  owner: Name,
  contacts: readonly Contact[],
  { reach, open, family, as, clock, onStep }: TracePorts,
): Promise<TracedContact> {
  const domain = domainOf(owner)
  const rungs: Rung<Peer>[] = [
    openRung(owner, open, as),
    ...recommendedRungs(contacts, { owner, as }, reach),
    ...(family.isChild(domain) ? [belowRung(domain, family)] : []),
    domainRung(domain, as, reach),
    ...(family.findParent(domain) === undefined ? [] : [parentRung(domain, family)]),
  ]
  const climbed = await climb(rungs, { clock, onStep, isThorough: true })
  const { found, trail: steps, rung, error } = climbed
  if (found === undefined) {
    const failed = failedOf(error ?? new FmtpError('FMTP_UNREACHABLE'))
    return { outcome: 'unreachable', failed, steps }
  }
  const { name, host } = found
  return { outcome: 'reached', ...(rung === undefined ? {} : { rung }), name, host, steps }
}

/** Connections that are open would be used; that they are says nothing of new ones, so the climb goes on. */
function openRung(owner: Name, open: Peers, as: Domain): Rung<Peer> {
  return {
    name: 'open',
    async climb(note) {
      for (const name of new Set([owner, domainOf(owner)])) {
        const peer = open.find(name, as)
        const host = peer === undefined ? {} : { host: peer.host }
        note.add('connection', peer === undefined ? 'miss' : 'ok', { name, ...host })
      }
      // That of the domain serves the rung of the domain.
      return open.find(owner, as)
    },
  }
}

/** A child is brought things over the connection that it opened, or that of who is above it. */
function belowRung(domain: Domain, family: Family): Rung<Peer> {
  return {
    name: 'below',
    async climb(note) {
      const peer = family.findBelow(domain)
      note.add('connection', peer === undefined ? 'miss' : 'ok', { domain, ...(peer && { host: peer.host }) })
      return peer
    },
  }
}

/** Itself, or who answers in its place. */
function domainRung(domain: Domain, as: Domain, reach: Reach): Rung<Peer> {
  return { name: 'domain', climb: note => reach.front(domain, as, note, true) }
}

/** Takes what can not be handed over otherwise. */
function parentRung(domain: Domain, family: Family): Rung<Peer> {
  return {
    name: 'parent',
    async climb(note) {
      const parent = family.findParent(domain)
      return parent === undefined ? undefined : family.reach(parent, note)
    },
  }
}

function tracedLookup(found: LookupOutcome, before: readonly Step[]): TracedLookup {
  const steps = [...before, ...found.trail]
  if (found.outcome === 'unreachable') return { outcome: 'unreachable', failed: failedOf(found.error), steps }
  const by = found.rung === undefined ? {} : { rung: found.rung }
  if (found.outcome === 'absent') return { outcome: 'absent', ...by, steps }
  const { id, kind, version } = found.object
  return { outcome: 'found', ...by, id, kind, version, steps }
}

function failedOf(error: FmtpError): Failed {
  return { code: error.code, text: error.text, reason: error.message.replace(/^FMTP_[A-Z_]+(: |$)/, '') }
}
