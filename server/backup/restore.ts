/**
 * Puts a backup back where nothing is: every sum of its manifest is checked before anything gets its name. The backup
 * itself is only read, so that it can be on a medium that takes no writes, and tried again.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { keyOf } from '../../objects/store/layout.ts'
import { openDatabase } from '../../objects/store/open.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { syncFolder } from '../accounts/key-file.ts'
import { loadConfig } from '../config/load.ts'
import type { Restored } from '../delivery/resync/received.ts'
import type { ActionPorts } from '../operator/action.ts'
import { configText } from './config-text.ts'
import { copyFile, makeDraftFolder, sumFile, syncFolders } from './files.ts'
import { configName, damaged, type Manifest, RecordSum, readManifest, savedFolders } from './manifest.ts'

export interface RestoreOptions {
  /** Absolute paths, all three. */
  readonly folder: string
  readonly config: string
  /** Where the data goes; as the config says where it is missing. */
  readonly data: string | undefined
}

export interface RestoreResult {
  readonly config: string
  readonly data: string
  /** When the backup was made. */
  readonly createdAt: string
  readonly records: number
  readonly files: number
}

/**
 * Restores config and data.
 * @throws {FmtpError} FMTP_NOT_ALLOWED where something is in the way, FMTP_STORE for a damaged backup, FMTP_NOT_FOUND for
 * none; the reason of the signal. Nothing is left behind.
 */
export async function restore(options: RestoreOptions, ports: ActionPorts): Promise<RestoreResult> {
  const { folder, config } = options
  const manifest = readManifest(folder)
  if (existsSync(config)) throw inTheWay(config, 'Move it away, or name another with --config.')
  const configDraft = `${config}.partial`
  try {
    const data = await restoreConfig(options, manifest, configDraft, ports.signal)
    if (existsSync(data) && readdirSync(data).length > 0)
      throw inTheWay(data, 'Move it away, or name another folder with --data.')
    await restoreData(folder, data, manifest, ports)
    renameSync(configDraft, config)
    syncFolder(dirname(config))
    const { createdAt, records, files } = manifest
    return { config, data, createdAt, records: records.count, files: files.length }
  } finally {
    rmSync(configDraft, { force: true })
  }
}

/** Writes the config beside its place, and gives the folder that it says its data is in. */
async function restoreConfig(
  { folder, data }: RestoreOptions,
  manifest: Manifest,
  draft: string,
  signal: AbortSignal,
): Promise<string> {
  const file = join(folder, configName)
  await requireSum(folder, manifest, configName, () => sumFile(file, signal))
  // Beside its place, because paths in it go from there.
  const write = (text: string): void => writeFileSync(draft, text, { mode: 0o600, flush: true })
  const text = readFileSync(file, 'utf8')
  write(text)
  const said = loadConfig(draft).data
  if (data === undefined || data === said) return said
  write(configText(text, data))
  if (loadConfig(draft).data !== data)
    throw new FmtpError(
      'FMTP_CONFIG',
      `the config can not be made to say data = "${data}": restore without --data`,
    )
  return data
}

async function restoreData(
  folder: string,
  data: string,
  manifest: Manifest,
  { onProgress, signal }: ActionPorts,
): Promise<void> {
  const draft = `${data}.partial`
  makeDraftFolder(draft, [...savedFolders, 'lock'])
  try {
    const total = manifest.files.length
    for (const [done, { path }] of manifest.files.entries()) {
      if (path !== configName) {
        requireInside(folder, path)
        await requireSum(folder, manifest, path, () =>
          copyFile(join(folder, path), join(draft, path), signal),
        )
      }
      onProgress({ what: 'files', done: done + 1, total })
    }
    await checkStore(folder, draft, manifest, { onProgress, signal })
    syncFolders(draft)
    // An empty folder is as good as none.
    if (existsSync(data)) rmdirSync(data)
    renameSync(draft, data)
    syncFolder(dirname(data))
  } catch (thrown) {
    rmSync(draft, { recursive: true, force: true })
    throw thrown
  }
}

/** Reads the whole copy of the store, and gives it a new epoch: a cursor of the lost one may be ahead of it. */
async function checkStore(
  folder: string,
  draft: string,
  { records, createdAt }: Manifest,
  { onProgress, signal }: ActionPorts,
): Promise<void> {
  await using database = await openDatabase(
    draft,
    () => undefined,
    () => '',
    { keepsVersion: true },
  )
  const sum = new RecordSum()
  await using snapshot = database.snapshot()
  for await (const rows of snapshot.batches()) {
    signal.throwIfAborted()
    sum.add(rows)
    onProgress({ what: 'records', done: sum.count, total: records.count })
  }
  const found = sum.records()
  if (found.sha256 !== records.sha256)
    throw damaged(folder, 'store', `holds ${found.count} records, not the ${records.count} that were saved`)
  // Peers are asked for what they delivered since (protocol §10.6).
  const restored: Restored = { atMs: Date.now(), backupAtMs: Date.parse(createdAt) }
  await database.commit([
    {
      puts: [
        [keyOf.meta('epoch'), randomBytes(4).toString('hex')],
        [keyOf.meta('restored'), JSON.stringify(restored)],
      ],
    },
  ])
}

async function requireSum(
  folder: string,
  manifest: Manifest,
  path: string,
  read: () => Promise<{ readonly bytes: number; readonly sha256: string }>,
): Promise<void> {
  const saved = manifest.files.find(file => file.path === path)
  if (saved === undefined || !existsSync(join(folder, path))) throw damaged(folder, path, 'is missing')
  const { bytes, sha256 } = await read()
  if (bytes !== saved.bytes) throw damaged(folder, path, `has ${bytes} bytes, and had ${saved.bytes}`)
  if (sha256 !== saved.sha256) throw damaged(folder, path, 'is not what was saved: its sum is another')
}

/** A manifest may come from anywhere: nothing is written beside the data folder. */
function requireInside(folder: string, path: string): void {
  const isInside = posix.normalize(path) === path && !path.includes('\\')
  if (!isInside || !savedFolders.includes(path.split('/')[0] ?? ''))
    throw damaged(folder, path, 'is no file of a data folder')
}

function inTheWay(path: string, advice: string): FmtpError {
  return new FmtpError(
    'FMTP_NOT_ALLOWED',
    `${path} exists, and a restore never overwrites anything.\n${advice}`,
  )
}
