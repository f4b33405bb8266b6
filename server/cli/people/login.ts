/** `fmtp login LINK`: makes a key on this device, and has it enrolled with the link's one-time secret. */
import { parseArgs } from 'node:util'
import { Connection } from '../../../client/connection.ts'
import { dialOrigin } from '../../../client/dial.ts'
import { parseLink } from '../../../client/link.ts'
import { generateKeyPair, privatePem, signerOf } from '../../../objects/seals/keys.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { domainOf } from '../../../schemas/text/names.ts'
import { pinnedTo, randomNonce } from './connect.ts'
import { saveDevice } from './identity.ts'

export async function login(args: string[]): Promise<number> {
  const { positionals } = parseArgs({ args, allowPositionals: true, options: {} })
  const [text] = positionals
  if (text === undefined) throw new FmtpError('FMTP_BAD_NAME', 'which link? usage: fmtp login LINK')
  const { origin, address, token, thumbprint } = parseLink(text)
  const pair = generateKeyPair()
  let domainThumbprint = thumbprint
  const connection = await Connection.open(await dialOrigin(origin), {
    domain: domainOf(address),
    verifyServer: pinnedTo(thumbprint, moved => {
      domainThumbprint = moved
    }),
    randomNonce,
    login: { as: address, token, signer: signerOf(pair), key: pair.jwk },
  })
  connection.close()
  if (connection.issued === undefined) throw new FmtpError('FMTP_TOKEN', 'the server issued no credential')
  const file = saveDevice({
    address,
    origin,
    domainThumbprint,
    key: privatePem(pair),
    credential: connection.issued,
  })
  process.stdout.write(`logged in as ${address}; the key of this device is in ${file}\n`)
  return 0
}
