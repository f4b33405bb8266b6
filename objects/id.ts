/** Mints ids (protocol §2.6): milliseconds, then chance, so that ids sort by time and never collide. */
import { randomBytes } from 'node:crypto'
import { makeObjectId, type Name, type ObjectId } from '../schemas/text/names.ts'

const base32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** `<unix ms>-<12 base32 characters>.<owner>` */
export function mintId(owner: Name, nowMs: number): ObjectId {
  let chance = ''
  for (const byte of randomBytes(12)) chance += base32[byte & 31]
  return makeObjectId(`${nowMs}-${chance}`, owner)
}
