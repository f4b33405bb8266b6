/**
 * The user object of a new account, and everyone's view of it (protocol §6.3), which its home keeps in step with what the
 * owner publishes and with the devices that are enrolled.
 */

import { type SealingKey, sealObject } from '../../objects/seals/seal.ts'
import { keyOf } from '../../objects/store/layout.ts'
import type { Store } from '../../objects/store/store.ts'
import { everyonesView } from '../../objects/view.ts'
import { canonicalText } from '../../schemas/canonical.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { Unsealed } from '../../schemas/object.ts'
import { type Address, makeObjectId } from '../../schemas/text/names.ts'

/** What is written beside a user's object in the same commit, and on which conditions. */
export interface AttachedWrite {
  readonly absent: readonly string[]
  readonly equals: readonly (readonly [key: string, value: string])[]
  readonly puts: readonly (readonly [key: string, value: string])[]
  readonly dels: readonly string[]
}

export type ViewBefore = NonNullable<ReturnType<Store['findViewBefore']>>

export interface ViewPorts {
  readonly store: Store
  /** The home key of the user. */
  readonly home: SealingKey
  /** The view as it is, read before the keys were: a device that is enrolled meanwhile makes another. */
  readonly before: ViewBefore | undefined
  readonly nowMs: number
}

/**
 * Keeps the sealed view for everyone in step with the owner's own; writes nothing where that did not change. On condition
 * that the view is as it was read: enrolling, revoking and publishing all make one. `keys`: all that speak for the user.
 */
export function viewWrite(
  user: User,
  keys: readonly string[],
  { store, home, nowMs, before: read }: ViewPorts,
): Omit<AttachedWrite, 'dels'> {
  const key = keyOf.view('everyone', user.owner)
  const { text, object: before } = read ?? {}
  const composed = everyonesView(user, [...keys].sort())
  if (before !== undefined) {
    const { version: _, hash: __, ...old } = before
    if (canonicalText(old) === canonicalText(composed)) return { absent: [], equals: [], puts: [] }
  }
  const version = Math.max(nowMs, (before?.version ?? 0) + 1)
  const sealed = sealObject({ ...composed, version } as Unsealed<User>, home)
  return {
    absent: text === undefined ? [key] : [],
    equals: text === undefined ? [] : [[key, text]],
    puts: [[key, sealed.atRest], ...store.credentialPuts(sealed)],
  }
}

export function newUser(address: Address, nowMs: number): Unsealed<User> {
  return {
    createdAt: new Date(nowMs).toISOString(),
    id: makeObjectId('user', address),
    kind: 'user',
    owner: address,
    policy: 'accept',
    public: true,
    version: nowMs,
    view: 'owner',
  } as Unsealed<User>
}
