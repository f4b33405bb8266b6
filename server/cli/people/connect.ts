/** Connects a person's device, or a guest, to a server from the command line. */
import { randomBytes } from 'node:crypto'
import { Connection, type ConnectOptions } from '../../../client/connection.ts'
import { dialOrigin } from '../../../client/dial.ts'
import { signerOf, thumbprintOf, verifierOf } from '../../../objects/seals/keys.ts'
import { isSucceededBy } from '../../../objects/seals/successors.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { HelloFrame } from '../../../schemas/frame.ts'
import { domainOf } from '../../../schemas/text/names.ts'
import { isProvenBy } from '../../../wire/hello.ts'
import { type Device, devicePair, saveDevice } from './identity.ts'

export const randomNonce = (): string => randomBytes(16).toString('base64url')

/**
 * Believes a server that proves the key of this thumbprint, which came with the log-in link, or one that follows it (protocol
 * §5.9). `onMoved` is given the thumbprint of such a key, which is to be pinned instead.
 */
export function pinnedTo(
  thumbprint: string,
  onMoved: (thumbprint: string) => void = () => undefined,
): (hello: HelloFrame) => Promise<void> {
  return async hello => {
    const { key, as: domain = '', successors = [] } = hello
    const of = { domain, successors, nowMs: Date.now() }
    if (key === undefined || !(await isSucceededBy(thumbprint, key, of))) {
      throw new FmtpError(
        'FMTP_WRONG_PEER',
        'the server shows another domain key than the one of the log-in link',
      )
    }
    if (!(await isProvenBy(hello, verifierOf(key))))
      throw new FmtpError('FMTP_PROOF', 'the server did not prove its key')
    if (thumbprintOf(key) !== thumbprint) onMoved(thumbprintOf(key))
  }
}

/** A connection of an enrolled device; a renewed credential is kept. */
export async function connectDevice(
  device: Device,
  options: Pick<ConnectOptions, 'onDescribe' | 'onClose'> = {},
): Promise<Connection> {
  const channel = await dialOrigin(device.origin)
  let { domainThumbprint } = device
  const connection = await Connection.open(channel, {
    ...options,
    domain: domainOf(device.address),
    verifyServer: pinnedTo(device.domainThumbprint, thumbprint => {
      domainThumbprint = thumbprint
    }),
    randomNonce,
    login: { as: device.address, signer: signerOf(devicePair(device)), credential: device.credential },
  })
  const { issued: credential = device.credential } = connection
  if (credential !== device.credential || domainThumbprint !== device.domainThumbprint)
    saveDevice({ ...device, credential, domainThumbprint })
  return connection
}
