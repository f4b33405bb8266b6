/** What waits for other domains, and what became of one object, behind `fmtp queue`. */
import { lastPart, listOf, rangeOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type Domain, parseDomain, parseObjectId } from '../../schemas/text/names.ts'
import { settledNumber } from '../delivery/cursor.ts'
import { sorts } from '../delivery/outbox.ts'
import { findAttempts, readResults, type StateResult } from '../delivery/status/results.ts'
import type { ControlActions } from './action.ts'

export interface QueueResult {
  readonly domains: readonly DomainQueue[]
}

export interface DomainQueue {
  readonly domain: string
  /** Entries that are not settled: of messages, of bulk, and of both those that wait by themselves. */
  readonly messages: number
  readonly bulk: number
  readonly putOff: number
  /** Of a domain that can not be reached. */
  readonly attempts?: number
  readonly since?: string
  readonly nextAt?: string
  readonly code?: string
  readonly reason?: string
}

export interface StatesResult {
  readonly id: string
  readonly version: number
  readonly results: readonly StateResult[]
}

/** Ends the waiting for a domain; missing where no server runs. */
export type WakeDomain = (domain: Domain) => void

const putOffMost = 10_000
const headsMost = 100_000

export function queueActions({ store }: { readonly store: Store }, wake?: WakeDomain): ControlActions {
  return {
    queue: async args => {
      const named = typeof args.domain === 'string' ? [parseDomain(args.domain)] : await waitingDomains(store)
      const all = await Promise.all(named.map(domain => queueOf(domain, store)))
      return {
        domains: all.filter(each => waits(each) || typeof args.domain === 'string'),
      } satisfies QueueResult
    },
    'queue show': async args => {
      const id = parseObjectId(String(args.id))
      const object = store.findObject(id)
      if (object === undefined) throw new FmtpError('FMTP_NOT_FOUND', `no object ${id} is here`)
      const results = await readResults(object, store)
      return { id, version: object.version, results } satisfies StatesResult
    },
    'queue retry': async args => {
      const domain = parseDomain(String(args.domain))
      if (wake === undefined)
        throw new FmtpError('FMTP_NOT_FOUND', 'no server runs: it tries what waits when it is started')
      wake(domain)
      return queueOf(domain, store)
    },
  }
}

function waits({ messages, bulk, putOff }: DomainQueue): boolean {
  return messages + bulk + putOff > 0
}

/** All for whom anything was ever queued, by name. */
export async function waitingDomains(store: Store): Promise<Domain[]> {
  const domains = new Set<string>()
  for (const sort of sorts)
    for (const [key] of await store.database.scan(rangeOf('head', sort), { limit: headsMost }))
      domains.add(lastPart(key))
  return [...domains].sort() as Domain[]
}

async function queueOf(domain: Domain, store: Store): Promise<DomainQueue> {
  const waiting = sorts.map(sort => {
    const list = listOf[sort](domain)
    return store.database.head(list).number - settledNumber(list, store)
  })
  let putOff = 0
  for (const sort of sorts) {
    const range = rangeOf('retry', listOf[sort](domain))
    putOff += (await store.database.scan(range, { limit: putOffMost })).length
  }
  const due = findAttempts(domain, store)
  const [messages = 0, bulk = 0] = waiting
  return {
    ...{ domain, messages, bulk, putOff },
    ...(due && {
      attempts: due.attempts,
      since: new Date(due.firstAtMs).toISOString(),
      nextAt: new Date(due.dueAtMs).toISOString(),
      ...(due.code === undefined ? {} : { code: due.code }),
      ...(due.reason === undefined ? {} : { reason: due.reason }),
    }),
  }
}
