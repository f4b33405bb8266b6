/**
 * Looks into a store that no server has open: with the eyes of `fmtp verify`, and compares it with what its clients know.
 * Nothing that was acknowledged is missing or another, and it stands in both boxes.
 */
import { lastPart, rangeOf } from '../../objects/store/layout.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { loadConfig } from '../../server/config/load.ts'
import { openCore } from '../../server/core/core.ts'
import { verifyStore } from '../../server/verify/verify.ts'

/** An object that a client sent, and the version that its home acknowledged. */
export interface Known {
  readonly id: string
  readonly owner: string
  /** Who has it in the box besides its owner. */
  readonly to: readonly string[]
  readonly version: number | undefined
}

export interface KnownThings {
  readonly objects: ReadonlyMap<string, Known>
  /** Uploads that were acknowledged. */
  readonly blobs: ReadonlySet<string>
}

const everything = { limit: 10_000_000 }

/** What is wrong with the store of a config, one sentence each; empty when all is well. */
export async function findFaults(configFile: string, { objects, blobs }: KnownThings): Promise<string[]> {
  await using core = await openCore(loadConfig(configFile))
  const { database, store } = core
  const { found } = await verifyStore(core, {
    onProgress: () => undefined,
    signal: new AbortController().signal,
  })
  const faults = found.map(({ code, key, told }) => `${code} ${key}: ${told}`)
  const here = new Map<string, FmtpObject>()
  for (const [key, text] of await database.scan(rangeOf('object'), everything)) {
    const object = JSON.parse(text) as FmtpObject
    if (object.kind === 'message' || object.kind === 'mark') here.set(lastPart(key), object)
  }
  for (const [id, object] of here) {
    const known = objects.get(id)
    if (known === undefined) {
      faults.push(`${id}: nobody sent it`)
      continue
    }
    if (known.version !== undefined && known.version !== object.version)
      faults.push(`${id}: version ${object.version}, acknowledged ${known.version}`)
    for (const address of [known.owner, ...known.to]) {
      const boxed = store.findBoxed(address, id)
      if (boxed?.version !== object.version)
        faults.push(`box of ${address}: ${id} in version ${boxed?.version}`)
    }
  }
  for (const { id, version } of objects.values())
    if (version !== undefined && !here.has(id)) faults.push(`${id}: acknowledged and lost`)
  for (const sha256 of blobs)
    if (database.get(`blob ${sha256}`) === undefined) faults.push(`blob ${sha256}: acknowledged and lost`)
  return faults
}
