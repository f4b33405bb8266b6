/** The state of each recipient of an object of ours (protocol §10.5), as its author and the operator see it. */
import { keyOf } from '../../../objects/store/layout.ts'
import { findRow } from '../../../objects/store/row.ts'
import type { Store } from '../../../objects/store/store.ts'
import { findFailure } from '../../../schemas/failures.ts'
import type { Result } from '../../../schemas/frame.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, type Domain, domainOf, type Name } from '../../../schemas/text/names.ts'
import type { Attempts } from '../backoff.ts'
import { openIn, readRows } from '../delivery-rows.ts'
import type { DeliveryRow, Settled } from '../outbox.ts'

/**
 * What became of one recipient. `queued`: not tried yet; `trying`: tried in vain, and tried again; `stored`, `refused`,
 * `absent`: so its home has said; `failed`: given up; `unknown`: nothing is known here.
 */
export interface StateResult extends Result {
  /** Unix ms at which it was queued, or at which that was said. */
  readonly atMs?: number
  /** How often it was tried so far, and unix ms of the next time. */
  readonly attempts?: number
  readonly nextAtMs?: number
}

export async function readResults(object: FmtpObject, store: Store): Promise<StateResult[]> {
  const rows = await readRows(object.id, store)
  const results: StateResult[] = []
  for (const [domain, row] of rows) results.push(...resultsOf(row, findAttempts(domain, store)))
  const known = new Set(results.map(each => each.for))
  for (const to of recipientsIn(object)) if (!known.has(to)) results.push(unlisted(to, object, store))
  return results
}

/** Of whom no row speaks: one of ours has it in the box. */
function unlisted(to: Address, { id }: FmtpObject, store: Store): StateResult {
  const boxed = store.findBoxed(to, id)
  return boxed === undefined
    ? { for: to, outcome: 'unknown' }
    : { for: to, outcome: 'stored', atMs: boxed.atMs }
}

export function resultsOf(row: DeliveryRow, due: Attempts | undefined): StateResult[] {
  const settled = (row.settled ?? []).flatMap(each => (each.for ?? row.for).map(to => said(to, each)))
  return [...settled, ...openIn(row).map(to => open(to, row, due))]
}

function said(to: Address, { outcome, atMs, code }: Settled): StateResult {
  return { for: to, outcome, ...whyOf(code), atMs }
}

function open(to: Address, { trying, atMs }: DeliveryRow, due: Attempts | undefined): StateResult {
  const tried = trying ?? (due && { attempts: due.attempts, nextAtMs: due.dueAtMs, code: due.code })
  if (tried === undefined) return { for: to, outcome: 'queued', atMs }
  const { attempts, nextAtMs, code } = tried
  return { for: to, outcome: 'trying', ...whyOf(code), atMs, attempts, nextAtMs }
}

/** In our own words: what a peer has written there is for nobody here. */
function whyOf(code: string | undefined): Pick<Result, 'code' | 'text'> {
  if (code === undefined) return {}
  const failure = findFailure(code)
  return { code, ...(failure === undefined ? {} : { text: failure.text }) }
}

/** How often a domain was tried that can not be reached. */
export function findAttempts(domain: Domain, store: Store): Attempts | undefined {
  const text = store.database.get(keyOf.due(domain))
  return text === undefined ? undefined : findRow<Attempts>(text)
}

/** Recipients of ours who did not take it, as a row that goes with the object. */
export function refusedRow(
  { id, version }: Pick<FmtpObject, 'id' | 'version'>,
  results: readonly Result[],
  nowMs: number,
): [string, string][] {
  const refused = results.filter(({ outcome }) => outcome === 'refused' || outcome === 'absent')
  const domains = new Set(refused.map(each => domainOf(each.for as Name)))
  return [...domains].map(domain => {
    const here = refused.filter(each => domainOf(each.for as Name) === domain)
    const settled = here.map(
      (each): Settled => ({
        ...{ outcome: each.outcome as Settled['outcome'], atMs: nowMs, for: [each.for as Address] },
        ...(each.code === undefined ? {} : { code: each.code }),
      }),
    )
    const row: DeliveryRow = {
      ...{ version, list: 'outbox', number: 0, for: here.map(each => each.for as Address), atMs: nowMs },
      settled,
    }
    return [keyOf.delivery(id, domain), JSON.stringify(row)]
  })
}
