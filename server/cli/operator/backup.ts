/** `fmtp backup` and `fmtp restore`. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FmtpError } from '../../../schemas/failures.ts'
import type { BackupResult } from '../../backup/backup.ts'
import { restore as putBack } from '../../backup/restore.ts'
import { runAction } from '../../control/client.ts'
import { operate } from './operator.ts'
import { formatCount } from './progress.ts'

export async function backup(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      json: { type: 'boolean', default: false },
    },
  })
  const folder = requireFolder(positionals, 'fmtp backup FOLDER [--config FILE]')
  return operate(
    'backup',
    values.json,
    async ports => (await runAction(resolve(values.config), 'backup', { folder }, ports)) as BackupResult,
    ({ records, files, bytes, missing, isReplacing }) =>
      [
        `saved ${formatCount(records)} records in ${formatCount(files)} files, ${formatBytes(bytes)}, to ${folder}`,
        ...(isReplacing ? ['An unfinished backup, whose command was killed, was replaced.'] : []),
        ...missing.map(file => `The config names ${file}, which is not in the backup: save it too.`),
      ].join('\n'),
  )
}

export async function restore(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', default: 'fmtp.conf' },
      data: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const folder = requireFolder(positionals, 'fmtp restore FOLDER [--config FILE] [--data FOLDER]')
  const config = resolve(values.config)
  const data = values.data === undefined ? undefined : resolve(values.data)
  return operate(
    'restore',
    values.json,
    ports => putBack({ folder, config, data }, ports),
    result =>
      `restored ${formatCount(result.records)} records of ${result.createdAt} to ${result.data}, config in ${config}; start it with: fmtp serve --config ${config}`,
  )
}

function requireFolder(positionals: readonly string[], usage: string): string {
  const [folder, more] = positionals
  if (folder === undefined || folder === '' || more !== undefined)
    throw new FmtpError('FMTP_BAD_NAME', `usage: ${usage}`)
  return resolve(folder)
}

function formatBytes(bytes: number): string {
  if (bytes < 1024 * 1024) return `${formatCount(Math.ceil(bytes / 1024))} KiB`
  return `${formatCount(Math.round(bytes / 1024 / 1024))} MiB`
}
