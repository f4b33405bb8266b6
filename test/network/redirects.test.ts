/**
 * Who answers by HTTP that it is elsewhere is not followed (protocol §10.3): what may be dialled was judged of the first place
 * alone, and a home has no business with what else a client can reach.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server as NetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dialOrigin } from '../../client/dial.ts'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { generateKeyPair, privatePem } from '../../objects/seals/keys.ts'
import { createNote } from '../../routing/ladder.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { type Address, parseDomain } from '../../schemas/text/names.ts'
import { saveAll, uploadAll } from '../../server/cli/people/attach.ts'
import type { Device } from '../../server/cli/people/identity.ts'
import { dialChannel } from '../../server/transports/dial.ts'
import { attachmentOf } from '../support/blob.ts'
import { MovableClock } from '../support/clock.ts'
import { assertCode } from '../support/conditions.ts'
import { ownAddress } from '../support/loopback.ts'

const address = ownAddress(201)

describe('a redirect', () => {
  let inside: Server
  let moved: Server
  let folder: string
  let calls: string[]
  let asked: number

  async function listen(server: NetServer): Promise<number> {
    await new Promise<void>(resolve => server.listen(0, address, resolve))
    return (server.address() as AddressInfo).port
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-redirect-'))
    calls = []
    asked = 0
    inside = createServer(({ method = '', url = '' }, response) => {
      calls.push(`${method} ${url}`)
      response.end()
    })
    inside.on('upgrade', (request, socket) => {
      calls.push(`upgrade ${request.url}`)
      socket.destroy()
    })
    const port = await listen(inside)
    moved = createServer((request, response) => {
      asked++
      request.resume()
      response.writeHead(302, { Location: `http://${address}:${port}${request.url}` }).end('{}')
    })
    await listen(moved)
  })

  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true })
    for (const server of [inside, moved]) {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  })

  const originOf = (server: Server): string => `http://${address}:${(server.address() as AddressInfo).port}`

  function device(): Device {
    return {
      address: 'edgar@poe.net' as Address,
      origin: originOf(moved),
      domainThumbprint: '',
      key: privatePem(generateKeyPair()),
      credential: '',
    }
  }

  it('is not followed where a client fetches an attachment', async () => {
    const attachment = attachmentOf(randomBytes(10))
    const object = { kind: 'message', attachments: [attachment] } as unknown as FmtpObject
    await assertCode('FMTP_BUSY', () => saveAll(device(), object, join(folder, 'got')))
    assert.deepEqual([asked, calls], [1, []])
    assert.ok(!existsSync(join(folder, 'got', String(attachment.name))))
  })

  it('is not followed where a client uploads one', async () => {
    const file = join(folder, 'raven.png')
    writeFileSync(file, randomBytes(10))
    await assertCode('FMTP_BUSY', () => uploadAll(device(), [file]))
    assert.deepEqual([asked, calls], [1, []])
  })

  it('is not followed where a client connects', async () => {
    await assertCode('FMTP_CONNECT_FAILED', () => dialOrigin(originOf(moved)))
    assert.deepEqual([asked, calls], [1, []])
  })

  it('is not followed where a server calls a contact', async () => {
    const { cert, key } = await makeCertificate('localhost', Date.now())
    const at = `wss://localhost:${(inside.address() as AddressInfo).port}/fmtp`
    const contact = createTlsServer({ cert, key }, (_, response) => {
      asked++
      response.writeHead(302, { Location: at.replace('wss', 'ws') }).end()
    })
    const port = await listen(contact)
    const to = parseDomain('lenore.org')
    const target = {
      protocol: 'wss',
      host: 'localhost',
      address,
      port,
      to,
      as: parseDomain('poe.net'),
    } as const
    const clock = new MovableClock()
    const note = createNote('contact', { clock })
    const { signal } = new AbortController()
    await assertCode('FMTP_CONNECT_FAILED', () => dialChannel(target, { note, signal, ca: [cert], clock }))
    assert.deepEqual([asked, calls], [1, []])
    contact.closeAllConnections()
    await new Promise(resolve => contact.close(resolve))
  })
})
