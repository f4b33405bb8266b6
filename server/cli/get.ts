/** `fmtp get`: somebody's own object by address, or any object by id. */
import { parseArgs } from 'node:util'
import { FmtpError } from '../../schemas/failures.ts'
import { parseName, parseObjectId } from '../../schemas/names.ts'
import { answerError } from '../../wire/pairing.ts'
import { connectDevice } from './connect.ts'
import { requireDevice } from './identity.ts'

export async function get(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { as: { type: 'string' }, id: { type: 'string' }, json: { type: 'boolean', default: false } },
  })
  const [address] = positionals
  if ((address === undefined) === (values.id === undefined)) {
    throw new FmtpError('FMTP_BAD_NAME', 'usage: fmtp get ADDRESS, or fmtp get --id ID')
  }
  const sought = values.id === undefined ? { address: parseName(address) } : { id: parseObjectId(values.id) }
  const connection = await connectDevice(requireDevice(values.as))
  try {
    const { answer, describes } = await connection.request({ ...sought, effort: 'lookup' })
    const [first] = describes
    if (first === undefined) throw answerError(answer)
    process.stdout.write(`${JSON.stringify(first.object, undefined, values.json ? undefined : 2)}\n`)
    return 0
  } finally {
    connection.close()
  }
}
