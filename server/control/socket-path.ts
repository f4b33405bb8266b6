/** Where the control socket of a data folder is, and that nobody but the owner of the folder can have put it there. */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { FmtpError } from '../../schemas/failures.ts'

// The kernel takes 107 bytes on Linux and 103 elsewhere.
const pathBytes = 100

/** The same for the server and for commands: a path, on Windows the name of a pipe. `data` is absolute. */
export function controlPath(data: string): string {
  const digest = createHash('sha256').update(data).digest('hex').slice(0, 16)
  if (process.platform === 'win32') return `\\\\.\\pipe\\fmtp-${digest}`
  const path = join(data, 'control.sock')
  return Buffer.byteLength(path) <= pathBytes ? path : join(tmpdir(), `fmtp-${digest}`, 'control.sock')
}

/**
 * Makes the way free for a socket at `path`: takes away what a killed server left, and makes the folder outside the data
 * folder where there must be one. Only for who holds the lock of the data folder.
 * @throws {FmtpError} FMTP_CONFIG when something there belongs to others, or is no socket
 */
export function clearControlPath(data: string, path: string): void {
  if (process.platform === 'win32') return
  const folder = dirname(path)
  if (folder !== data) {
    requireOwn(data, path)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    requireOwn(data, path)
  }
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket() || !isOurs(found))
    throw new FmtpError('FMTP_CONFIG', `${path} is in the way of the control socket: move it away`)
  unlinkSync(path)
}

/**
 * Looks that a folder outside the data folder is of ours alone: others may write where it lies, and could listen there.
 * @throws {FmtpError} FMTP_CONFIG
 */
export function requireOwn(data: string, path: string): void {
  const folder = dirname(path)
  if (process.platform === 'win32' || folder === data) return
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (found === undefined || (found.isDirectory() && isOurs(found) && (found.mode & 0o077) === 0)) return
  throw new FmtpError(
    'FMTP_CONFIG',
    `${folder} is for the control socket, as the path of the data folder is too long for one, and must be a folder of mode 0700 that belongs to you: move it away, or give the data folder a shorter path`,
  )
}

function isOurs({ uid }: { readonly uid: number }): boolean {
  return process.getuid === undefined || uid === process.getuid()
}
