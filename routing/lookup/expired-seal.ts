/**
 * Believes an object whose credential has ended (protocol §7.5): by the keys that its owner has now, else by the word of
 * its home. Strangers can make us ask, so it is asked seldom, and never for the user object that it is asked of.
 */
import type { Clock } from '../../objects/clock.ts'
import {
  type DomainKeys,
  digestOf,
  type VerifiedObject,
  verifyOldSeal,
  verifySeal,
} from '../../objects/seals/seal.ts'
import { FmtpError, toFmtpError } from '../../schemas/failures.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Kinds } from '../../schemas/parse-object.ts'
import { type Domain, domainOf, type Name, type ObjectId } from '../../schemas/text/names.ts'
import { BoundedMap } from '../../wire/bounded-map.ts'
import type { Reach } from '../connect/connect.ts'
import { askOver } from '../connect/retry-once.ts'
import { createNote, type Step } from '../ladder.ts'
import type { Lookup } from './lookup.ts'
import { takeReply } from './query.ts'

export interface ElderPorts {
  readonly lookup: Lookup
  readonly reach: Reach
  readonly keys: DomainKeys
  readonly kinds: Kinds
  readonly clock: Clock
  isOwnDomain(domain: Domain): boolean
  /** In whose name homes are asked on nobody's behalf. */
  readonly as: Domain
  onStep(id: string, step: Step): void
}

/**
 * The object under a seal that is believed, `undefined` where it is not, or has no old seal at all.
 * @throws {FmtpError} a temporary one, where that can not be found out now
 */
export type Elder = (object: FmtpObject) => Promise<VerifiedObject | undefined>

/** That an id or a domain was asked for in vain. */
interface Vain {
  readonly untilMs: number
  readonly digest?: string
  readonly error?: FmtpError
}

/** What was asked in vain is asked again after this. */
const againMs = 60_000
const vainMost = 10_000
const underWayMost = 32

export function createElder(ports: ElderPorts): Elder {
  const { clock } = ports
  /** By id, and by domain. */
  const vain = new BoundedMap<string, Vain>(vainMost)
  let underWay = 0

  /** True where this very object was refused a moment ago. @throws {FmtpError} where it must wait */
  function isRefused({ id, digest, domain }: Asked): boolean {
    for (const known of [vain.get(domain), vain.get(id)]) {
      if (known === undefined || known.untilMs <= clock.now()) continue
      if (known.error !== undefined) throw known.error
      if (known.digest === digest) return true
      // Another one of this id, which may be the right one: it waits, so that nobody asks for it without end.
      throw new FmtpError('FMTP_BUSY', `${id} was asked for a moment ago`)
    }
    return false
  }

  async function ask(old: VerifiedObject): Promise<VerifiedObject | undefined> {
    const { object, thumbprint } = old
    const owner = await ports.lookup({ address: object.owner as Name }, { isFresh: true })
    if (owner.outcome === 'unreachable') throw owner.error
    if (owner.outcome === 'found' && (owner.object as User).keys?.includes(thumbprint) === true) return old
    const home = await askHome(object)
    return home === undefined || digestOf(home) !== old.digest ? undefined : believe(home)
  }

  /** On behalf of those it was written to: others may not see it. */
  async function askHome(object: FmtpObject): Promise<FmtpObject | undefined> {
    const readers = ((object as Message).to ?? []).filter(reader =>
      ports.isOwnDomain(domainOf(reader as Name)),
    )
    const as = readers[0] === undefined ? ports.as : domainOf(readers[0] as Name)
    const viewers = readers.filter(reader => domainOf(reader as Name) === as)
    const note = createNote('domain', { clock, onStep: step => ports.onStep(object.id, step) })
    const query = { id: object.id, effort: 'own', ...(viewers.length === 0 ? {} : { for: viewers }) } as const
    return askOver(
      () => ports.reach.domain(domainOf(object.owner as Name), as, note),
      peer =>
        note.step('request', { id: object.id, host: peer.host }, async () =>
          takeReply(await peer.request(query), object.id as ObjectId, ports.kinds),
        ),
    )
  }

  async function believe(object: FmtpObject): Promise<VerifiedObject | undefined> {
    const verdict = await verifySeal(object, ports.keys, clock.now())
    return verdict.isBelieved ? verdict.verified : undefined
  }

  return async object => {
    const domain = domainOf(object.owner as Name)
    if (ports.isOwnDomain(domain)) return undefined
    const old = await verifyOldSeal(object, clock.now())
    if (old === undefined || isRefused({ id: object.id, digest: old.digest, domain })) return undefined
    if (underWay >= underWayMost) throw new FmtpError('FMTP_BUSY', `${underWay} homes are being asked`)
    underWay++
    const untilMs = clock.now() + againMs
    try {
      const believed = await ask(old)
      if (believed === undefined) vain.set(object.id, { untilMs, digest: old.digest })
      return believed
    } catch (thrown) {
      const error = toFmtpError(thrown)
      if (error.isTemporary) {
        vain.set(domain, { untilMs, error })
        throw error
      }
      // What can not be reached at all will not vouch for anything.
      vain.set(object.id, { untilMs, digest: old.digest })
      return undefined
    } finally {
      underWay--
    }
  }
}

interface Asked {
  readonly id: string
  readonly digest: string
  readonly domain: string
}
