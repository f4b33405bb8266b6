/** Copies files for backup and restore: for their owner alone, summed up on the way, and on the disk at the end. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { FmtpError } from '../../schemas/failures.ts'
import { syncFolder } from '../accounts/key-file.ts'
import type { SavedFile } from './manifest.ts'

const chunkBytes = 1024 * 1024

/** Regular files below a folder, by their paths in it with slashes, in order; none where there is no folder. */
export function listFiles(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll(sep, '/'),
    )
    .sort()
}

/** Size and sum of a file. */
export async function sumFile(file: string, signal: AbortSignal): Promise<Omit<SavedFile, 'path'>> {
  return through(file, signal, async () => undefined)
}

/** Copies a file to where none is, makes the folders above, and gives what was copied. */
export async function copyFile(
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<Omit<SavedFile, 'path'>> {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 })
  const target = await open(to, 'wx', 0o600)
  try {
    const copied = await through(from, signal, chunk => target.appendFile(chunk))
    await target.sync()
    return copied
  } finally {
    await target.close()
  }
}

async function through(
  file: string,
  signal: AbortSignal,
  onChunk: (chunk: Uint8Array) => Promise<void>,
): Promise<Omit<SavedFile, 'path'>> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(file, {
    highWaterMark: chunkBytes,
  }) as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted()
    hash.update(chunk)
    bytes += chunk.length
    await onChunk(chunk)
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** Files that something else wrote, such as a store, are on the disk when this resolves. */
export async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.chmod(0o600)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The names in all folders of a tree are on the disk when this returns. */
export function syncFolders(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) syncFolder(join(entry.parentPath, entry.name))
  syncFolder(folder)
}

/**
 * Makes an empty folder for something that is renamed when it is whole. True if it replaces one that a kill left behind.
 * @throws {FmtpError} FMTP_NOT_ALLOWED when it holds what was not left by a kill
 */
export function makeDraftFolder(folder: string, names: readonly string[]): boolean {
  const isThere = existsSync(folder)
  const foreign = isThere ? readdirSync(folder).find(name => !names.includes(name)) : undefined
  if (foreign !== undefined)
    throw new FmtpError(
      'FMTP_NOT_ALLOWED',
      `${folder} is needed to work in, and holds ${foreign}, which does not belong there: move it away`,
    )
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return isThere
}
