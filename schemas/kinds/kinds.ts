/**
 * The kinds of objects of the protocol with their own members (protocol §6), and what holds for a kind as a whole. Kinds
 * that an operator adds are not here: parse.ts puts both together for one server.
 */
import type { TProperties } from 'typebox'
import { fileMembers } from './file.ts'
import { groupMembers } from './group.ts'
import { inviteMembers } from './invite.ts'
import { markMembers } from './mark.ts'
import { messageMembers } from './message.ts'
import { postMembers } from './post.ts'
import { reportMembers } from './report.ts'
import { serverMembers } from './server.ts'
import { ownerMembers, userMembers } from './user.ts'

export const coreMembers = {
  user: { ...userMembers, ...ownerMembers },
  server: serverMembers,
  message: messageMembers,
  post: postMembers,
  group: groupMembers,
  file: fileMembers,
  report: reportMembers,
  invite: inviteMembers,
  mark: markMembers,
} as const satisfies Readonly<Record<string, TProperties>>

export type CoreKind = keyof typeof coreMembers

/** Kinds of which an owner has one: the nonce of the id is the kind's own name. */
export const singleKinds: ReadonlySet<string> = new Set<CoreKind>(['user', 'server', 'group'])

/** Kinds that are for the eyes of their owner: never public, and handed to nobody else. */
export const privateKinds: ReadonlySet<string> = new Set<CoreKind>(['invite', 'mark'])
