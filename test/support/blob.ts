/** Blobs in tests: put and got by HTTP as users do, and looked for on the disk of a server. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Text } from '../../objects/seals/keys.ts'
import type { Message } from '../../schemas/kinds/message.ts'
import type { Address } from '../../schemas/text/names.ts'
import { openCore } from '../../server/core/core.ts'
import { verifyStore } from '../../server/verify/verify.ts'
import { proveHttp } from '../../wire/http-proof.ts'
import type { Person, Site, TestServer } from './network.ts'

/** The name of the blob. */
export async function putBlob(
  server: Pick<TestServer, 'origin'>,
  person: Pick<Person, 'address' | 'signer'>,
  bytes: Uint8Array,
  atMs = Date.now(),
): Promise<string> {
  const name = sha256Text(bytes)
  const path = `/blobs/${name}`
  const asked = { as: person.address as Address, method: 'PUT', path, atMs }
  const response = await fetch(server.origin + path, {
    method: 'PUT',
    headers: { Authorization: proveHttp(asked, person.signer) },
    body: new Uint8Array(bytes),
  })
  assert.ok(response.ok, String(response.status))
  return name
}

export type Attachment = NonNullable<Message['attachments']>[number]

/** What an object says of a blob. */
export function attachmentOf(bytes: Uint8Array, more: Partial<Attachment> = {}): Attachment {
  const secret = randomBytes(16).toString('base64url')
  return {
    name: 'raven.bin',
    format: 'image/png',
    bytes: bytes.length,
    sha256: sha256Text(bytes),
    secret,
    ...more,
  }
}

/** Status and bytes of a GET, as somebody or with a secret. */
export async function getBlob(
  origin: string,
  sha256: string,
  { as, secret, atMs = Date.now() }: { as?: Person; secret?: string | undefined; atMs?: number },
): Promise<readonly [number, Buffer]> {
  const path = `/blobs/${sha256}`
  const asked = { as: as?.address as Address, method: 'GET', path, atMs }
  const headers = as === undefined ? {} : { Authorization: proveHttp(asked, as.signer) }
  const response = await fetch(`${origin}${path}${secret === undefined ? '' : `?s=${secret}`}`, { headers })
  return [response.status, Buffer.from(await response.arrayBuffer())]
}

/** The file of a blob that is whole. */
export const blobFile = ({ folder }: Site, name: string): string =>
  join(folder, 'data', 'blobs', name.slice(0, 2), name.slice(2))

/** How many bytes of blobs came that are not whole. */
export function partialBytes({ folder }: Site): number {
  const path = join(folder, 'data', 'blobs', 'partials')
  const sizeOf = (name: string): number => statSync(join(path, name), { throwIfNoEntry: false })?.size ?? 0
  return existsSync(path) ? readdirSync(path).reduce((sum, name) => sum + sizeOf(name), 0) : 0
}

/** What `fmtp verify` finds in the store of a server that has stopped. */
export async function findFaults({ config }: Site): Promise<readonly unknown[]> {
  await using core = await openCore(config)
  const ports = { onProgress: () => undefined, signal: new AbortController().signal }
  return (await verifyStore(core, ports)).found
}
