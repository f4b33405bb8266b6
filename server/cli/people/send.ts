/** `fmtp send`: a message, sealed with this device's own key. */
import { text as readText } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import type { Connection } from '../../../client/connection.ts'
import { mintId } from '../../../objects/id.ts'
import { signerOf } from '../../../objects/seals/keys.ts'
import { digestOf, sealObject } from '../../../objects/seals/seal.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import type { Result } from '../../../schemas/frame.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { parseAnyObject } from '../../../schemas/parse-object.ts'
import { type Address, isAddress, parseAddress, parseObjectId } from '../../../schemas/text/names.ts'
import { type Answer, answerError } from '../../../wire/pairing.ts'
import { uploadAll } from './attach.ts'
import { connectDevice } from './connect.ts'
import { type Device, devicePair, requireDevice } from './identity.ts'

export async function send(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      as: { type: 'string' },
      subject: { type: 'string' },
      reply: { type: 'string' },
      all: { type: 'boolean', default: false },
      attach: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.all && values.reply === undefined)
    throw new FmtpError('FMTP_NO_RECIPIENT', '--all needs --reply ID: all who take part in that')
  const { added, words } = readPositionals(positionals, values.all)
  if ((added.length === 0 && !values.all) || (words.length === 0 && values.attach.length === 0))
    throw new FmtpError('FMTP_NO_RECIPIENT', 'usage: fmtp send ADDRESS TEXT')
  const body = await readWords(words)
  const device = requireDevice(values.as)
  const connection = await connectDevice(device)
  try {
    const attachments = await uploadAll(device, values.attach)
    const parent = values.reply === undefined ? undefined : await requestObject(connection, values.reply)
    const people = values.all && parent !== undefined ? peopleIn(parent, device.address) : []
    const to = [...new Set([...people, ...added])]
    if (to.length === 0) throw new FmtpError('FMTP_NO_RECIPIENT', `nobody else takes part in ${values.reply}`)
    const nowMs = Date.now()
    const unsealed: Unsealed<Message> = {
      ...(attachments.length === 0 ? {} : { attachments }),
      body,
      createdAt: new Date(nowMs).toISOString(),
      format: 'text/plain',
      id: mintId(device.address, nowMs),
      kind: 'message',
      owner: device.address,
      ...(parent === undefined ? {} : answering(parent)),
      ...(values.subject === undefined ? {} : { subject: values.subject }),
      to,
      version: nowMs,
    }
    const answer = await sealAndDescribe(connection, device, unsealed)
    process.stdout.write(values.json ? `${JSON.stringify(answer)}\n` : report(answer))
    return (answer.results ?? []).every(isWell) ? 0 : 1
  } finally {
    connection.close()
  }
}

/** With `--all` one argument alone is the text: the addresses may be left out. @throws {FmtpError} FMTP_NO_RECIPIENT */
function readPositionals(
  positionals: readonly string[],
  isToAll: boolean,
): { readonly added: readonly Address[]; readonly words: readonly string[] } {
  const [first, ...words] = positionals
  if (first === undefined || (isToAll && words.length === 0)) {
    // It is not guessed whether somebody is to be added without a word, or told an address.
    if (first?.split(',').every(isAddress) === true)
      throw new FmtpError('FMTP_NO_RECIPIENT', `the text is missing beside ${first}`)
    return { added: [], words: positionals }
  }
  return { added: first.split(',').map(parseAddress), words }
}

/** All who take part in a message, without oneself. */
function peopleIn(object: FmtpObject, self: string): readonly Address[] {
  return [object.owner as Address, ...recipientsIn(object)].filter(name => name !== self)
}

/** Hands a finished object to the home. @throws {FmtpError} what the home answered, when it did not take it */
export async function sealAndDescribe(
  connection: Connection,
  device: Device,
  unsealed: Unsealed,
): Promise<Answer> {
  const pair = devicePair(device)
  const credential = connection.issued ?? device.credential
  const { object } = sealObject(unsealed, { signer: signerOf(pair), credential })
  const answer = await connection.describe({ object })
  if (answer.outcome !== 'stored' && answer.outcome !== 'duplicate') throw answerError(answer)
  return answer
}

/** The words of a command line as one text; a lone `-` stands for standard input. */
export async function readWords(words: readonly string[]): Promise<string> {
  return words.length === 1 && words[0] === '-' ? readText(process.stdin) : words.join(' ')
}

/** An object, wherever it is. @throws {FmtpError} what was answered, when it is not there */
export async function requestObject(connection: Connection, id: string): Promise<FmtpObject> {
  const { answer, describes } = await connection.request({ id: parseObjectId(id), effort: 'lookup' })
  const [first] = describes
  if (first === undefined) throw answerError(answer)
  return parseAnyObject(first.object)
}

/** What an answer says of the object that it answers. */
export function answering(parent: FmtpObject): Pick<Message, 'parent' | 'parentHash' | 'top'> {
  return { parent: parent.id, parentHash: digestOf(parent), top: parent.top ?? parent.id }
}

export function isWell({ outcome }: Result): boolean {
  return outcome === 'stored' || outcome === 'queued' || outcome === 'duplicate'
}

/** The id, and a line for each recipient. */
export function report({ id, results = [] }: Answer): string {
  const lines = results.map(({ for: to, outcome, text, code }) => {
    const why = text === undefined ? '' : `: ${text} (${code})`
    return `  ${to}  ${outcome}${why}\n`
  })
  return `${id}\n${lines.join('')}`
}
