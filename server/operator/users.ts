/** What an operator does with users, behind `fmtp user`: who there is, a new one, and the end of one (protocol §6.14). */
import { setTimeout as sleep } from 'node:timers/promises'
import { keyOf, listOf } from '../../objects/store/layout.ts'
import { parseRow } from '../../objects/store/row.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { type Address, isAddressName, type Name, parseAddress } from '../../schemas/text/names.ts'
import type { AccountRecord } from '../accounts/credentials.ts'
import type { Copies, GoneRecord } from '../accounts/leavers.ts'
import type { Core } from '../core/core.ts'
import { countAllCopies } from '../delivery/status/copies.ts'
import type { ActionPorts, ControlActions } from './action.ts'
import { type Args, requireText } from './args.ts'
import { makeLogInLink } from './log-in-link.ts'

/** `leaving`: log-ins have ended, and something of the account is here still. */
export type UserState = 'here' | 'leaving' | 'deleted'

export interface UsersResult {
  readonly users: readonly { readonly address: string; readonly state: UserState }[]
}

export interface AddResult {
  readonly address: string
  readonly link: string
}

export interface UserResult {
  readonly address: string
  readonly state: UserState
  readonly createdAt: string
  readonly devices: number
  /** Room that the box and the uploads take. */
  readonly boxBytes: number
  readonly blobBytes: number
  readonly deletion?: DeletionResult
}

/** Copies are those of other servers, one for each object and recipient. */
export interface DeletionResult {
  readonly startedAt: string
  /** Nothing is left here but tombstones. */
  readonly erasedAt?: string
  readonly endedAt?: string
  readonly groups: readonly string[]
  readonly copies: Copies
}

export interface DeleteResult extends UserResult {
  /** False: no server runs, which erases what there is when it starts. */
  readonly isErased: boolean
}

/** What a running server adds. */
export interface UsersPorts {
  /** Port of its first HTTP listener. */
  readonly httpPort?: number | undefined
  /** How many objects of a user were erased so far; missing: nobody erases anything. */
  erasedOf?(address: Address): number
}

const lookMs = 100

export function userActions(core: Core, ports: UsersPorts = {}): ControlActions {
  const { accounts, store } = core
  const { leavers } = accounts

  /** @throws {FmtpError} FMTP_NOT_FOUND: of a user who was deleted something is known still */
  function requireUser(args: Args): Address {
    const address = parseAddress(requireText(args, 'address'))
    const isUser = isAddressName(address) && !accounts.groups.isGroup(address)
    if (!isUser || store.database.get(keyOf.account(address)) === undefined)
      throw new FmtpError('FMTP_NOT_FOUND', `no user ${address}`)
    return address
  }

  function stateOf(address: Address): UserState {
    if (!leavers.isGone(address)) return 'here'
    return leavers.find(address)?.endedAtMs === undefined ? 'leaving' : 'deleted'
  }

  async function show(address: Address): Promise<UserResult> {
    const { createdAtMs } = parseRow<AccountRecord>(store.database.get(keyOf.account(address)) ?? '{}')
    const record = leavers.find(address)
    return {
      address,
      state: stateOf(address),
      createdAt: new Date(createdAtMs).toISOString(),
      devices: (await accounts.listDevices(address)).length,
      boxBytes: store.database.head(listOf.box(address)).bytes,
      blobBytes: store.database.head(listOf.blobs(address)).bytes,
      ...(record && { deletion: await tellDeletion(address, record) }),
    }
  }

  async function tellDeletion(address: Address, record: GoneRecord): Promise<DeletionResult> {
    const { startedAtMs, erasedAtMs, endedAtMs, groups, copies } = record
    return {
      startedAt: new Date(startedAtMs).toISOString(),
      ...(erasedAtMs === undefined ? {} : { erasedAt: new Date(erasedAtMs).toISOString() }),
      ...(endedAtMs === undefined ? {} : { endedAt: new Date(endedAtMs).toISOString() }),
      groups,
      copies: copies ?? (await countAllCopies(address, store)),
    }
  }

  /** Who does not wait any longer has the deletion going on all the same. */
  async function waitUntilErased(address: Address, { onProgress, signal }: ActionPorts): Promise<boolean> {
    if (ports.erasedOf === undefined) return false
    while (leavers.find(address)?.erasedAtMs === undefined) {
      onProgress({ what: 'objects', done: ports.erasedOf(address) })
      await sleep(lookMs, undefined, { ref: false })
      signal.throwIfAborted()
    }
    return true
  }

  return {
    'user list': async () => {
      const addresses = await accounts.listAddresses()
      const users = addresses.map(address => ({ address, state: stateOf(address) }))
      return { users } satisfies UsersResult
    },
    'user add': async args => {
      const address = parseAddress(requireText(args, 'address'))
      if (!isAddressName(address as Name)) throw new FmtpError('FMTP_BAD_NAME', `${address} is a domain`)
      await accounts.create(address)
      return { address, link: await makeLogInLink(address, core, ports.httpPort) } satisfies AddResult
    },
    'user show': async args => show(requireUser(args)),
    'user delete': async (args, actionPorts) => {
      const address = requireUser(args)
      if (!leavers.isGone(address)) await leavers.begin(address, args.isForced === true)
      const isErased = await waitUntilErased(address, actionPorts)
      return { ...(await show(address)), isErased } satisfies DeleteResult
    },
  }
}
