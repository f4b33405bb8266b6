/**
 * The kinds of objects of the protocol (protocol §6): one row for each, with its own members and all that the rest of the
 * code must know of it. Kinds that an operator adds share the row `addedKind`; parse-object.ts has their members.
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

/** What holds for all objects of a kind. Nothing may be left out, so that a new kind says all of it. */
export interface KindTraits {
  /** An owner has one: the nonce of its id is the kind's own name. It may be made anew with another `createdAt` (§6.6). */
  readonly isSingle: boolean
  /** For its owner's eyes alone: never public, and handed to nobody else (§6.1). */
  readonly isPrivate: boolean
  /** What its owner is (§6.1). */
  readonly ownedBy: 'address' | 'domain' | 'either'
  /** Who may publish it: its owner, the moderators of the group that owns it, or only the server (§9.5). */
  readonly publishedBy: 'owner' | 'moderators' | 'server'
  /**
   * The people it is for (§8.2), besides its forum: those in `to`; the owners of its parent and top (`answered`); or the owner
   * of the object that it is about, where a group says it.
   */
  readonly addressees: 'to' | 'answered' | 'about' | 'none'
  /** Its member `group` names the forum that it is for, and that forum lists it (§6.8). */
  readonly namesForum: boolean
  /** Others see a view of it, which is open to everyone unless `public` is false. It stands in no public list (§6.3). */
  readonly hasViews: boolean
  /** It introduces its owner: it is sent ahead to the people its owner writes to, and no group passes it on (§10.4). */
  readonly isIntroduction: boolean
  /** It may be the first object of a thread, and an answer may name any version that it had (§8.5). */
  readonly beginsThread: boolean
  /** A person who is added by an answer gets the earlier messages of the thread too (§8.6). */
  readonly isHandedOn: boolean
  /** The recipient's `formats` and `encryptPolicy` decide whether it is taken (§8.3). */
  readonly mustBeReadable: boolean
  /** The blob that it names besides `attachments` (§9.8): itself, its `avatar`, or none. */
  readonly ownBlob: 'itself' | 'avatar' | 'none'
  /** A person waits for it: it is delivered before anything in the bulk list (§10.4). */
  readonly goesFirst: boolean
  /** Its author is told what became of it at each recipient, in results and in reports (§10.5). */
  readonly isTold: boolean
  /** It leaves the box when it is older than the user's `keepDays` (§6.6). */
  readonly isRetired: boolean
}

interface KindRow extends KindTraits {
  /** Schemas of its own members. */
  readonly members: TProperties
}

export const kinds = {
  user: {
    members: { ...userMembers, ...ownerMembers },
    isSingle: true,
    isPrivate: false,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'none',
    namesForum: false,
    hasViews: true,
    isIntroduction: true,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'avatar',
    goesFirst: true,
    isTold: false,
    isRetired: false,
  },
  server: {
    members: serverMembers,
    isSingle: true,
    isPrivate: false,
    ownedBy: 'domain',
    publishedBy: 'server',
    addressees: 'none',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: false,
    isTold: false,
    isRetired: false,
  },
  message: {
    members: messageMembers,
    isSingle: false,
    isPrivate: false,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'to',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: true,
    isHandedOn: true,
    mustBeReadable: true,
    ownBlob: 'none',
    goesFirst: true,
    isTold: true,
    isRetired: true,
  },
  post: {
    members: postMembers,
    isSingle: false,
    isPrivate: false,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'answered',
    namesForum: true,
    hasViews: false,
    isIntroduction: false,
    beginsThread: true,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: false,
    isTold: true,
    isRetired: false,
  },
  group: {
    members: groupMembers,
    isSingle: true,
    isPrivate: false,
    ownedBy: 'address',
    publishedBy: 'moderators',
    addressees: 'none',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: false,
    isTold: true,
    isRetired: false,
  },
  file: {
    members: fileMembers,
    isSingle: false,
    isPrivate: false,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'none',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: true,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'itself',
    goesFirst: false,
    isTold: true,
    isRetired: false,
  },
  report: {
    members: reportMembers,
    isSingle: false,
    isPrivate: false,
    // A server reports for itself, a group for its list.
    ownedBy: 'either',
    publishedBy: 'moderators',
    addressees: 'about',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: true,
    // Telling would have no end.
    isTold: false,
    isRetired: true,
  },
  invite: {
    members: inviteMembers,
    isSingle: false,
    isPrivate: true,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'none',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: false,
    isTold: true,
    isRetired: false,
  },
  mark: {
    members: markMembers,
    isSingle: false,
    isPrivate: true,
    ownedBy: 'address',
    publishedBy: 'owner',
    addressees: 'none',
    namesForum: false,
    hasViews: false,
    isIntroduction: false,
    beginsThread: false,
    isHandedOn: false,
    mustBeReadable: false,
    ownBlob: 'none',
    goesFirst: false,
    isTold: false,
    isRetired: false,
  },
} as const satisfies Readonly<Record<string, KindRow>>

export type CoreKind = keyof typeof kinds

/** The kinds whose rows have these traits. */
export type KindWith<T extends Partial<KindTraits>> = {
  [K in CoreKind]: (typeof kinds)[K] extends T ? K : never
}[CoreKind]

/** Kinds that an operator adds (§6.13): published, listed, requested and delivered like any other. */
const addedKind: KindTraits = {
  isSingle: false,
  isPrivate: false,
  ownedBy: 'address',
  publishedBy: 'owner',
  addressees: 'to',
  namesForum: false,
  hasViews: false,
  isIntroduction: false,
  beginsThread: true,
  isHandedOn: false,
  mustBeReadable: false,
  ownBlob: 'none',
  goesFirst: false,
  isTold: true,
  isRetired: false,
}

const rows: ReadonlyMap<string, KindTraits> = new Map(Object.entries(kinds))

/** The row of a kind. A kind that is not of the protocol was added by an operator, here or elsewhere. */
export function traitsOf(kind: string): KindTraits {
  return rows.get(kind) ?? addedKind
}

export function isCoreKind(kind: string): kind is CoreKind {
  return rows.has(kind)
}

/** What a table of the kinds of the protocol says of this one; `added` for those that operators add. */
export function forKind<T>(table: { readonly [K in CoreKind]: T }, kind: string, added: T): T {
  return isCoreKind(kind) ? table[kind] : added
}

/** The kinds of the protocol for whose rows this is true, in the order of the table. */
export function kindsWhere(is: (traits: KindTraits) => boolean): readonly string[] {
  return [...rows].filter(([, traits]) => is(traits)).map(([kind]) => kind)
}

/** Own members of the kinds of the protocol. */
export const coreMembers = Object.fromEntries<TProperties>(
  Object.entries(kinds).map(([kind, { members }]) => [kind, members]),
) as { readonly [K in CoreKind]: TProperties }

/** Kinds of which an owner has one; and so nonces that no other kind may use. */
export const singleKinds: ReadonlySet<string> = new Set(kindsWhere(({ isSingle }) => isSingle))

/** Kinds that are for the eyes of their owner. */
export const privateKinds: ReadonlySet<string> = new Set(kindsWhere(({ isPrivate }) => isPrivate))
