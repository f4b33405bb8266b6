/** Writes files that must never be found half written, such as private keys: whoever reads finds the old text or the new. */
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Readable by its owner alone, and on the disk when this returns. What a kill leaves behind ends in `.new`. */
export function writeKeyFile(file: string, text: string): void {
  const draft = `${file}.new`
  writeFileSync(draft, text, { mode: 0o600, flush: true })
  // A draft that a kill left behind keeps the mode it had.
  chmodSync(draft, 0o600)
  renameSync(draft, file)
  syncFolder(dirname(file))
}

/** What was made or renamed in the folder is on the disk when this returns. */
export function syncFolder(folder: string): void {
  // Windows opens no folders, and has its renames in a journal.
  if (process.platform === 'win32') return
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
