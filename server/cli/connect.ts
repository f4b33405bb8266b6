/** Connects a person's device, or a guest, to a server from the command line. */
import { randomBytes } from 'node:crypto'
import { Connection, type ConnectOptions } from '../../client/connection.ts'
import { dialOrigin } from '../../client/dial.ts'
import { signerOf, thumbprintOf, verifierOf } from '../../objects/keys.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { HelloFrame } from '../../schemas/frame.ts'
import { domainOf } from '../../schemas/names.ts'
import { isProvenBy } from '../../wire/hello.ts'
import { type Device, devicePair, saveDevice } from './identity.ts'

export const randomNonce = (): string => randomBytes(16).toString('base64url')

/** Believes a server that proves the key of this thumbprint, which came with the log-in link. */
export function pinnedTo(thumbprint: string): (hello: HelloFrame) => Promise<void> {
  return async hello => {
    const { key } = hello
    if (key === undefined || thumbprintOf(key) !== thumbprint) {
      throw new FmtpError(
        'FMTP_WRONG_PEER',
        'the server shows another domain key than the one of the log-in link',
      )
    }
    if (!(await isProvenBy(hello, verifierOf(key))))
      throw new FmtpError('FMTP_PROOF', 'the server did not prove its key')
  }
}

/** A connection of an enrolled device; a renewed credential is kept. */
export async function connectDevice(
  device: Device,
  options: Pick<ConnectOptions, 'onDescribe' | 'onClose'> = {},
): Promise<Connection> {
  const channel = await dialOrigin(device.origin)
  const connection = await Connection.open(channel, {
    ...options,
    domain: domainOf(device.address),
    verifyServer: pinnedTo(device.domainThumbprint),
    randomNonce,
    login: { as: device.address, signer: signerOf(devicePair(device)), credential: device.credential },
  })
  if (connection.issued !== undefined) saveDevice({ ...device, credential: connection.issued })
  return connection
}
