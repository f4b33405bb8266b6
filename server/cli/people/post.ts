/** `fmtp post`: something for whoever reads, sealed with this device's own key; public unless told otherwise. */
import { parseArgs } from 'node:util'
import type { Connection } from '../../../client/connection.ts'
import { groupIn } from '../../../objects/addressees.ts'
import { mintId } from '../../../objects/id.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Post } from '../../../schemas/kinds/post.ts'
import type { Unsealed } from '../../../schemas/object.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { connectDevice } from './connect.ts'
import { requireDevice } from './identity.ts'
import { answering, isWell, readWords, report, requestObject, sealAndDescribe } from './send.ts'

export async function post(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      as: { type: 'string' },
      tag: { type: 'string', multiple: true, default: [] },
      reply: { type: 'string' },
      group: { type: 'string' },
      private: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [title, ...words] = positionals
  if (title === undefined || words.length === 0)
    throw new FmtpError('FMTP_BAD_OBJECT', 'usage: fmtp post TITLE TEXT')
  const body = await readWords(words)
  const device = requireDevice(values.as)
  const connection = await connectDevice(device)
  try {
    const nowMs = Date.now()
    const unsealed: Unsealed<Post> = {
      body,
      createdAt: new Date(nowMs).toISOString(),
      format: 'text/plain',
      id: mintId(device.address, nowMs),
      kind: 'post',
      owner: device.address,
      ...(values.private ? {} : { public: true }),
      ...(values.group === undefined ? {} : { group: parseAddress(values.group) }),
      ...(values.reply === undefined ? {} : await commenting(connection, values.reply)),
      ...(values.tag.length === 0 ? {} : { tags: [...new Set(values.tag)] }),
      ...(title === '' ? {} : { title }),
      version: nowMs,
    }
    const answer = await sealAndDescribe(connection, device, unsealed)
    process.stdout.write(values.json ? `${JSON.stringify(answer)}\n` : report(answer))
    return (answer.results ?? []).every(isWell) ? 0 : 1
  } finally {
    connection.close()
  }
}

/** What a comment says of what it answers: a post is answered in its forum. */
async function commenting(connection: Connection, reply: string): Promise<Partial<Post>> {
  const parent = await requestObject(connection, reply)
  const [group] = groupIn(parent)
  return { ...(group === undefined ? {} : { group }), ...answering(parent) }
}
