/**
 * In whose name a user of ours publishes (protocol §6.8, §9.5): the own, or as a moderator that of a group of ours; and
 * what may be said in the name of a group.
 */

import { groupIn } from '../../../objects/addressees.ts'
import { isForum, peopleOf } from '../../../objects/group-policy.ts'
import type { Write } from '../../../objects/store/engine/write.ts'
import { removalId } from '../../../objects/store/forum-list.ts'
import type { Before, Store } from '../../../objects/store/store.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Group } from '../../../schemas/kinds/group.ts'
import { type KindWith, traitsOf } from '../../../schemas/kinds/kinds.ts'
import type { Report } from '../../../schemas/kinds/report.ts'
import type { Draft, FmtpObject } from '../../../schemas/object.ts'
import {
  type Address,
  isAddressName,
  makeObjectId,
  type Name,
  type ObjectId,
  ownerOf,
} from '../../../schemas/text/names.ts'
import type { Accounts } from '../../accounts/accounts.ts'
import type { HomeSealingKey } from '../../accounts/credentials.ts'

export interface OfficePorts {
  readonly store: Store
  readonly accounts: Accounts
  /** How many an object may be written to. */
  readonly recipients: number
  readonly groupsPerUser: number
}

export interface Office {
  readonly owner: Address
  readonly home: HomeSealingKey
  /** What is written beside the object of a group that is made by it. */
  readonly founding?: Write
  /** Members that the home fills in. */
  readonly filled: object
}

/**
 * @throws {FmtpError} FMTP_NOT_OWNER for what belongs to another; of a new group FMTP_BAD_NAME and FMTP_TOO_MANY_GROUPS
 */
export function requireOffice(draft: Draft, author: Address, ports: OfficePorts): Office {
  const { accounts, groupsPerUser } = ports
  const owner = ownerOf(draft.id as ObjectId)
  const { kind } = draft
  if (owner === author && kind !== 'group') return { owner, home: accounts.homeKey(author), filled: {} }
  const group = accounts.groups.find(owner)
  const isOfGroup = traitsOf(kind).publishedBy === 'moderators'
  // A group is made by its first object; all else of one needs the group.
  if (!isAddressName(owner) || !isOfGroup || (group === undefined && kind !== 'group'))
    throw new FmtpError('FMTP_NOT_OWNER', `${draft.id} is not of ${author}`)
  if (group === undefined) {
    const { home, write } = accounts.groups.found(owner, author, groupsPerUser)
    return { owner, home, founding: write, filled: filledFor(draft, author) }
  }
  if (group.moderators?.includes(author) !== true)
    throw new FmtpError('FMTP_NOT_OWNER', `${author} is no moderator of ${owner}`)
  const filled = kind === 'group' ? filledFor(draft, author) : isForum(group) ? { public: true } : {}
  return { owner, home: accounts.homeKey(owner), filled: draft.deleted === true ? {} : filled }
}

/** Without moderators nobody could change it any more. */
function filledFor(draft: Draft, author: Address): object {
  const { moderators = [], deleted } = draft as Draft<Partial<Group>>
  return moderators.length > 0 || deleted === true ? {} : { moderators: [author] }
}

type Check = (object: FmtpObject, before: Before['object'] | undefined, ports: OfficePorts) => void

const checks: { readonly [K in KindWith<{ publishedBy: 'moderators' }>]: Check } = {
  group: (object, before, ports) => checkGroup(object as Group, before, ports),
  report: (object, _, ports) => checkRemoval(object as Report, ports),
}

function findCheck(kind: string): Check | undefined {
  return Object.hasOwn(checks, kind) ? checks[kind as keyof typeof checks] : undefined
}

/**
 * What a group and its reports may say.
 * @throws {FmtpError} FMTP_BAD_OBJECT, FMTP_NOT_OFFERED, FMTP_ABSENT, FMTP_TOO_MANY_RECIPIENTS
 */
export function checkOffice(
  object: FmtpObject,
  before: Before['object'] | undefined,
  ports: OfficePorts,
): void {
  if (object.deleted === true) return
  if (object.expiresAt !== undefined) throw bad(`a ${object.kind} of a group does not end by itself`)
  findCheck(object.kind)?.(object, before, ports)
}

function checkGroup(group: Group, before: Before['object'] | undefined, ports: OfficePorts): void {
  const { accounts, store, recipients } = ports
  if (group.policy === 'confirm') throw new FmtpError('FMTP_NOT_OFFERED', 'policy confirm')
  if (before !== undefined && isForum(before) !== isForum(group))
    throw bad('a forum stays a forum, and a room a room')
  const people = peopleOf(group)
  if (people.length > recipients)
    throw new FmtpError('FMTP_TOO_MANY_RECIPIENTS', `${people.length} members and moderators`)
  // Of a group elsewhere it is only known where its object is here.
  const isGroup = (name: Address): boolean =>
    name === group.owner || store.findText(makeObjectId('group', name)) !== undefined
  const inner = people.find(isGroup)
  if (inner !== undefined) throw bad(`${inner} is a group, and no member of another`)
  if (!(group.moderators ?? []).some(name => isOwnUser(name as Name, accounts)))
    throw bad('one of the moderators must be a user of this server')
}

function isOwnUser(name: Name, accounts: Accounts): boolean {
  return accounts.findUser(name) !== undefined
}

function checkRemoval(report: Report, { store }: OfficePorts): void {
  const { about, outcome, owner, id } = report
  const group = owner as Address
  if (outcome !== 'removed') throw bad(`a group does not report ${outcome}`)
  if (id !== removalId(about, group)) throw bad(`the removal of ${about} is ${removalId(about, group)}`)
  const post = store.findObject(about)
  const isHere = post !== undefined && groupIn(post).includes(group)
  if (!isHere || store.findBoxedText(group, about) === undefined) throw new FmtpError('FMTP_ABSENT', about)
}

function bad(detail: string): FmtpError {
  return new FmtpError('FMTP_BAD_OBJECT', detail)
}
