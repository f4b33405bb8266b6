/** The command `fmtp`: finds the command that was asked for, and tells a person what went wrong. */
import { FmtpError } from '../schemas/failures.ts'
import { findCommand, usage } from './cli/commands.ts'

const [name = 'help', ...args] = process.argv.slice(2)
const command = findCommand(name)
if (command === undefined) {
  process.stderr.write(`fmtp: there is no command ${name}\n\n${usage()}`)
  process.exitCode = 2
} else {
  try {
    process.exitCode = await command.run(args)
  } catch (thrown) {
    process.stderr.write(`fmtp ${name}: ${explain(thrown)}\n`)
    process.exitCode = 1
  }
}

function explain(thrown: unknown): string {
  if (thrown instanceof FmtpError) {
    const [, detail = ''] = /^FMTP_[A-Z_]+(?:: (.*))?$/s.exec(thrown.message) ?? []
    return `${thrown.text}${detail === '' || detail === thrown.text ? '' : `\n  ${detail.replaceAll('\n', '\n  ')}`}\n  (${thrown.code})`
  }
  // parseArgs and the file system speak for themselves.
  if (thrown instanceof Error && 'code' in thrown) return thrown.message
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
}
