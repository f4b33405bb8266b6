/** Files of a person as blobs (protocol §9.8): uploaded before the object that names them, fetched for one that does. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, mkdirSync, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { signerOf } from '../../../objects/seals/keys.ts'
import { type FailureCode, FmtpError, findFailure } from '../../../schemas/failures.ts'
import type { Message } from '../../../schemas/kinds/message.ts'
import type { FmtpObject } from '../../../schemas/object.ts'
import { proveHttp } from '../../../wire/http-proof.ts'
import { type Device, devicePair } from './identity.ts'

type Attachment = NonNullable<Message['attachments']>[number]

const formats: Readonly<Record<string, string>> = {
  '.gif': 'image/gif',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.md': 'text/markdown',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.ogg': 'audio/ogg',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.txt': 'text/plain',
  '.webm': 'video/webm',
  '.webp': 'image/webp',
}

/** A server sends nobody on: else it could make this machine knock at doors inside its own network. */
const toItselfAlone = { redirect: 'manual' } as const

/** Uploads files to the home of a device, and gives what an object says of them. */
export async function uploadAll(device: Device, files: readonly string[]): Promise<Attachment[]> {
  const attachments: Attachment[] = []
  for (const file of files) attachments.push(await upload(device, file))
  return attachments
}

async function upload(device: Device, file: string): Promise<Attachment> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  const sha256 = hash.digest('base64url')
  const bytes = statSync(file).size
  const path = `/blobs/${sha256}`
  const response = await fetch(device.origin + path, {
    method: 'PUT',
    ...toItselfAlone,
    headers: { Authorization: proofOf(device, 'PUT', path), 'Content-Length': String(bytes) },
    body: Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>,
    duplex: 'half',
  } as RequestInit)
  if (!response.ok) throw await failureOf(response, file)
  const format = formats[extname(file).toLowerCase()] ?? 'application/octet-stream'
  const secret = randomBytes(16).toString('base64url')
  return { name: basename(file), format, bytes, sha256, secret }
}

/** Writes what an object carries into a folder, under names of its own where the object's would leave it. */
export async function saveAll(device: Device, object: FmtpObject, folder: string): Promise<void> {
  const { attachments = [] } = object as Message
  mkdirSync(folder, { recursive: true })
  for (const { name, sha256, secret } of attachments) {
    const path = `/blobs/${sha256}`
    const query = secret === undefined ? '' : `?s=${secret}`
    const headers = { Authorization: proofOf(device, 'GET', path) }
    const response = await fetch(device.origin + path + query, { ...toItselfAlone, headers })
    if (!response.ok || response.body === null) throw await failureOf(response, name)
    const file = join(folder, safeName(name, sha256))
    // A file that is there is somebody's: it is not written over.
    await pipeline(
      Readable.fromWeb(response.body as ReadableStream),
      checked(sha256),
      createWriteStream(file, { flags: 'wx' }),
    )
    process.stderr.write(`${file}\n`)
  }
}

function checked(sha256: string) {
  return async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const hash = createHash('sha256')
    for await (const chunk of source) {
      hash.update(chunk)
      yield chunk
    }
    if (hash.digest('base64url') !== sha256)
      throw new FmtpError('FMTP_BLOB_HASH', 'what the server sent is not what the object names')
  }
}

function safeName(name: string, sha256: string): string {
  const base = basename(name.replaceAll('\\', '/')).replaceAll(/\p{Cc}/gu, '')
  return base === '' || base.startsWith('.') ? sha256 : base
}

function proofOf(device: Device, method: string, path: string): string {
  return proveHttp({ as: device.address, method, path, atMs: Date.now() }, signerOf(devicePair(device)))
}

async function failureOf(response: Response, what: string): Promise<FmtpError> {
  const { code = '' } = (await response.json().catch(() => ({}))) as { code?: string }
  const known = findFailure(code) === undefined ? 'FMTP_BUSY' : (code as FailureCode)
  return new FmtpError(known, `${what}: the server answered ${response.status}`)
}
