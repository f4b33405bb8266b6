/** What an operator does with domain keys and with the devices of users, behind `fmtp key` and `fmtp device`. */
import { FmtpError } from '../../schemas/failures.ts'
import {
  type Address,
  type Domain,
  isAddressName,
  parseAddress,
  parseDomain,
} from '../../schemas/text/names.ts'
import type { KeyReport } from '../accounts/rotation.ts'
import type { Core } from '../core/core.ts'
import type { ControlActions } from './action.ts'
import { type Args, findText, requireText } from './args.ts'

export interface KeysResult {
  readonly keys: readonly KeyReport[]
}

export interface RetireResult {
  readonly domain: string
  readonly selector: string
  /** Text of the record that is to be taken out of DNS. */
  readonly record: string
}

export interface DeviceReport {
  readonly thumbprint: string
  readonly enrolledAt: string
}

export interface DevicesResult {
  readonly address: string
  readonly devices: readonly DeviceReport[]
}

export function keyActions({ domains, rotation, accounts, removals }: Core): ControlActions {
  /** The domain that is meant, where there is one or one is named. */
  function requireDomain(args: Args): Domain {
    const named = findText(args, 'domain')
    if (named !== undefined) return parseDomain(named)
    const [only, ...others] = domains.keys()
    if (only === undefined || others.length > 0)
      throw new FmtpError('FMTP_BAD_NAME', `say which domain: ${[...domains.keys()].join(', ')}`)
    return only
  }

  function requireUser(args: Args): Address {
    const address = parseAddress(requireText(args, 'address'))
    if (!isAddressName(address) || !accounts.hasAccount(address))
      throw new FmtpError('FMTP_NOT_FOUND', `no user ${address}`)
    return address
  }

  /** A selector names one key, whichever domain has it. */
  function requireHolder(selector: string, args: Args): Domain {
    if (findText(args, 'domain') !== undefined) return requireDomain(args)
    const holders = [...domains.values()].filter(({ keys }) => keys.some(key => key.selector === selector))
    const [holder, more] = holders
    if (holder === undefined || more !== undefined)
      throw new FmtpError('FMTP_NOT_FOUND', `${holders.length} domains have a key ${selector}`)
    return holder.domain
  }

  return {
    'key list': async args => {
      const wanted = findText(args, 'domain') === undefined ? [...domains.keys()] : [requireDomain(args)]
      const lists = await Promise.all(wanted.map(domain => rotation.list(domain)))
      return { keys: lists.flat() } satisfies KeysResult
    },
    'key rotate': async args => {
      const keys = await rotation.rotate(requireDomain(args), { isHurried: args.isHurried === true })
      return { keys } satisfies KeysResult
    },
    'key retire': async args => {
      const selector = requireText(args, 'selector')
      const domain = requireHolder(selector, args)
      if (removals.areHeld)
        throw new FmtpError(
          'FMTP_BUSY',
          'a backup is being made, which copies the keys: try again when it has ended',
        )
      const { record } = rotation.retire(domain, selector, { isForced: args.isForced === true })
      return { domain, selector, record } satisfies RetireResult
    },
    'device list': async args => {
      const address = requireUser(args)
      const devices = await accounts.listDevices(address)
      return {
        address,
        devices: devices.map(({ thumbprint, enrolledAtMs }) => ({
          thumbprint,
          enrolledAt: new Date(enrolledAtMs).toISOString(),
        })),
      } satisfies DevicesResult
    },
    'device revoke': async args => {
      const address = requireUser(args)
      const thumbprint = requireText(args, 'thumbprint')
      await accounts.revoke(address, thumbprint)
      return { address, thumbprint }
    },
  }
}
