/**
 * Looks into a store that no server has open, and compares it with what its clients know: every object with all its
 * index entries, or with none; every list without gaps and repetitions; nothing that was acknowledged missing.
 */
import { Database } from '../../objects/database.ts'
import { entriesAfter, keyOf, type ListName, lastPart, listOf, rangeOf } from '../../objects/layout.ts'
import { digestOf } from '../../objects/seal.ts'
import type { Message } from '../../schemas/message.ts'
import { toBase64url } from '../../wire/base64url.ts'
import { readJws } from '../../wire/jws.ts'

/** A message that a client sent, and the version that its home acknowledged. */
export interface Known {
  readonly id: string
  readonly owner: string
  readonly to: string
  readonly top: string
  readonly version: number | undefined
}

const everything = { limit: 10_000_000 }

/** What is wrong with the store of a data folder, one sentence each; empty when all is well. */
export async function findFaults(folder: string, sent: ReadonlyMap<string, Known>): Promise<string[]> {
  await using database = await Database.open(
    folder,
    () => undefined,
    () => '',
  )
  const faults: string[] = []
  const objects = new Map<string, { message: Message; bytes: number }>()
  for (const [key, text] of await database.scan(rangeOf('object'), everything)) {
    const message = JSON.parse(text) as Message
    if (message.kind === 'message') objects.set(lastPart(key), { message, bytes: text.length })
  }

  const lists = new Map<ListName, readonly { id: string; version: number }[]>()
  for (const [key, text] of await database.scan(rangeOf('head'), everything)) {
    const list = key.slice('head '.length) as ListName
    const [number, bytes] = text.split(' ').map(Number)
    const rows = await database.scan(entriesAfter(list, 0), everything)
    const entries = rows.map(([, value]) => JSON.parse(value) as { id: string; version: number })
    lists.set(list, entries)
    rows.forEach(([entry], index) => {
      if (Number(lastPart(entry)) !== index + 1) faults.push(`${list}: ${entry} stands at ${index + 1}`)
    })
    if (rows.length !== number) faults.push(`${list}: ${rows.length} entries, head says ${number}`)
    // What somebody wrote takes no room in their own box.
    const found = entries.reduce((sum, { id }) => {
      const { message, bytes: size } = objects.get(id) ?? {}
      return list === `box ${message?.owner}` ? sum : sum + (size ?? 0)
    }, 0)
    if (entries.every(({ id }) => objects.has(id)) && found !== bytes)
      faults.push(`${list}: ${found} bytes, head says ${bytes}`)
  }
  const heads = new Set(lists.keys())
  for (const [key] of await database.scan(rangeOf('entry'), everything)) {
    const list = key.slice('entry '.length, key.lastIndexOf(' ')) as ListName
    if (!heads.has(list)) faults.push(`${key}: its list has no head`)
  }

  const places = new Map<string, number[]>()
  for (const [list, entries] of lists) {
    for (const { id, version } of entries) {
      const place = `${list} ${id}`
      places.set(place, [...(places.get(place) ?? []), version])
      if (sent.has(id) && !objects.has(id)) faults.push(`${list}: ${id} is listed and not there`)
    }
  }
  for (const [id, { message }] of objects) {
    const known = sent.get(id)
    if (known === undefined) {
      faults.push(`${id}: nobody sent it`)
      continue
    }
    if (toBase64url(readJws(message.hash, 'fmtp-hash')?.payload ?? new Uint8Array()) !== digestOf(message))
      faults.push(`${id}: is not what was sealed`)
    if (known.version !== undefined && known.version !== message.version)
      faults.push(`${id}: version ${message.version}, acknowledged ${known.version}`)
    for (const list of [listOf.box(known.owner), listOf.box(known.to), listOf.thread(known.top)]) {
      const versions = places.get(`${list} ${id}`) ?? []
      if (versions.length !== 1 || versions[0] !== message.version)
        faults.push(`${list}: ${id} stands there as [${versions}], not once as ${message.version}`)
    }
    for (const address of [known.owner, known.to]) {
      const boxed = database.get(keyOf.boxed(address, id))
      if (boxed === undefined || JSON.parse(boxed).version !== message.version)
        faults.push(`boxed ${address} ${id}: ${boxed}`)
    }
  }
  for (const { id, version } of sent.values())
    if (version !== undefined && !objects.has(id)) faults.push(`${id}: acknowledged and lost`)
  return faults
}
