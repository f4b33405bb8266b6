/**
 * Somebody is added to a conversation (protocol §8.6): an answer is written to a person who was not given what it answers, so
 * the messages before it, as far as the author has them, follow in the author's name. All is one write with the answer.
 */
import { type Boxed, box, parseBoxed } from '../../../objects/store/box.ts'
import { addTo, type Change } from '../../../objects/store/change.ts'
import { keyOf, listOf } from '../../../objects/store/layout.ts'
import type { Store } from '../../../objects/store/store.ts'
import { hasEnded } from '../../../objects/version.ts'
import { kindsWhere, traitsOf } from '../../../schemas/kinds/kinds.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import { limits } from '../../../schemas/limits.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { type Address, domainOf, makeObjectId } from '../../../schemas/text/names.ts'
import { readTakers } from '../../delivery/delivery-rows.ts'
import { handOnWrites } from '../../delivery/forwards.ts'
import { judge } from './judge.ts'
import type { TakingPorts } from './local-delivery.ts'

/** A message before an answer, and to whom of those who are new it is handed on. */
export interface Earlier {
  readonly id: string
  readonly to: readonly Address[]
}

type ReadPorts = Pick<TakingPorts, 'store' | 'clock' | 'groups' | 'isOwn' | 'isIsland'>

/** Entries of a thread that are looked at for those that the author has. */
const lookedMost = 1000
const handedOnKinds = kindsWhere(({ isHandedOn }) => isHandedOn)
const page = 100

/** What is handed on with an answer, in the order in which it goes out: the nearest first. */
export async function readEarlier(object: FmtpObject, ports: ReadPorts): Promise<readonly Earlier[]> {
  const { kind, parent: parentId, deleted } = object
  if (parentId === undefined || deleted === true || !traitsOf(kind).isHandedOn) return []
  const parent = findOwn(parentId, object, ports)
  if (parent === undefined) return []
  const people = recipientsIn(object).filter(to => to !== object.owner && !isGroup(to, ports))
  const unnamed = withoutNamed(people, parent, ports.store)
  // Most answers are to those who are there already, and wait for nothing here.
  return unnamed.length === 0 ? [] : readEarlierFor(unnamed, object, parent, ports)
}

async function readEarlierFor(
  unnamed: readonly Address[],
  object: FmtpObject,
  parent: FmtpObject,
  ports: ReadPorts,
): Promise<readonly Earlier[]> {
  const { store } = ports
  const newcomers = await withoutHolders(unnamed, parent, store)
  if (newcomers.length === 0) return []
  const earlier: Earlier[] = []
  for (const each of await readThread(parent, object, { ports, most: mostFor(newcomers, ports) })) {
    const to = await withoutHolders(newcomers, each, store)
    if (to.length > 0) earlier.push({ id: each.id, to })
  }
  return earlier
}

/** How many messages follow, so that there are not too many for all boxes and domains together. */
function mostFor(newcomers: readonly Address[], { isOwn }: ReadPorts): number {
  const places = new Set(newcomers.map(to => (isOwn(to) ? to : domainOf(to))))
  return Math.min(limits.forwards, Math.floor(limits.forwardsInAll / places.size))
}

/** Also a group elsewhere, where it is known here. */
function isGroup(address: Address, { groups, store }: Pick<ReadPorts, 'groups' | 'store'>): boolean {
  return groups.find(address) !== undefined || store.findText(makeObjectId('group', address)) !== undefined
}

/** Those to whom nobody here knows an object to have been given. */
async function withoutHolders(
  people: readonly Address[],
  object: FmtpObject,
  store: Store,
): Promise<readonly Address[]> {
  const left = withoutNamed(people, object, store)
  if (left.length === 0) return left
  const takers = await readTakers(object.id, store)
  return left.filter(to => !takers.has(to))
}

/** Those to whom it was not written, and in whose box it is not. */
function withoutNamed(people: readonly Address[], object: FmtpObject, store: Store): readonly Address[] {
  const named = new Set<string>([object.owner, ...recipientsIn(object)])
  return people.filter(to => !named.has(to) && store.findBoxedText(to, object.id) === undefined)
}

/** A message of the thread that its author may hand on: it is in the author's box, and was not written to a group. */
function findOwn(
  id: string,
  { owner, top }: Pick<FmtpObject, 'owner' | 'top'>,
  ports: Pick<ReadPorts, 'store' | 'clock' | 'groups'>,
): FmtpObject | undefined {
  const { store, clock } = ports
  if (store.findBoxedText(owner, id) === undefined) return undefined
  const found = store.findObject(id)
  if (found === undefined || !traitsOf(found.kind).isHandedOn) return undefined
  if ((found.top ?? found.id) !== top) return undefined
  if (found.deleted === true || hasEnded(found, clock.now())) return undefined
  return recipientsIn(found).some(to => isGroup(to, ports)) ? undefined : found
}

interface Reading {
  readonly ports: ReadPorts
  readonly most: number
}

/** The parent, what that answers and so on to the top; then the rest, the newest first. */
async function readThread(
  parent: FmtpObject,
  answer: FmtpObject,
  { ports, most }: Reading,
): Promise<readonly FmtpObject[]> {
  const { store } = ports
  const found = new Map<string, FmtpObject>()
  for (let next: FmtpObject | undefined = parent; next !== undefined && found.size < most; ) {
    found.set(next.id, next)
    next = next.parent === undefined ? undefined : findOwn(next.parent, answer, ports)
  }
  const list = listOf.thread(answer.top ?? '')
  for (const kind of handedOnKinds) {
    let before: string | undefined
    for (let looked = 0; looked < lookedMost && found.size < most; looked += page) {
      const entries = await store.readNewest(list, { kind, before, limit: page })
      for (const { id, position } of entries) {
        before = position
        if (found.size >= most || found.has(id) || id === answer.id) continue
        const object = findOwn(id, answer, ports)
        if (object !== undefined) found.set(id, object)
      }
      if (entries.length < page) break
    }
  }
  return [...found.values()]
}

/**
 * Adds to the write of an answer what is handed on with it: to the boxes of those of ours who take the answer, and to the
 * outboxes of the others.
 */
export function handOn(
  change: Change,
  answer: FmtpObject,
  earlier: readonly Earlier[],
  { takers, ports }: { readonly takers: ReadonlySet<string>; readonly ports: TakingPorts },
): void {
  const { store, clock } = ports
  const by = answer.owner as Address
  const nowMs = clock.now()
  const used = new Map<Address, number>()
  for (const { id, to } of earlier) {
    // As it is now, with the text on which this depends: it may have been replaced since it was looked for.
    const object = findOwn(id, answer, ports)
    const text = store.findText(id)
    if (object === undefined || text === undefined) continue
    // It may be replaced or removed at this moment: who is second looks again.
    change.equals.push([keyOf.object(object.id), text])
    change.absent.push(keyOf.leaving(object.id))
    touchBox(change, object.id, answer, store)
    const foreign = ports.isIsland ? [] : to.filter(each => !ports.isOwn(each))
    addTo(change, handOnWrites(object, foreign, { by, after: answer.id, nowMs }, store))
    const local = to.filter(each => takers.has(each))
    for (const recipient of local) {
      const bytes = text.length
      const all = (used.get(recipient) ?? 0) + bytes
      const bringing = { session: by, bytes: all, isBroughtAlong: true }
      const judgement = judge(object, recipient, bringing, ports)
      if (judgement.outcome !== 'accept') continue
      used.set(recipient, all)
      const boxing = { address: recipient, bytes, by: judgement.forwardedBy, nowMs, boxed: undefined }
      box(change, object, boxing, store.database)
    }
  }
}

/** Changes the row by which the author has it, on which a newer version depends. It must be there still. */
function touchBox(change: Change, id: string, { id: handedOn, owner }: FmtpObject, store: Store): void {
  const key = keyOf.boxed(owner, id)
  const boxed = store.findBoxedText(owner, id) ?? ''
  change.equals.push([key, boxed])
  if (boxed !== '')
    change.puts.push([key, JSON.stringify({ ...parseBoxed(boxed), handedOn } satisfies Boxed)])
}
