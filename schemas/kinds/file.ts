/** The `file` object: bytes that somebody keeps or gives to others, by their SHA-256 (protocol §6.9). */
import type { Static } from 'typebox'
import type { FmtpObject } from '../object.ts'
import { Type } from '../type.ts'
import { blobMembers } from './attachment.ts'

export const fileMembers = blobMembers

const members = Type.Object(fileMembers)
export type File = FmtpObject<Static<typeof members>>
