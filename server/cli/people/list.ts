/** `fmtp list` and `fmtp follow`: what stands in a list, and what comes to it. */

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { FmtpError, toFmtpError } from '../../../schemas/failures.ts'
import type { DescribeFrame, ListQuery } from '../../../schemas/frame.ts'
import type { File } from '../../../schemas/kinds/file.ts'
import { type CoreKind, forKind } from '../../../schemas/kinds/kinds.ts'
import type { Mark } from '../../../schemas/kinds/mark.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { Post } from '../../../schemas/kinds/post.ts'
import { recipientsIn } from '../../../schemas/kinds/recipients.ts'
import type { Report } from '../../../schemas/kinds/report.ts'
import { limits } from '../../../schemas/limits.ts'
import { askedListNames, askedLists } from '../../../schemas/lists.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { answerError } from '../../../wire/pairing.ts'
import { connectDevice } from './connect.ts'
import { requireDevice, saveDevice } from './identity.ts'

const lists = askedListNames.filter(name => askedLists[name].isForPeople).toSorted()

export async function list(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      as: { type: 'string' },
      owner: { type: 'string' },
      top: { type: 'string' },
      kind: { type: 'string' },
      newest: { type: 'boolean', default: false },
      limit: { type: 'string' },
      after: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const of = lists.find(name => name === (positionals[0] ?? 'box'))
  if (of === undefined)
    throw new FmtpError('FMTP_NOT_FOUND', `there is no list ${positionals[0]}; there are ${lists.join(', ')}`)
  const { owner, top, kind } = values
  const query: ListQuery = {
    of,
    ...(owner === undefined ? {} : { owner }),
    ...(top === undefined ? {} : { top }),
    ...(kind === undefined ? {} : { kind }),
    ...(values.newest ? { order: 'newest' as const } : {}),
  }
  let left = values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit)
  if (!(left >= 1)) throw new FmtpError('FMTP_BAD_FRAME', `--limit ${values.limit}: a whole number from 1 on`)
  const connection = await connectDevice(requireDevice(values.as))
  try {
    let { after } = values
    for (;;) {
      const page: ListQuery = {
        ...query,
        limit: Math.min(left, limits.pageObjects),
        ...(after === undefined ? {} : { after }),
      }
      const { answer } = await connection.request({ list: page }, ({ object, by }) => {
        left--
        process.stdout.write(line(object, values.json, by))
      })
      if (answer.outcome !== 'found') throw answerError(answer)
      if (left <= 0 || answer.complete === true || answer.cursor === undefined || answer.cursor === after)
        return 0
      after = answer.cursor
    }
  } finally {
    connection.close()
  }
}

/** Runs until it is interrupted; comes back by itself when the server was away. */
export async function follow(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      as: { type: 'string' },
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  let device = requireDevice(values.as)
  let after = values.all ? undefined : device.cursor
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())

  function show({ object, cursor, by }: DescribeFrame): void {
    process.stdout.write(line(object, values.json, by))
    if (cursor === undefined) return
    after = cursor
    device = { ...requireDevice(device.address), cursor }
    saveDevice(device)
  }

  while (!stopping.signal.aborted) {
    try {
      await followOnce(after, device.address, show, stopping.signal)
    } catch (thrown) {
      const error = toFmtpError(thrown)
      if (error.code === 'FMTP_CURSOR_LOST') after = undefined
      else if (!error.isTemporary) throw error
      process.stderr.write(`${error.text} Trying again.\n`)
    }
    await sleep(1000, undefined, { signal: stopping.signal }).catch(() => undefined)
  }
  return 0
}

async function followOnce(
  after: string | undefined,
  address: string,
  show: (frame: DescribeFrame) => void,
  signal: AbortSignal,
): Promise<void> {
  let close = (): void => undefined
  const closed = new Promise<void>(resolve => {
    close = resolve
  })
  const connection = await connectDevice(requireDevice(address), { onClose: () => close() })
  signal.addEventListener('abort', () => connection.close(), { once: true })
  const query: ListQuery = { of: 'box', ...(after === undefined ? {} : { after }) }
  const { answer } = await connection.request({ list: query, follow: true }, show)
  if (answer.outcome !== 'found') {
    connection.close()
    throw answerError(answer)
  }
  await closed
}

/** One object as a line of text, or as JSON. `by` brought it where its owner did not write to the reader. */
export function line(value: object, isJson: boolean, by?: string): string {
  if (isJson) return `${JSON.stringify(value)}\n`
  const object = value as FmtpObject
  const when = object.createdAt.slice(0, 19).replace('T', ' ')
  if (object.deleted === true) return `${when}  ${object.owner}  deleted ${object.id}\n`
  const how = by === undefined ? '' : `  (forwarded by ${by})`
  return `${when}  ${object.owner} ${clean(forKind(summaries, object.kind, plain)(object))}${how}\n`
}

const plain = (object: FmtpObject): string => {
  const to = recipientsIn(object)
  return `${to.length === 0 ? '' : `→ ${to.join(', ')}`}  (${object.kind}) ${object.id}`
}

/** What an object of each kind is about, after the name of its owner. */
const summaries: { readonly [K in CoreKind]: (object: FmtpObject) => string } = {
  user: plain,
  server: plain,
  message(object) {
    const { to, subject, body } = object as Message
    return `→ ${to.join(', ')}  ${headed(subject, body)}`
  },
  post(object) {
    const { title, body, tags = [], parent, group } = object as Post
    const words = tags.map(tag => `  #${tag}`).join('')
    const forum = group === undefined ? '' : `→ ${group}`
    return `${parent === undefined ? forum : `↳ ${parent}`}  ${headed(title, body)}${words}`
  },
  group: plain,
  file(object) {
    const { name, format, bytes } = object as File
    return ` (file) ${name}, ${format}, ${bytes} bytes`
  },
  report(object) {
    const { about, outcome, recipient, code } = object as Report
    return ` (report) ${[outcome, recipient, code, about].filter(word => word !== undefined).join(' ')}`
  },
  invite: plain,
  mark(object) {
    const { about, read, kept, hidden, muted } = object as Mark
    const flags = Object.entries({ read, kept, hidden, muted }).flatMap(([flag, isSet]) =>
      isSet ? flag : [],
    )
    return ` (mark) ${about}: ${flags.join(', ')}`
  },
}

function headed(title: string | undefined, body: string): string {
  return title === undefined ? body : `${title}: ${body}`
}

/** Text of others, without the bytes that would speak to the terminal. */
export function clean(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}
