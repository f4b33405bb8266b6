/**
 * Whoever was handed an object on by one of ours (protocol §8.6) gets its edits and its deletion the same way: its author does
 * not know of them, and sends those to others.
 */

import { parseBoxed } from '../../../objects/store/box.ts'
import { addTo, type Change } from '../../../objects/store/change.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import { isOtherThan } from '../../../objects/version.ts'
import type { ObjectId } from '../../../schemas/text/names.ts'
import { type Address, type Name, ownerOf } from '../../../schemas/text/names.ts'
import { readRows } from '../../delivery/delivery-rows.ts'
import { type HandingOn, handOnWrites } from '../../delivery/forwards.ts'
import { judge } from './judge.ts'
import { type Coming, type Taker, type TakingPorts, take } from './local-delivery.ts'

export interface HandedOn {
  /** Boxes as they were read: who hands it on meanwhile changes one of them. */
  readonly boxes: readonly (readonly [key: string, text: string])[]
  readonly local: readonly Taker[]
  /** Of an object of another home: to whom abroad, in whose name, and after which message. */
  readonly foreign: readonly (Pick<HandingOn, 'by' | 'after'> & { readonly to: readonly Address[] })[]
}

const nobody: HandedOn = { boxes: [], local: [], foreign: [] }

/** Who has a version before this one in that way, and takes this one. */
export async function readHandedOn({ verified, before }: Coming, ports: TakingPorts): Promise<HandedOn> {
  if (!isOtherThan(verified, before)) return nobody
  const { object, atRest } = verified
  const { store } = ports
  const local: Taker[] = []
  const boxes: [string, string][] = []
  for (const { address, boxed } of await store.findHolders(object.id)) {
    boxes.push([keyOf.boxed(address, object.id), boxed])
    const by = parseBoxed(boxed).by as Name | undefined
    if (by === undefined || ports.findUser(by) === undefined) continue
    const bringing = { session: by, bytes: atRest.length, isBroughtAlong: true }
    const judgement = judge(object, address as Name, bringing, ports)
    if (judgement.outcome === 'accept') local.push({ recipient: address as Name, boxed, forwardedBy: by })
  }
  // Everybody who was given an object of our own stands among those it is for.
  if (ports.isOwn(ownerOf(object.id as ObjectId))) return { boxes, local, foreign: [] }
  const rows = [...(await readRows(object.id, store)).values()]
  return {
    boxes,
    local,
    foreign: rows.flatMap(({ by, after, for: to }) =>
      by === undefined || after === undefined ? [] : [{ by, after, to }],
    ),
  }
}

/** Adds them to the write of the new version. `takers` get it in any case. */
export function followOn(
  change: Change,
  coming: Coming,
  { handedOn, takers }: { readonly handedOn: HandedOn; readonly takers: readonly Taker[] },
  ports: TakingPorts,
): void {
  const known = new Set(takers.map(({ recipient }) => recipient))
  const others = handedOn.local.filter(({ recipient }) => !known.has(recipient))
  change.equals.push(...handedOn.boxes)
  take(change, coming, others, ports)
  const { store, clock } = ports
  for (const { to, ...rest } of handedOn.foreign)
    addTo(change, handOnWrites(coming.verified.object, to, { ...rest, nowMs: clock.now() }, store))
}
