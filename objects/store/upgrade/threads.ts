/**
 * Which answers of a thread of version 1 follow from what is here (protocol §8.5). Version 1 asked for no proof, and kept no
 * digests of what was replaced: an answer to a parent that was edited is believed to name a version that was here.
 */

import { sealedDigest } from '../../seals/seal.ts'
import { findPlace } from '../../thread.ts'
import { newChange } from '../change.ts'
import { keyOf } from '../layout.ts'
import { type AtRest, findAtRest, type UpgradeStore, write } from './pages.ts'

/** Notes the digests and the answers that wait, and gives the ids of these. They stand in no list any more. */
export async function joinThread(
  store: UpgradeStore,
  ids: readonly string[],
  edited: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const objects = ids.flatMap(id => findAtRest(store, id) ?? [])
  await noteDigests(store, objects, edited)
  const waiting = new Map(objects.map(object => [object.id as string, object]))
  const ports = {
    findObject: (id: string) => findAtRest(store, id),
    hasDigest: (id: string, digest: string) => hasDigest(store, id, digest),
    isUnjoined: (id: string) => waiting.has(id) || store.get(keyOf.unjoined(id)) !== undefined,
  }
  // Parents commonly stand before their answers, so that few rounds are enough.
  for (let before = -1; before !== waiting.size; ) {
    before = waiting.size
    for (const [id, object] of [...waiting]) if (findPlace(object, ports).isJoined) waiting.delete(id)
  }
  await noteWaiting(store, [...waiting.values()])
  return new Set(waiting.keys())
}

function hasDigest(store: UpgradeStore, id: string, digest: string): boolean {
  const object = findAtRest(store, id)
  if (object !== undefined && sealedDigest(object) === digest) return true
  return store.get(keyOf.digest(id, digest)) !== undefined
}

async function noteDigests(
  store: UpgradeStore,
  objects: readonly AtRest[],
  edited: ReadonlySet<string>,
): Promise<void> {
  const change = newChange()
  for (const { parent, parentHash } of objects) {
    if (parent === undefined || parentHash === undefined || !edited.has(parent)) continue
    if (!hasDigest(store, parent, parentHash)) change.puts.push([keyOf.digest(parent, parentHash), '0'])
  }
  // Before the entries go that show what was edited.
  await write(store, change)
}

async function noteWaiting(store: UpgradeStore, unjoined: readonly AtRest[]): Promise<void> {
  for (const { id, parent } of unjoined) {
    if (parent === undefined) continue
    const key = keyOf.waiting(parent)
    const known = JSON.parse(store.get(key) ?? '[]') as string[]
    const puts: [string, string][] = [[keyOf.unjoined(id), parent]]
    if (!known.includes(id)) puts.push([key, JSON.stringify([...known, id])])
    await write(store, { puts })
  }
}
