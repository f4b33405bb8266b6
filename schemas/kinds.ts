/** Every kind of object with its schemas (protocol §6). */
import { messageMembers } from './message.ts'
import { draftSchema, finishedSchema } from './object.ts'
import { serverMembers } from './server.ts'
import { ownerMembers, userMembers } from './user.ts'

export const kinds = {
  user: {
    finished: finishedSchema('user', { ...userMembers, ...ownerMembers }),
    draft: draftSchema('user', { ...userMembers, ...ownerMembers }),
  },
  server: { finished: finishedSchema('server', serverMembers), draft: draftSchema('server', serverMembers) },
  message: {
    finished: finishedSchema('message', messageMembers),
    draft: draftSchema('message', messageMembers),
  },
} as const

export type Kind = keyof typeof kinds

/** Kinds of which an owner has one: the nonce of the id is the kind's own name. Groups have theirs before they are here. */
export const singleKinds: ReadonlySet<string> = new Set(['user', 'server', 'group'])
