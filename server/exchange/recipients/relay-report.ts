/**
 * The report of a server that passes on what was handed to it (protocol §10.9): believed of that server alone, about what it
 * took. It is an answer that comes later, so that it is written where the answer would stand, and stored as no object.
 */
import type { VerifiedObject } from '../../../objects/seals/seal.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Report } from '../../../schemas/kinds/report.ts'
import { type Address, type Domain, domainOf, type Name } from '../../../schemas/text/names.ts'
import type { Answer } from '../../../wire/pairing.ts'
import { nameOf, type Standing } from '../../accounts/principal.ts'
import type { Said } from '../../delivery/deliver.ts'
import type { Reports } from '../../delivery/status/reports.ts'

type Told = NonNullable<Report['results']>[number]

/** @throws {FmtpError} FMTP_NOT_OWED, FMTP_BAD_OBJECT, FMTP_BUSY */
export type HearReport = (report: VerifiedObject, standing: Standing) => Promise<Answer>

export function createHearReport({ heard }: Pick<Reports, 'heard'>): HearReport {
  return async ({ object }, standing) => {
    const report = object as Report
    const { id, version, owner, about, aboutVersion, recipient, results = [] } = report
    if (nameOf(standing) !== owner || report.deleted === true)
      throw new FmtpError('FMTP_NOT_OWED', `${id} by ${nameOf(standing)}`)
    if (aboutVersion === undefined || recipient === undefined)
      throw new FmtpError('FMTP_BAD_OBJECT', 'a relay says of which version and which domain it speaks')
    const domain = domainOf(recipient as Name)
    const stranger = results.find(each => domainOf(each.for as Name) !== domain)
    if (stranger !== undefined) throw new FmtpError('FMTP_BAD_OBJECT', `${stranger.for} is not of ${domain}`)
    const by = owner as Domain
    await heard({ about, aboutVersion, domain, by, said: results.map(each => saidOf(each, by)) })
    return { outcome: 'stored', id, version }
  }
}

/** Only what has a meaning here. Who does not know yet may say so later. */
function saidOf({ for: to, outcome, code }: Told, by: Domain): Said {
  const why = code === undefined ? {} : { code }
  return { for: to as Address, outcome, ...why, ...(outcome === 'unknown' ? { by } : {}) }
}
