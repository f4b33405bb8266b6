/** Devices of people on this machine: one file each, readable by its owner alone, in the user's data folder. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parsePrivatePem } from '../../../objects/seals/keys.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { type Address, parseAddress } from '../../../schemas/text/names.ts'
import { writeKeyFile } from '../../accounts/key-file.ts'

export interface Device {
  readonly address: Address
  /** Where the home answers WebSocket. */
  readonly origin: string
  /** RFC 7638 thumbprint of the home's domain key. */
  readonly domainThumbprint: string
  /** PKCS #8 PEM of the device key. */
  readonly key: string
  readonly credential: string
  /** Cursor up to which the box was read with `fmtp follow`. */
  readonly cursor?: string
}

/** `$FMTP_HOME`, else the place that the platform has for a user's data. */
function deviceFolder(): string {
  const { FMTP_HOME, XDG_DATA_HOME, APPDATA } = process.env
  if (FMTP_HOME !== undefined) return FMTP_HOME
  if (process.platform === 'win32') return join(APPDATA ?? homedir(), 'fmtp')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'fmtp')
  return join(XDG_DATA_HOME ?? join(homedir(), '.local', 'share'), 'fmtp')
}

export function saveDevice(device: Device): string {
  const folder = deviceFolder()
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, `${device.address}.json`)
  writeKeyFile(file, `${JSON.stringify(device, undefined, 2)}\n`)
  return file
}

/**
 * The device of this address, or the only one there is.
 * @throws {FmtpError} FMTP_NOT_FOUND with what to do
 */
export function requireDevice(address: string | undefined): Device {
  const folder = deviceFolder()
  const files = existsSync(folder) ? readdirSync(folder).filter(name => name.endsWith('.json')) : []
  const wanted = address === undefined ? undefined : `${parseAddress(address)}.json`
  if (wanted === undefined && files.length > 1) {
    const names = files.map(name => name.slice(0, -'.json'.length)).join(', ')
    throw new FmtpError(
      'FMTP_NOT_FOUND',
      `several people are logged in here (${names}); say which with --as ADDRESS`,
    )
  }
  const file = wanted ?? files[0]
  if (file === undefined || !files.includes(file)) {
    throw new FmtpError(
      'FMTP_NOT_FOUND',
      `${address === undefined ? 'nobody is' : `${address} is not`} logged in here; run: fmtp login LINK`,
    )
  }
  return JSON.parse(readFileSync(join(folder, file), 'utf8')) as Device
}

export function devicePair(device: Device) {
  return parsePrivatePem(device.key)
}
