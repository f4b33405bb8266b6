/**
 * Who is above and below this server (protocol §10.7): which parent is asked about a domain, which domains are children,
 * and by whose connection one of those is reached. Knows no connection itself: what keeps them is handed in.
 */
import { findMatch, isMatch } from '../../objects/pattern.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { limits } from '../../schemas/limits.ts'
import type { ParentRule } from '../../schemas/text/formats.ts'
import type { Domain } from '../../schemas/text/names.ts'
import type { Peer } from '../connect/peer.ts'
import type { Note } from '../ladder.ts'

/** The connections to parents, which this server keeps open. */
export interface Uplinks {
  /**
   * The connection to a parent. One that is being made for the first time is waited for; after a failure nobody waits.
   * @throws {FmtpError} FMTP_RESTING with the time that is left, or why the connection was not made
   */
  reach(parent: Domain, note: Note): Promise<Peer>
  /** It let somebody wait: it is not asked for a while. */
  rest(parent: Domain): void
}

export interface Family extends Uplinks {
  /** Who is asked about this domain. `undefined`: nobody. */
  findParent(domain: Domain): Domain | undefined
  /** True for a domain that the configuration names as a parent. */
  isParent(domain: Domain): boolean
  /** True for a domain that this server looks up for, and answers for where it can not be called. */
  isChild(domain: Domain): boolean
  /** The connection that leads down to a child: its own, else that of who is above it. */
  findBelow(domain: Domain): Peer | undefined
}

export interface FamilyPorts {
  readonly rules: readonly ParentRule[]
  /** Patterns of domains. */
  readonly children: readonly string[]
  readonly uplinks: Uplinks
  isOwnDomain(domain: Domain): boolean
  /** The open connection to a domain, whoever opened it, and to whichever of ours. */
  findOpen(domain: Domain): Peer | undefined
  /** The parents that a domain's `server` object names, as far as it is here. */
  findParentsOf(domain: Domain): readonly Domain[]
}

export function createFamily(ports: FamilyPorts): Family {
  const isChild = (domain: Domain): boolean =>
    !ports.isOwnDomain(domain) && findMatch(ports.children, domain) !== undefined

  /** What stands above a domain, by its word and that of those above it, then by its name. */
  function* above(domain: Domain): Generator<Domain> {
    let level: readonly Domain[] = [domain]
    for (let deep = 0; deep < limits.parentsDeep && level.length > 0; deep++) {
      level = level.flatMap(each => ports.findParentsOf(each)).slice(0, limits.hops)
      yield* level
    }
    for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1))
      yield domain.slice(dot + 1) as Domain
  }

  return {
    reach: (parent, note) => ports.uplinks.reach(parent, note),
    rest: parent => ports.uplinks.rest(parent),
    isChild,
    isParent: domain => ports.rules.some(({ parent }) => parent === domain),

    findParent(domain) {
      if (isChild(domain)) return undefined
      const parent = ports.rules.find(({ pattern }) => isMatch(pattern, domain))?.parent as Domain | undefined
      // What is its own is asked of it in any case.
      return parent === domain ? undefined : parent
    },

    findBelow(domain) {
      if (!isChild(domain)) return undefined
      const direct = ports.findOpen(domain)
      if (direct !== undefined) return direct
      for (const each of above(domain)) {
        const open = isChild(each) ? ports.findOpen(each) : undefined
        if (open !== undefined) return open
      }
      return undefined
    },
  }
}

/** The same, where it must be there. @throws {FmtpError} FMTP_DISCONNECTED */
export function requireBelow(family: Family, domain: Domain): Peer {
  const peer = family.findBelow(domain)
  if (peer === undefined) throw new FmtpError('FMTP_DISCONNECTED', `${domain} has no connection here`)
  return peer
}

/** Of a server that stands alone. */
export const noFamily: Family = {
  reach: () => Promise.reject(new Error('no parent')),
  rest: () => undefined,
  findParent: () => undefined,
  isChild: () => false,
  isParent: () => false,
  findBelow: () => undefined,
}
