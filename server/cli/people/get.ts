/** `fmtp get`: somebody's own object by address, or any object by id. */
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import { parseAnyObject } from '../../../schemas/parse-object.ts'
import { parseName, parseObjectId } from '../../../schemas/text/names.ts'
import { answerError } from '../../../wire/pairing.ts'
import { tellStates } from '../states.ts'
import { saveAll } from './attach.ts'
import { connectDevice } from './connect.ts'
import { requireDevice } from './identity.ts'

export async function get(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      as: { type: 'string' },
      id: { type: 'string' },
      save: { type: 'string' },
      states: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [address] = positionals
  if ((address === undefined) === (values.id === undefined)) {
    throw new FmtpError('FMTP_BAD_NAME', 'usage: fmtp get ADDRESS, or fmtp get --id ID')
  }
  const sought = values.id === undefined ? { address: parseName(address) } : { id: parseObjectId(values.id) }
  const device = requireDevice(values.as)
  const connection = await connectDevice(device)
  try {
    const { answer, describes } = await connection.request({ ...sought, effort: 'lookup' })
    const [first] = describes
    if (first === undefined) throw answerError(answer)
    if (values.save !== undefined) await saveAll(device, parseAnyObject(first.object), values.save)
    if (values.states) {
      const results = answer.results ?? []
      process.stdout.write(`${values.json ? JSON.stringify(results) : tellStates(results)}\n`)
      return 0
    }
    process.stdout.write(`${JSON.stringify(first.object, undefined, values.json ? undefined : 2)}\n`)
    return 0
  } finally {
    connection.close()
  }
}
