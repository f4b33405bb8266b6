/**
 * Who stands for a domain besides itself (protocol §10.8): the parents that its sealed `server` object names, and theirs.
 * Whoever gives those objects, only their seals count.
 */
import type { Clock } from '../../objects/clock.ts'
import { type DomainKeys, verifySeal } from '../../objects/seals/seal.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { Server } from '../../schemas/kinds/server.ts'
import { limits } from '../../schemas/limits.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { type Domain, makeObjectId } from '../../schemas/text/names.ts'
import type { Peer } from '../connect/peer.ts'
import type { Note } from '../ladder.ts'
import { within } from '../with-timeout.ts'
import type { Lookup } from './lookup.ts'
import { takeReply } from './query.ts'

/** The parents that a domain names; none where that is not known. @throws {FmtpError} */
export type FindParents = (domain: Domain) => Promise<readonly Domain[]>

/** Of so many domains the parents are asked for, one climb up. */
const askedMost = 16

/**
 * True where `by` is among the parents of `domain`, of these, and so on, `parentsDeep` levels up.
 * @throws what `findParents` throws, where no other way leads to `by`
 */
export async function isAbove(by: Domain, domain: Domain, findParents: FindParents): Promise<boolean> {
  const seen = new Set<Domain>([domain])
  let level: readonly Domain[] = [domain]
  let failed: PromiseRejectedResult | undefined
  for (let deep = 0; deep < limits.parentsDeep && level.length > 0; deep++) {
    const found = await Promise.allSettled(level.map(findParents))
    const named = found.flatMap(each => (each.status === 'fulfilled' ? each.value : []))
    if (named.includes(by)) return true
    failed ??= found.find(each => each.status === 'rejected')
    level = [...new Set(named)].filter(each => !seen.has(each)).slice(0, Math.max(0, askedMost - seen.size))
    for (const each of level) seen.add(each)
  }
  if (failed !== undefined) throw failed.reason
  return false
}

export function parentsOf(object: FmtpObject | undefined): readonly Domain[] {
  if (object?.kind !== 'server' || object.deleted === true) return []
  return ((object as Server).parents ?? []) as readonly string[] as readonly Domain[]
}

export interface FrontPorts {
  readonly keys: DomainKeys
  readonly kinds: Kinds
  readonly clock: Clock
}

/**
 * Finds out whether somebody who answered a call to a domain stands for it: the `server` objects that say so are asked of
 * itself. @throws {FmtpError} FMTP_WRONG_PEER where it does not; a temporary one where that can not be found out now
 */
async function requireFront(peer: Peer, domain: Domain, ports: FrontPorts): Promise<void> {
  const findParents: FindParents = async each => {
    const id = makeObjectId('server', each)
    const reply = await within(
      peer.request({ address: each, effort: 'own' }),
      limits.frontAnswerMs,
      ports.clock,
    )
    // A child that is away has nobody to say so: that is no wrong peer.
    if (reply.answer.outcome === 'unreachable' || reply.answer.outcome === 'busy')
      throw new FmtpError('FMTP_UNREACHABLE', `${peer.name} does not have ${id}`)
    const object = reply.answer.outcome === 'found' ? takeReply(reply, id, ports.kinds) : undefined
    if (object === undefined) return []
    const verdict = await verifySeal(object, ports.keys, ports.clock.now())
    return verdict.isBelieved ? parentsOf(object) : []
  }
  if (!(await isAbove(peer.name as Domain, domain, findParents)))
    throw new FmtpError('FMTP_WRONG_PEER', `${peer.name} does not stand for ${domain}`)
}

/** The same as a step, for who called the domain. */
export async function noteFront(peer: Peer, domain: Domain, note: Note, ports: FrontPorts): Promise<void> {
  await note.step('front', { domain, by: peer.name }, async () => {
    await requireFront(peer, domain, ports)
    return true
  })
}

const looksMost = 32

/** True where a session that proved `by` stands for `domain` as well. Of a domain of ours nobody else does. */
export type StandsFor = (by: Domain, domain: Domain) => Promise<boolean>

export interface StandsForPorts {
  readonly lookup: Lookup
  isOwnDomain(domain: Domain): boolean
  /** The open connection to a domain: who says that it stands for another one may have that one's word. */
  findOpen(domain: Domain): Peer | undefined
}

export function createStandsFor({ lookup, isOwnDomain, findOpen }: StandsForPorts): StandsFor {
  let underWay = 0
  const findParents = async (by: Domain, domain: Domain): Promise<readonly Domain[]> => {
    const found = await lookup({ address: domain }, { from: findOpen(by) })
    return found.outcome === 'found' ? parentsOf(found.object) : []
  }
  return async (by, domain) => {
    if (by === domain) return true
    if (isOwnDomain(domain)) return false
    // Strangers make us ask: few at once.
    if (underWay >= looksMost) throw new FmtpError('FMTP_BUSY', `${underWay} standings are looked up`)
    underWay++
    try {
      return await isAbove(by, domain, each => findParents(by, each))
    } finally {
      underWay--
    }
  }
}
