/** What the report of a relay says to a row (protocol §10.9): whom it settles, and what their author is told of that. */
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import type { Address, Domain } from '../../../schemas/text/names.ts'
import type { Said } from '../deliver.ts'
import { openIn, relayedBy, settledBy, withSettled } from '../delivery-rows.ts'
import type { DeliveryRow, Settled } from '../outbox.ts'
import type { Telling } from './report-id.ts'

/** What a relay says of the recipients of one domain. */
export interface Heard {
  readonly about: string
  readonly aboutVersion: number
  readonly domain: Domain
  readonly by: Domain
  /** None: it is late. */
  readonly said: readonly Said[]
}

/** After which a relay says once more what could not be taken yet. */
const soonMs = 1000

/** @throws {FmtpError} FMTP_NOT_OWED, FMTP_BUSY */
export function withHeard(
  row: DeliveryRow,
  { about, aboutVersion, by, said }: Heard,
  nowMs: number,
): DeliveryRow {
  const owed = new Set(relayedBy(row, by))
  const isOld = row.version > aboutVersion
  // A later version went out meanwhile: of that nothing is said.
  if (isOld && owed.size > 0) return row
  const open = new Set(openIn(row))
  // The answer that it has it is not written here yet.
  if (!isOld && said.some(each => open.has(each.for)))
    throw new FmtpError('FMTP_BUSY', `${about} is under way`, { retryAfterMs: soonMs })
  if (owed.size === 0 && (isOld || !said.every(each => wasSaid(row, each))))
    throw new FmtpError('FMTP_NOT_OWED', `${by} about ${about}`)
  if (said.length === 0) return owed.size === 0 ? row : { ...row, isLate: true }
  return withSettled(row, settledBy(newsIn(said, owed), nowMs), false)
}

export function tellingOf(row: DeliveryRow, { by, said }: Heard): Telling | undefined {
  const owed = new Set(relayedBy(row, by))
  const news = newsIn(said, owed)
  const failed = news.filter(({ outcome }) => outcome !== 'stored')
  const code = failed[0]?.code
  const trail = [{ rung: 'relay', what: by.slice(0, 64), outcome: code ?? 'ok', ms: 0 }]
  if (said.length === 0) return { outcome: 'delayed', recipients: [...owed], trail }
  if (failed.length > 0) return { outcome: 'failed', recipients: failed.map(each => each.for), code, trail }
  const isAll = news.length === owed.size && openIn(row).length === 0
  const hasFailed = row.settled?.some(each => each.outcome !== 'stored' && each.outcome !== 'relayed')
  return row.isLate === true && isAll && hasFailed !== true
    ? { outcome: 'delivered', recipients: row.for }
    : undefined
}

function newsIn(said: readonly Said[], owed: ReadonlySet<Address>): readonly Said[] {
  return said.filter(each => owed.has(each.for))
}

function wasSaid(row: DeliveryRow, { for: to, outcome }: Said): boolean {
  return row.settled?.some(each => each.outcome === outcome && (each.for ?? row.for).includes(to)) === true
}

/** What a relay took too long ago to say anything of it yet. */
export function givenUp(settled: Settled, nowMs: number): Settled {
  if (settled.outcome !== 'relayed' || settled.atMs + limits.owedMs > nowMs) return settled
  return { ...settled, outcome: 'unknown', code: 'FMTP_NO_REPORT', atMs: nowMs }
}
