/**
 * Writes stores as version 1 had them, without any code of the store: an entry for each version in each list, a thread for
 * every object, box keys that name the user first and no bytes.
 */

import type { VerifiedObject } from '../../objects/seals/seal.ts'
import { writeStore } from '../../objects/store/engine/leveldb.ts'

/** One commit of version 1. */
export interface OldCommit {
  readonly verified: VerifiedObject
  /** Fetched objects stood in no list. */
  readonly isFetched?: boolean
  readonly heardAtMs?: number
  readonly boxes?: readonly { readonly address: string; readonly by?: string }[]
  /** Domains to which it is queued, with those it is for. */
  readonly outbox?: readonly (readonly [domain: string, to: readonly string[]])[]
}

export class OldStore {
  readonly rows = new Map<string, string>()

  constructor() {
    this.rows.set('meta version', '1')
    this.rows.set('meta epoch', 'epoch')
  }

  commit({ verified, isFetched = false, heardAtMs, boxes = [], outbox = [] }: OldCommit): void {
    const { object, atRest, thumbprint } = verified
    const { id, version, owner, encryptedKey } = object
    const isNew = this.rows.get(`object ${id}`) !== atRest
    this.rows.set(`object ${id}`, atRest)
    this.rows.set(`credential ${thumbprint} ${owner}`, encryptedKey)
    if (heardAtMs !== undefined) this.rows.set(`foreign ${id}`, String(heardAtMs))
    if (isNew && !isFetched) {
      this.#append(
        `thread ${object.top ?? id}`,
        `{"id":${JSON.stringify(id)},"version":${version}}`,
        atRest.length,
      )
      if (object.public === true)
        this.#append(`public ${owner}`, `{"id":${JSON.stringify(id)},"version":${version}}`, atRest.length)
    }
    for (const { address, ...by } of boxes) {
      this.rows.set(`boxed ${address} ${id}`, JSON.stringify({ version, ...by }))
      this.#append(
        `box ${address}`,
        JSON.stringify({ id, version, ...by }),
        address === owner ? 0 : atRest.length,
      )
    }
    for (const [domain, to] of outbox)
      this.#append(`outbox ${domain}`, JSON.stringify({ id, version, for: to, atMs: version }), 0)
  }

  #append(list: string, value: string, bytes: number): void {
    const [number = 0, sum = 0] = this.rows.get(`head ${list}`)?.split(' ').map(Number) ?? []
    this.rows.set(`head ${list}`, `${number + 1} ${sum + bytes}`)
    this.rows.set(`entry ${list} ${String(number + 1).padStart(12, '0')}`, value)
  }

  /** Makes `store/` in a data folder. */
  async write(folder: string): Promise<void> {
    const rows = [...this.rows]
    await writeStore(
      `${folder}/store`,
      (async function* () {
        yield rows
      })(),
    )
  }
}
