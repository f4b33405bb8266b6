/**
 * The rungs that go through a parent (protocol §10.2, §10.7): what it has, and what it finds. It can leave out, and it can
 * not forge: an object is believed by its seal alone, and its "no" is a miss.
 */
import type { Clock } from '../../objects/clock.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Contact } from '../../schemas/kinds/contact.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import type { Domain, ObjectId } from '../../schemas/text/names.ts'
import type { Reply, RequestQuery } from '../../wire/pairing.ts'
import type { Peer } from '../connect/peer.ts'
import { askOver } from '../connect/retry-once.ts'
import type { Note, Rung } from '../ladder.ts'
import type { Family } from '../parents/hierarchy.ts'
import { within } from '../with-timeout.ts'
import { type Sought, takeReply } from './query.ts'

export interface ParentRungPorts<T> {
  readonly family: Family
  readonly kinds: Kinds
  readonly clock: Clock
  /** It says where the domain is reached from here. */
  onContacts(domain: Domain, contacts: readonly Contact[]): void
  /** Verifies and keeps what came; `asOfMs`: when its home said so. `undefined`: its home said something else since. */
  keep(object: FmtpObject, note: Note, asOfMs: number): Promise<T | undefined>
}

export interface ParentQuery {
  readonly id: ObjectId
  readonly sought: Sought
  /** The domain whose object it is. */
  readonly domain: Domain
  readonly effort: 'cache' | 'lookup'
  /** Through whom the question came here. */
  readonly hops: readonly Domain[]
  /** Nothing counts that its home said longer ago, ms. */
  readonly agesMost: number
}

export function parentRung<T>(query: ParentQuery, ports: ParentRungPorts<T>): Rung<T> {
  const { id, sought, domain, effort, hops, agesMost } = query
  const { family, clock } = ports
  return {
    name: `parent ${effort}`,
    async climb(note) {
      const parent = family.findParent(domain)
      if (parent === undefined) return undefined
      if (hops.includes(parent)) {
        // What came from there does not go back; only who has nobody else to ask says so.
        if (effort === 'cache') return undefined
        note.add('ask', 'FMTP_LOOP', { ...sought, parent, hops })
        throw new FmtpError('FMTP_LOOP', `${parent} is among ${hops}`)
      }
      const found = await askOver(
        () => reachParent(family, parent, note, clock),
        peer => {
          const path = nextHops(hops, peer.as)
          return note.step('request', { ...sought, parent, effort }, async () => {
            const asking = peer.request({ ...sought, effort, hops: path } as RequestQuery)
            const reply = effort === 'cache' ? await quick(asking, parent) : await asking
            const taken = takeFromParent(reply)
            const { contacts } = reply.answer
            if (taken !== undefined && contacts !== undefined) ports.onContacts(domain, contacts)
            return taken
          })
        },
      )
      return found && ports.keep(found.object, note, found.asOfMs)
    },
  }

  /** A cache answers at once, or is none. */
  async function quick(asking: Promise<Reply>, parent: Domain): Promise<Reply> {
    try {
      return await within(asking, limits.parentCacheMs, clock)
    } catch (thrown) {
      if (thrown instanceof FmtpError && thrown.code === 'FMTP_TIMEOUT') family.rest(parent)
      throw thrown
    }
  }

  function takeFromParent(reply: Reply): { object: FmtpObject; asOfMs: number } | undefined {
    const { outcome, code, asOf } = reply.answer
    if (outcome === 'unreachable' && code === 'FMTP_NOT_HERE') return undefined
    // Undefined where it says absent, which is no more than that it has nothing.
    const object = takeReply(reply, id, ports.kinds)
    const nowMs = clock.now()
    // Without a word about its age it is not fresh, and counts from now on.
    const asOfMs = Math.min(asOf ?? nowMs - limits.userFreshMs, nowMs)
    return object === undefined || nowMs - asOfMs > agesMost ? undefined : { object, asOfMs }
  }
}

/** The hops of a question that goes on. @throws {FmtpError} FMTP_TOO_FAR */
export function nextHops(hops: readonly Domain[], as: Domain): Domain[] {
  if (hops.length >= limits.hops) throw new FmtpError('FMTP_TOO_FAR', `${hops}`)
  return [...hops, as]
}

/** The connection to a parent. @throws {FmtpError} FMTP_RESTING, FMTP_TIMEOUT, or why it was not made */
export function reachParent(family: Family, parent: Domain, note: Note, clock: Clock): Promise<Peer> {
  return within(family.reach(parent, note), limits.connectMs, clock)
}
