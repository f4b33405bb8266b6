/**
 * The place of an answer in its thread (protocol §8.5): under a parent that is here, in the version that `parentHash`
 * names, with the top of that parent. What is not proven yet is kept and waits.
 */

import { traitsOf } from '../schemas/kinds/kinds.ts'
import type { FmtpObject } from '../schemas/object.ts'
import type { ObjectId } from '../schemas/text/names.ts'
import { isOfOtherGroup } from './group-policy.ts'

/** What is looked at of an object; of a post also its `group`. */
type Placeable = Pick<FmtpObject, 'id' | 'kind' | 'parent' | 'top' | 'deleted'>

/** What a place is judged by. `digest` is that of the current version. */
export interface PlacePorts {
  findObject(id: string): Placeable | undefined
  /** True where the current version or one that it replaced has this digest. */
  hasDigest(id: string, digest: string): boolean
  /** True for an answer that is here and stands in no list of its thread yet. */
  isUnjoined(id: string): boolean
}

export type Place =
  | { readonly isJoined: true }
  | {
      readonly isJoined: false
      readonly waitsFor: ObjectId
      /** True where the parent is here and says otherwise, as far as its versions are known here. */
      readonly isFalse: boolean
      readonly reason: string
    }

/** The first object of the thread that an object belongs to; `undefined`: it belongs to none. */
export function topOf({ id, kind, top }: Pick<FmtpObject, 'id' | 'kind' | 'top'>): string | undefined {
  if (top !== undefined) return top
  return traitsOf(kind).beginsThread ? id : undefined
}

/** Whether an answer follows from what is here. The hashes make a circle of answers impossible to prove. */
export function findPlace(object: Placeable & Pick<FmtpObject, 'parentHash'>, ports: PlacePorts): Place {
  const { id, parent: parentId, parentHash, top } = object
  if (parentId === undefined) return { isJoined: true }
  const waiting = (reason: string, isFalse = false): Place => ({
    isJoined: false,
    waitsFor: parentId as ObjectId,
    isFalse,
    reason,
  })
  const parent = ports.findObject(parentId)
  if (parent === undefined) return waiting(`${parentId} is not here`)
  if (parentId === id || top !== (parent.top ?? parent.id)) return waiting(`${top} is not the top`, true)
  if (isOfOtherGroup(object, parent)) return waiting(`${parentId} is of another group`, true)
  if (parentHash === undefined || !ports.hasDigest(parentId, parentHash))
    return waiting(`${parentId} has no version ${parentHash}`, true)
  if (ports.isUnjoined(parentId)) return waiting(`${parentId} waits itself`)
  return { isJoined: true }
}
