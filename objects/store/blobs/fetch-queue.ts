/**
 * Blobs that are to come from the homes of the objects that name them (protocol §9.8): a row for each, written with the
 * object, so that what a user has taken is not forgotten. Rows stand by domain and by the time of the next attempt; one whose
 * object has gone meanwhile is dropped when its time comes.
 */

import type { FmtpObject } from '../../../schemas/object.ts'
import { domainOf, type Name } from '../../../schemas/text/names.ts'
import { attachedTo } from '../attachments.ts'
import type { Change } from '../change.ts'
import type { Database } from '../engine/database.ts'
import { keyOf } from '../layout.ts'

export interface Pull {
  /** Unix ms at which it was queued. */
  readonly atMs: number
  readonly attempts: number
  /** Attempts that failed by what the domain gave, not by its absence. */
  readonly faults: number
  /** Unix ms of the first attempt. */
  readonly firstAtMs?: number
}

/** Parts of the key of a pull. */
export interface PullKey {
  readonly dueAtMs: number
  readonly sha256: string
  readonly id: string
}

export function pullKeyOf(key: string): PullKey {
  const [, , due = '', sha256 = '', id = ''] = key.split(' ')
  return { dueAtMs: Number(due), sha256, id }
}

/** Queues those blobs of an object of another domain that did not come yet. False where there are none. */
export function queuePulls(
  change: Change,
  object: FmtpObject,
  nowMs: number,
  database: Pick<Database, 'get'>,
): boolean {
  const domain = domainOf(object.owner as Name)
  const pull: Pull = { atMs: nowMs, attempts: 0, faults: 0 }
  const coming = [...attachedTo(object).keys()].filter(
    sha256 => database.get(keyOf.pulled(sha256, object.id)) === undefined,
  )
  for (const sha256 of coming)
    change.puts.push([keyOf.pull(domain, nowMs, sha256, object.id), JSON.stringify(pull)])
  return coming.length > 0
}
