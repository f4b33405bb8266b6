/** Clients of tests and measurements: log in by a link's token or by a device that the token enrolled, and make drafts. */
import { Connection, type ConnectOptions } from '../../client/connection.ts'
import { dialOrigin } from '../../client/dial.ts'
import type { LoginLink } from '../../client/link.ts'
import { generateKeyPair, type KeyPair, signerOf } from '../../objects/seals/keys.ts'
import { type Address, domainOf } from '../../schemas/text/names.ts'
import { pinnedTo, randomNonce } from '../../server/cli/people/connect.ts'

export type Watching = Pick<ConnectOptions, 'onDescribe' | 'onClose'>

/** An enrolled device that is kept in memory only. */
export interface MemoryDevice {
  readonly address: Address
  readonly pair: KeyPair
  readonly credential: string
  /** Thumbprint of the domain's key. */
  readonly thumbprint: string
}

/** Uses up the token of a link for one connection. */
export async function logInByToken(
  origin: string,
  link: LoginLink,
  watching: Watching = {},
): Promise<Connection> {
  return Connection.open(await dialOrigin(origin), {
    ...watching,
    domain: domainOf(link.address),
    verifyServer: pinnedTo(link.thumbprint),
    randomNonce,
    login: { as: link.address, token: link.token },
  })
}

/** Uses up the token of a link for a device. */
export async function enrol(origin: string, link: LoginLink): Promise<MemoryDevice> {
  const { address, token, thumbprint } = link
  const pair = generateKeyPair()
  const connection = await Connection.open(await dialOrigin(origin), {
    domain: domainOf(address),
    verifyServer: pinnedTo(thumbprint),
    randomNonce,
    login: { as: address, token, signer: signerOf(pair), key: pair.jwk },
  })
  connection.close()
  if (connection.issued === undefined) throw new Error(`no credential for ${address}`)
  return { address, pair, credential: connection.issued, thumbprint }
}

export async function logIn(
  origin: string,
  device: MemoryDevice,
  watching: Watching = {},
): Promise<Connection> {
  const { address, pair, credential, thumbprint } = device
  return Connection.open(await dialOrigin(origin), {
    ...watching,
    domain: domainOf(address),
    verifyServer: pinnedTo(thumbprint),
    randomNonce,
    login: { as: address, signer: signerOf(pair), credential },
  })
}
