/** A one-time link with which a user logs in (protocol §5.7), as the server prints it at its start and `fmtp user add` later. */
import { formatLink } from '../../client/link.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { findEndpoint } from '../../schemas/text/formats.ts'
import { type Address, domainOf } from '../../schemas/text/names.ts'
import type { Accounts } from '../accounts/accounts.ts'
import type { OwnDomains } from '../accounts/own-domains.ts'
import type { LoadedConfig } from '../config/load.ts'
import { originOf } from '../config/own-hosts.ts'

export interface LinkPorts {
  readonly config: LoadedConfig
  readonly domains: OwnDomains
  readonly accounts: Accounts
}

const usualPort = 8080

/** `httpPort`: that of the first HTTP listener, where one listens. @throws {FmtpError} FMTP_NOT_FOUND without such a user */
export async function makeLogInLink(
  address: Address,
  { config, domains, accounts }: LinkPorts,
  httpPort?: number,
): Promise<string> {
  const own = domains.get(domainOf(address))
  if (own === undefined) throw new FmtpError('FMTP_NOT_FOUND', `${domainOf(address)} is not served here`)
  const token = await accounts.makeToken(address)
  const port = httpPort ?? (findEndpoint(config.listen.http[0] ?? '')?.port || usualPort)
  return formatLink({
    origin: originOf(config, port),
    address,
    token,
    thumbprint: own.current.pair.thumbprint,
  })
}
