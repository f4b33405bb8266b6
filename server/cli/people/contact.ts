/** `fmtp contact`: the points of contact in one's own user object. */
import { parseArgs } from 'node:util'
import type { Connection } from '../../../client/connection.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Contact } from '../../../schemas/kinds/contact.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import { answerError } from '../../../wire/pairing.ts'
import { connectDevice } from './connect.ts'
import { type Device, requireDevice } from './identity.ts'
import { sealAndDescribe } from './send.ts'

export async function contact(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { as: { type: 'string' }, clear: { type: 'boolean', default: false } },
  })
  const device = requireDevice(values.as)
  const connection = await connectDevice(device)
  try {
    const contacts = positionals.map(parseContact)
    const user = await requestOwnUser(connection, device)
    if (contacts.length > 0 || values.clear) await setContacts(connection, device, contacts)
    const now = contacts.length > 0 || values.clear ? contacts : (user.contacts ?? [])
    for (const { protocol, host, port } of now) process.stdout.write(`${host}:${port} ${protocol}\n`)
    return 0
  } finally {
    connection.close()
  }
}

/** Edits the user object as it is now, so that nothing another device changed is lost. */
async function setContacts(
  connection: Connection,
  device: Device,
  contacts: readonly Contact[],
): Promise<void> {
  const { encryptedKey: _, hash: __, ...user } = await requestOwnUser(connection, device)
  const version = Math.max(Date.now(), user.version + 1)
  await sealAndDescribe(connection, device, { ...user, contacts: [...contacts], version } as User)
}

/** The owner's view of one's own user object, as it is now. */
export async function requestOwnUser(connection: Connection, device: Device): Promise<User> {
  const { answer, describes } = await connection.request({ address: device.address })
  const [first] = describes
  if (first === undefined) throw answerError(answer)
  return first.object as User
}

/** `host:port`, tried first in the order in which they are given. */
function parseContact(text: string, priority = 0): Contact {
  const [, host, port] = /^\[?([a-z0-9.:-]+?)\]?:(\d{1,5})$/i.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) {
    throw new FmtpError('FMTP_BAD_NAME', `${text} is not HOST:PORT`)
  }
  return { protocol: 'tcp', host: host.toLowerCase(), port: Number(port), priority }
}
