/**
 * `manifest.json` of a backup: what it holds, with a sum of each file and one of all rows of the store, so that a restore
 * knows that it gives back what was saved. It carries its own sum.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Row } from '../../objects/store/engine/leveldb.ts'
import { FmtpError } from '../../schemas/failures.ts'

export const manifestName = 'manifest.json'
export const configName = 'fmtp.conf'
/** Folders of a data folder that are saved. */
export const savedFolders: readonly string[] = ['store', 'keys', 'tls', 'blobs']

const format = 1

export interface SavedFile {
  /** Inside the backup, with slashes. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

export interface Records {
  readonly count: number
  /** How many keys begin with each word. */
  readonly kinds: Readonly<Record<string, number>>
  /** Over all keys and values, in order of keys. */
  readonly sha256: string
}

export interface Manifest {
  readonly format: number
  readonly createdAt: string
  readonly storeVersion: string
  readonly epoch: string
  readonly records: Records
  readonly files: readonly SavedFile[]
}

export function formatManifest(fields: Omit<Manifest, 'format'>): string {
  const body = { format, ...fields }
  return `${JSON.stringify({ ...body, sha256: sumOf(JSON.stringify(body)) }, undefined, 1)}\n`
}

/** @throws {FmtpError} FMTP_NOT_FOUND where no backup is, FMTP_STORE when it is damaged or of another format */
export function readManifest(folder: string): Manifest {
  const file = join(folder, manifestName)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new FmtpError('FMTP_NOT_FOUND', `${folder} is no backup: there is no readable ${manifestName}`, {
      cause,
    })
  }
  let fields: Manifest & { sha256: unknown }
  try {
    fields = JSON.parse(text)
  } catch (cause) {
    throw damaged(folder, manifestName, 'is no JSON', cause)
  }
  const { sha256, ...body } = fields
  if (sumOf(JSON.stringify(body)) !== sha256) throw damaged(folder, manifestName, 'is not what was written')
  if (body.format !== format)
    throw new FmtpError(
      'FMTP_STORE',
      `${folder} has format ${body.format}, and this version knows ${format}: use the version that made it`,
    )
  return body
}

/** What a person is told of a backup that can not be trusted. */
export function damaged(folder: string, name: string, why: string, cause?: unknown): FmtpError {
  return new FmtpError(
    'FMTP_STORE',
    `the backup ${folder} is damaged: ${name} ${why}.\nNothing was restored. Take another copy of it, or an older backup.`,
    cause === undefined ? {} : { cause },
  )
}

/** Counts rows and sums them up, as they go by. */
export class RecordSum {
  readonly #hash = createHash('sha256')
  readonly #kinds: Record<string, number> = {}
  #count = 0

  add(rows: readonly Row[]): void {
    let text = ''
    for (const [key, value] of rows) {
      // Lengths in front, so that nothing can move between a key and its value.
      text += `${key.length} ${value.length}\n${key}${value}`
      const kind = key.slice(0, key.indexOf(' '))
      this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1
    }
    this.#hash.update(text)
    this.#count += rows.length
  }

  get count(): number {
    return this.#count
  }

  /** Ends the sum. */
  records(): Records {
    return { count: this.#count, kinds: this.#kinds, sha256: this.#hash.digest('hex') }
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
