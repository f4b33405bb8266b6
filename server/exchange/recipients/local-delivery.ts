/**
 * What is written for those of ours who take an object, whichever door it comes through: their boxes; for a forum its list,
 * and what a room takes is passed on to its members (protocol §6.8, §10.4).
 */

import type { Clock } from '../../../objects/clock.ts'
import { isForum, peopleOf } from '../../../objects/group-policy.ts'
import type { VerifiedObject } from '../../../objects/seals/seal.ts'
import { box } from '../../../objects/store/box.ts'
import { addTo, type Change } from '../../../objects/store/change.ts'
import { listInForum } from '../../../objects/store/forum-list.ts'
import type { Before } from '../../../objects/store/store.ts'
import { isOtherThan } from '../../../objects/version.ts'
import type { Group } from '../../../schemas/kinds/group.ts'
import { traitsOf } from '../../../schemas/kinds/kinds.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import type { Address, Name } from '../../../schemas/text/names.ts'
import { outboxWrites } from '../../delivery/outbox.ts'
import { type JudgePorts, judge } from './judge.ts'

export interface TakingPorts extends JudgePorts {
  readonly clock: Clock
  readonly isIsland: boolean
  isOwn(name: Name): boolean
}

/** What comes in, and what was here when that was judged. */
export interface Coming {
  readonly verified: VerifiedObject
  readonly before: Before | undefined
}

/** One who takes it. */
export interface Taker {
  readonly recipient: Name
  /** Text of the recipient's box key as it was read, so that nothing stands in a box twice. */
  readonly boxed: string | undefined
  readonly forwardedBy?: Name | undefined
}

/** Adds all that these takers get to the write of the object. Who has this version already is none of them. */
export function take(change: Change, coming: Coming, takers: readonly Taker[], ports: TakingPorts): void {
  const { store } = ports
  const { verified, before } = coming
  const { object } = verified
  for (const taker of takers) boxFor(change, coming, taker, ports)
  // Most takers are users, and those are in memory.
  const groups = takers.filter(({ recipient }) => ports.findUser(recipient) === undefined)
  const { isIntroduction, namesForum } = traitsOf(object.kind)
  if (groups.length === 0 || isIntroduction) return
  const given = givenTo(coming)
  for (const { recipient, boxed } of groups) {
    const group = ports.groups.find(recipient)
    if (group === undefined) continue
    if (!isForum(group)) passOn(change, coming, { group, given }, ports)
    else if (namesForum && (boxed !== undefined || object.deleted !== true))
      listInForum(change, object, group.owner as Address, { isNew: before === undefined, store })
  }
}

/** Those whom the author's home brings it: nobody is given an object twice. */
export function givenTo({ verified, before }: Coming): Set<string> {
  const { object } = verified
  const named = [object, before?.object].flatMap(each => (each === undefined ? [] : recipientsIn(each)))
  return new Set([object.owner, ...named])
}

/**
 * Hands an object to all members of a room in its name: to the boxes of users of ours who take it, and to each other domain
 * once. `given` has those who need not be given it, and is added to.
 */
export function passOn(
  change: Change,
  coming: Coming,
  { group, given }: { readonly group: Group; readonly given: Set<string> },
  ports: TakingPorts,
): void {
  const { verified, before } = coming
  const { object, atRest } = verified
  // What was deleted before it came is news to nobody.
  if (object.deleted === true && before === undefined) return
  const by = group.owner as Address
  const foreign: Address[] = []
  for (const member of peopleOf(group)) {
    if (given.has(member)) continue
    given.add(member)
    if (!ports.isOwn(member)) {
      foreign.push(member)
      continue
    }
    const judgement = judge(object, member, { session: by, bytes: atRest.length }, ports)
    const boxed = ports.store.findBoxedText(member, object.id)
    if (judgement.outcome !== 'accept' || ports.store.hasThis(verified, boxed)) continue
    boxFor(change, coming, { recipient: member, boxed, forwardedBy: judgement.forwardedBy }, ports)
  }
  if (ports.isIsland) return
  const { store, clock } = ports
  addTo(
    change,
    outboxWrites(object, foreign, {
      store,
      author: undefined,
      by,
      nowMs: clock.now(),
      isNew: before === undefined,
    }),
  )
}

function boxFor(
  change: Change,
  { verified, before }: Coming,
  { recipient, boxed, forwardedBy }: Taker,
  { store, clock }: TakingPorts,
): void {
  const { object, atRest } = verified
  const bytes = atRest.length
  const isOther = isOtherThan(verified, before)
  const boxing = { address: recipient, bytes, by: forwardedBy, nowMs: clock.now(), boxed, isOther }
  box(change, object, boxing, store.database)
}
