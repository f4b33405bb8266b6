/** Puts bytes onto a server as one of its users does, by HTTP. */
import assert from 'node:assert/strict'
import { sha256Text } from '../../objects/keys.ts'
import type { Address } from '../../schemas/names.ts'
import { proveHttp } from '../../wire/http-proof.ts'
import type { Person, TestServer } from './network.ts'

/** The name of the blob. */
export async function putBlob(
  server: Pick<TestServer, 'origin'>,
  person: Person,
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
