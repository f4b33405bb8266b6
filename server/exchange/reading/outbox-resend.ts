/**
 * A peer asks for what waits for it (protocol §10.6): the list is always that of the domain that the session proved. The
 * answer says where the list stands; what is delivered are ordinary describes of the courier.
 */
import type { Clock } from '../../../objects/clock.ts'
import { listOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { RequestFrame } from '../../../schemas/frame.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Domain } from '../../../schemas/text/names.ts'
import { BoundedMap } from '../../../wire/bounded-map.ts'
import type { Answer } from '../../../wire/pairing.ts'
import type { Standing } from '../../accounts/principal.ts'

export interface PullPorts {
  readonly store: Store
  readonly clock: Clock
  /** Up to where the list of a domain is settled. */
  settled(domain: Domain): number
  /** There may be something for this domain, which was heard from. */
  wake(domain: Domain): void
  /** Delivers once more what stands behind this number. Resolves when a crash does not undo that. */
  resend(domain: Domain, number: number): Promise<void>
  /** True for an address that no limit counts for. */
  isExempt(remote: string): boolean
  /** An error that says when to come again; it is counted. */
  refuse(domain: Domain, retryAfterMs: number): FmtpError
}

/** @throws {FmtpError} FMTP_NOT_ALLOWED, FMTP_BAD_FRAME, FMTP_CURSOR_LOST, FMTP_CURSOR_AHEAD, FMTP_RATE, FMTP_STORE */
export type Pull = (request: RequestFrame, standing: Standing) => Promise<Answer>

const resentMost = 10_000
/** Digits of a number that is a safe integer. */
const numberDigits = 15

export function createPull(ports: PullPorts): Pull {
  const { store, clock } = ports
  /** Unix ms at which a domain had something sent once more. */
  const resent = new BoundedMap<Domain, number>(resentMost)

  function readAfter(text: string, head: number): number {
    const [epoch, digits = ''] = text.split('.')
    if (epoch !== store.database.epoch) throw new FmtpError('FMTP_CURSOR_LOST', text)
    if (digits.length > numberDigits || Number(digits) > head)
      throw new FmtpError('FMTP_CURSOR_AHEAD', `${text} of ${head}`)
    return Number(digits)
  }

  async function resend(domain: Domain, number: number, remote: string): Promise<void> {
    const nowMs = clock.now()
    const before = resent.get(domain)
    const leftMs = before === undefined ? 0 : before + limits.resendMs - nowMs
    // More than the whole pause is left when the clock was set back.
    if (leftMs > 0 && leftMs <= limits.resendMs && !ports.isExempt(remote)) throw ports.refuse(domain, leftMs)
    // Before it is written, so that two who ask at once are one.
    resent.set(domain, nowMs)
    try {
      await ports.resend(domain, number)
    } catch (thrown) {
      resent.delete(domain)
      throw thrown
    }
  }

  return async ({ list, follow, effort, for: viewers }, standing) => {
    if (standing.role !== 'server') throw new FmtpError('FMTP_NOT_ALLOWED', 'an outbox is for its domain')
    const { of: _, after, ...others } = list ?? {}
    const strange = Object.keys({ ...others, ...(viewers && { for: viewers }) })
    if (strange.length > 0) throw new FmtpError('FMTP_BAD_FRAME', `an outbox takes no ${strange.join(', ')}`)
    if (follow === true || (effort !== undefined && effort !== 'own'))
      throw new FmtpError('FMTP_BAD_FRAME', 'an outbox is not followed or looked up')
    const { name } = standing
    const { number: head } = store.database.head(listOf.outbox(name))
    const number = after === undefined ? undefined : readAfter(after, head)
    // What is not settled comes in any case: nothing is passed over on a peer's word.
    if (number !== undefined && number < ports.settled(name)) await resend(name, number, standing.remote)
    const isComplete = ports.settled(name) >= head
    ports.wake(name)
    return { outcome: 'found', cursor: `${store.database.epoch}.${head}`, complete: isComplete }
  }
}
