/**
 * `backup`, the action: a copy of the data folder and the config that can be restored on an empty machine, made while the
 * server writes. The store is read from one snapshot, and what it refers to is copied after: keys and blobs of a moment
 * ago are still there, for nothing of them is ever changed, and nothing is removed meanwhile.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize, relative, sep } from 'node:path'
import type { Snapshot } from '../../objects/store/engine/database.ts'
import { writeStore } from '../../objects/store/engine/leveldb.ts'
import { FmtpError } from '../../schemas/failures.ts'
import { syncFolder } from '../accounts/key-file.ts'
import type { Core } from '../core/core.ts'
import type { ActionPorts } from '../operator/action.ts'
import { copyFile, listFiles, makeDraftFolder, sumFile, syncFile, syncFolders } from './files.ts'
import {
  configName,
  formatManifest,
  manifestName,
  RecordSum,
  type SavedFile,
  savedFolders,
} from './manifest.ts'

export interface BackupResult {
  readonly folder: string
  readonly records: number
  readonly files: number
  readonly bytes: number
  /** Files that the config names and that are not in the backup. */
  readonly missing: readonly string[]
  /** An unfinished backup stood in the way and was replaced. */
  readonly isReplacing: boolean
}

const underWay = new Set<string>()

/**
 * Makes a backup in a folder that does not exist.
 * @throws {FmtpError} FMTP_BAD_FRAME, FMTP_NOT_ALLOWED; the reason of the signal. Nothing is left behind.
 */
export async function backUp(
  core: Pick<Core, 'config' | 'clock' | 'database' | 'removals'>,
  args: Readonly<Record<string, unknown>>,
  ports: ActionPorts,
): Promise<BackupResult> {
  const folder = requireFree(args.folder, core.config.data)
  const draft = `${folder}.partial`
  underWay.add(folder)
  try {
    const isReplacing = makeDraftFolder(draft, [...savedFolders, configName, manifestName])
    try {
      using _ = await core.removals.hold()
      const files = await fill(draft, core, ports)
      ports.signal.throwIfAborted()
      renameSync(draft, folder)
      syncFolder(dirname(folder))
      return { folder, ...files, missing: namedFiles(core.config), isReplacing }
    } catch (thrown) {
      rmSync(draft, { recursive: true, force: true })
      throw thrown
    }
  } finally {
    underWay.delete(folder)
  }
}

async function fill(
  draft: string,
  { config, clock, database }: Pick<Core, 'config' | 'clock' | 'database'>,
  { onProgress, signal }: ActionPorts,
): Promise<Pick<BackupResult, 'records' | 'files' | 'bytes'>> {
  const createdAt = new Date(clock.now()).toISOString()
  const sum = new RecordSum()
  {
    await using snapshot = database.snapshot()
    const total = await snapshot.count(signal)
    await writeStore(join(draft, 'store'), watched(snapshot))
    async function* watched(from: Snapshot) {
      for await (const rows of from.batches()) {
        signal.throwIfAborted()
        sum.add(rows)
        onProgress({ what: 'records', done: sum.count, total })
        yield rows
      }
    }
  }
  const files: SavedFile[] = []
  for (const name of listFiles(join(draft, 'store'))) {
    const file = join(draft, 'store', name)
    // LevelDB makes these anew.
    if (/^LO(CK|G|G\.old)$/.test(name)) rmSync(file)
    else {
      await syncFile(file)
      files.push({ path: `store/${name}`, ...(await sumFile(file, signal)) })
    }
  }
  const others = savedFolders
    .filter(name => name !== 'store')
    .flatMap(name => listFiles(join(config.data, name)).map(file => `${name}/${file}`))
    // Drafts of files that are being written.
    .filter(path => !/\.(new|partial|tmp)$/.test(path) && !/^blobs\/(drafts|partials)\//.test(path))
  for (const [done, path] of others.entries()) {
    const copied = await copyFound(join(config.data, path), join(draft, path), signal)
    if (copied !== undefined) files.push({ path, ...copied })
    onProgress({ what: 'files', done: done + 1, total: others.length })
  }
  files.push({ path: configName, ...(await copyFile(config.file, join(draft, configName), signal)) })
  const records = sum.records()
  const manifest = formatManifest({
    createdAt,
    storeVersion: database.version,
    epoch: database.epoch,
    records,
    files,
  })
  writeFileSync(join(draft, manifestName), manifest, { mode: 0o600, flush: true })
  syncFolders(draft)
  const bytes = files.reduce((all, file) => all + file.bytes, 0)
  return { records: records.count, files: files.length, bytes }
}

/** `undefined`: it is a blob that was put aside since it was listed, because its bytes were damaged. */
async function copyFound(from: string, to: string, signal: AbortSignal) {
  try {
    return await copyFile(from, to, signal)
  } catch (thrown) {
    const isGone = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT'
    if (!isGone || !to.includes(`${sep}blobs${sep}`)) throw thrown
    rmSync(to, { force: true })
    return undefined
  }
}

/** @throws {FmtpError} FMTP_BAD_FRAME, FMTP_NOT_ALLOWED */
function requireFree(folder: unknown, data: string): string {
  if (typeof folder !== 'string' || !isAbsolute(folder) || normalize(folder) !== folder)
    throw new FmtpError('FMTP_BAD_FRAME', 'folder must be an absolute path')
  if (underWay.has(folder))
    throw new FmtpError(
      'FMTP_NOT_ALLOWED',
      `another backup to ${folder} is being made: wait until it has ended`,
    )
  if (existsSync(folder))
    throw new FmtpError(
      'FMTP_NOT_ALLOWED',
      `${folder} exists, and a backup never overwrites anything: name a folder that does not exist`,
    )
  const within = relative(data, folder)
  if (!within.startsWith('..') && !isAbsolute(within))
    throw new FmtpError(
      'FMTP_NOT_ALLOWED',
      `${folder} is in the data folder, and would be lost with it: name a folder elsewhere, best on another disk`,
    )
  return folder
}

/** What the config names outside the data folder is the operator's own to save. */
function namedFiles({ http, tls, data }: Core['config']): string[] {
  return [http.certificate, http.key, tls.ca].filter(file => {
    if (file === '') return false
    const within = relative(data, file)
    return within.startsWith('..') || !savedFolders.includes(within.split(/[/\\]/)[0] ?? '')
  })
}
