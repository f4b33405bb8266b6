/** `fmtp demo`: plays a conversation between real processes on loopback, and tells it step by step from their logs. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseConversation } from './conversation.ts'
import { type LogRecord, Stage } from './stage.ts'
import { stepsOf } from './steps.ts'

const conversationFile = fileURLToPath(
  new URL('../../../test/conversations/poe-and-lenore.convo', import.meta.url),
)
const stepMs = 12_000

export async function demo(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      conversation: { type: 'string', default: conversationFile },
      keep: { type: 'boolean', default: false },
    },
  })
  const conversation = parseConversation(readFileSync(values.conversation, 'utf8'))
  await using stage = new Stage(conversation, values.keep)
  // Interrupted, it still takes its processes with it.
  const stop = (): void => void stage[Symbol.asyncDispose]().then(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  await stage.open()
  if (values.keep) process.stdout.write(`the servers' data and logs stay in ${stage.folder}\n`)
  for (const said of conversation.said) {
    await stage.say(said)
    const isPublished = ({ event, fields }: LogRecord): boolean =>
      event === 'publish' && fields.kind === 'message'
    const startMs = stage.records.findLast(isPublished)?.atMs ?? Date.now()
    for (const [index, step] of stepsOf(conversation, said).entries()) {
      const told = await stage.when(() => step.find(stage.records), stepMs)
      if (told === undefined) {
        process.stdout.write(
          `${number(index)} Nothing of this was logged within ${stepMs / 1000} s; the conversation stands still.\n`,
        )
        return 1
      }
      process.stdout.write(`${number(index)} ${told.text} ${Math.max(0, told.atMs - startMs)} ms\n`)
      if (!told.isWell) return 1
    }
  }
  return 0
}

function number(index: number): string {
  return `${String(index + 1).padStart(2)}.`
}
