/**
 * What LevelDB says of damage. It opens a damaged store without an error and drops the records that it can not read; only
 * a line in its file `LOG` tells. Each opening begins a new `LOG` and keeps the one before as `LOG.old`, in which stands
 * what went wrong while that process ran.
 */
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { FmtpError } from '../../../schemas/failures.ts'

const telling = /\bdropping\b|\bcorruption\b|\bignoring\b/i
// A few tell enough.
const linesMost = 20

/** What a person can do about it. */
export const damageAdvice =
  'LevelDB has dropped records of the store that it could not read. See what is missing with: fmtp verify. Look at the disk, and restore the last good backup: fmtp restore FOLDER'

export const repairAdvice =
  'Look at the disk. Restore the last good backup (fmtp restore FOLDER), or save what is left: make a copy of the data folder, then run fmtp verify --repair'

export const givenUpAdvice =
  'LevelDB gave up on these files: they are not what it wrote. Look at the disk, and restore the last good backup: fmtp restore FOLDER'

export const objectAdvice =
  'it is not what was sealed, was put aside and is given to nobody. Look at the disk and run: fmtp verify. An object of another domain may be fetched again; else restore a backup'

export const rowAdvice =
  'it is no row of an index and was passed over. Look at the disk; to make indexes anew, stop the server and run: fmtp verify --repair'

/**
 * LevelDB begins anew where its file CURRENT is missing, and removes all that was there.
 * @throws {FmtpError} FMTP_STORE
 */
export function requireCurrent(storeFolder: string): void {
  const names = readdirSync(storeFolder)
  if (!names.some(name => /^MANIFEST-|\.(ldb|log)$/.test(name))) return
  const file = join(storeFolder, 'CURRENT')
  const [, manifest = ''] = names.includes('CURRENT')
    ? (/^(MANIFEST-\d+)\n$/.exec(readFileSync(file, 'latin1')) ?? [])
    : []
  if (names.includes(manifest)) return
  throw new FmtpError(
    'FMTP_STORE',
    `${file} is missing, or names no MANIFEST that is there.\n${repairAdvice}`,
  )
}

/** Lines of damage since the opening before the last, as LevelDB wrote them, each behind the name of its file. */
export async function readDamage(storeFolder: string): Promise<readonly string[]> {
  const lines: string[] = []
  for (const name of ['LOG.old', 'LOG']) {
    const file = join(storeFolder, name)
    if (!existsSync(file)) continue
    for await (const line of createInterface({ input: createReadStream(file, 'utf8') })) {
      if (telling.test(line) && lines.push(`${name}: ${line}`) === linesMost) return lines
    }
  }
  return lines
}
