/**
 * What this server passes on for others (protocol §8.7): what its children write to the world, and what the world writes to
 * its children. Nobody else is served: an open relay would soon serve nobody.
 */

import type { Clock } from '../../../objects/clock.ts'
import type { VerifiedObject } from '../../../objects/seals/seal.ts'
import type { Change } from '../../../objects/store/change.ts'
import { listOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import type { StandsFor } from '../../../routing/lookup/delegation.ts'
import { within } from '../../../routing/with-timeout.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { DescribeFrame, Result } from '../../../schemas/frame.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import { limits } from '../../../schemas/limits.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, type Domain, domainOf, type Name } from '../../../schemas/text/names.ts'
import { failureAnswer } from '../../../wire/pairing.ts'
import { nameOf, type Standing } from '../../accounts/principal.ts'
import { relay, relayedResult } from '../../delivery/relay.ts'

export interface PassagePorts {
  readonly store: Store
  readonly clock: Clock
  readonly relayBytes: number
  /** Children by config, and parents by config. */
  isChild(domain: Domain): boolean
  isParent(domain: Domain): boolean
  readonly standsFor: StandsFor
  isOwnDomain(domain: Domain): boolean
}

/** How one describe came. */
export interface Passing {
  /** Whom the session speaks for where the object is judged. */
  readonly session: Name | undefined
  /** What is said of a recipient elsewhere: `relayed` where it is to be passed on, or is on its way. */
  judge(object: FmtpObject, recipient: Name): Result
  /** Adds what is passed on to these recipients to the write of the object. @throws {FmtpError} */
  add(change: Change, verified: VerifiedObject, recipients: readonly Name[]): void
}

export type Passage = (
  object: FmtpObject,
  frame: Pick<DescribeFrame, 'for' | 'hops'>,
  standing: Standing,
) => Promise<Passing>

const againMs = 60_000

export function createPassage(ports: PassagePorts): Passage {
  const { store, clock } = ports

  /** Servers through which it came, as far as who brings it is believed. @throws {FmtpError} FMTP_LOOP */
  function hopsOf({ hops = [] }: Pick<DescribeFrame, 'hops'>, name: Domain): readonly Domain[] {
    const named = hops as readonly string[] as readonly Domain[]
    const loop = named.find(hop => ports.isOwnDomain(hop))
    if (loop !== undefined) throw new FmtpError('FMTP_LOOP', `${loop} among ${hops}`)
    if (!ports.isParent(name) && !ports.isChild(name)) return [name]
    return named.includes(name) ? named : [...named, name]
  }

  /**
   * Our own parent says who brought it there: it takes what is for us, and we asked it to. Else a session counts for the
   * owner's domain where it stands for that; asked only of users, who are judged by who brings them.
   */
  async function sessionOf(object: FmtpObject, standing: Standing, hops: readonly Domain[]) {
    if (standing.role !== 'server') return nameOf(standing)
    if (ports.isParent(standing.name)) return hops[0]
    const home = domainOf(object.owner as Name)
    if (home === standing.name || ports.isOwnDomain(home)) return standing.name
    if (!traitsOf(object.kind).isIntroduction) return standing.name
    return (await stands(standing.name, home)) ? home : standing.name
  }

  /** What can not be found out in a moment does not count. */
  async function stands(name: Domain, home: Domain): Promise<boolean> {
    try {
      return await within(ports.standsFor(name, home), limits.lookUpFirstMs, clock)
    } catch {
      return false
    }
  }

  return async (object, frame, standing) => {
    const others = (frame.for ?? []).filter(name => !ports.isOwnDomain(domainOf(name as Name)))
    if (standing.role !== 'server') return { session: nameOf(standing), ...nowhere }
    const { name, as: own } = standing
    const hops = hopsOf(frame, name)
    const session = await sessionOf(object, standing, hops)
    if (others.length === 0) return { session, ...nowhere }
    // Children bring what is theirs, or of those below them.
    const home = domainOf(object.owner as Name)
    const isOurs = ports.isOwnDomain(home)
    const isForWorld = others.some(to => !ports.isChild(domainOf(to as Name)))
    // Where that takes long it comes again.
    const isOfChild =
      isForWorld &&
      ports.isChild(name) &&
      (await within(ports.standsFor(name, home), limits.frontAnswerMs, clock))

    /** The child for whose sake it is passed on. @throws {FmtpError} FMTP_NOT_RELAYED */
    function childOf(domain: Domain): Domain {
      // What is ours we bring ourselves.
      if (isOurs) throw new FmtpError('FMTP_NOT_RELAYED', `${object.id} by ${name}`)
      if (ports.isChild(domain) && domain !== name) return domain
      if (isOfChild) return name
      throw new FmtpError('FMTP_NOT_RELAYED', `${object.id} by ${name} for ${domain}`)
    }

    /** @throws {FmtpError} FMTP_NOT_RELAYED, FMTP_TOO_FAR, FMTP_RELAY_ROOM */
    function judge(judged: FmtpObject, to: Name): Result {
      const child = childOf(domainOf(to))
      if (hops.length > limits.parentsDeep) throw new FmtpError('FMTP_TOO_FAR', `${hops}`)
      const result = relayedResult(judged, to as Address, name, store)
      const used = store.database.head(listOf.relay(child)).bytes
      if (result.outcome === 'relayed' && used >= ports.relayBytes)
        throw new FmtpError('FMTP_RELAY_ROOM', `${used} bytes for ${child}`, { retryAfterMs: againMs })
      return result
    }

    return {
      session,
      judge(judged, to) {
        try {
          return judge(judged, to)
        } catch (thrown) {
          return { for: to, ...failureAnswer(thrown) }
        }
      },
      add(change, { object: added, atRest }, recipients) {
        const relaying = { childOf, bytes: atRest.length, nowMs: clock.now() }
        const how = { from: name, as: own, hops }
        relay(change, added, recipients as readonly Address[], { ...relaying, relay: how }, store)
      },
    }
  }
}

/** Who passes nothing on. */
const nowhere: Omit<Passing, 'session'> = {
  judge: (_, to) => ({ for: to, ...failureAnswer(new FmtpError('FMTP_NOT_RELAYED')) }),
  add: () => undefined,
}
