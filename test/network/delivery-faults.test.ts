/**
 * Delivery between servers that are processes of their own while something is wrong (protocol §10.4): the right outcome, told
 * to the author, and nobody else kept waiting.
 */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import type { FmtpObject, Unsealed } from '../../schemas/object.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import type { StateResult } from '../../server/delivery/status/results.ts'
import { waitUntil } from '../support/conditions.ts'
import { runFmtp } from '../support/fmtp-process.ts'
import { handMessage, handUser } from '../support/hand.ts'
import { type HandServer, handServer, knowsNobody } from '../support/hand-server.ts'
import { ownAddress } from '../support/loopback.ts'
import { Network, type Person } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'
import { rawTls } from '../support/raw.ts'

describe('delivery where something is wrong', function () {
  this.timeout(60_000)
  const [lost, annabel] = ['lost@lenore.org', 'annabel@raven.example'] as const
  let network: Network
  let poe: ServerProcess
  let lenore: ServerProcess
  let edgar: Person
  let client: Connection
  let raven: HandServer
  let lastId = 0

  beforeEach(async () => {
    network = await Network.start()
    poe = await startProcess(network, 'poe.net')
    lenore = await startProcess(network, 'lenore.org')
    edgar = await poe.enrol('edgar@poe.net')
    await lenore.enrol(lost)
    client = await poe.connect(edgar)
    const certificate = await makeCertificate('raven.example', Date.now())
    const place = { name: 'raven.example', address: ownAddress(201), ...certificate }
    raven = await handServer(network, place, () => knowsNobody)
  })

  afterEach(async () => {
    client.close()
    await raven[Symbol.asyncDispose]()
    await poe[Symbol.asyncDispose]()
    await lenore[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  async function write(to: readonly string[], more: object = {}): Promise<string> {
    const id = makeObjectId(`m${++lastId}`, 'edgar@poe.net' as Name)
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to, ...more }
    const { outcome, code } = await client.describe({ object })
    assert.equal(outcome, 'stored', code)
    return id
  }

  async function stateOf(id: string, to: string): Promise<StateResult | undefined> {
    const { answer } = await client.request({ id })
    return ((answer.results ?? []) as StateResult[]).find(each => each.for === to)
  }

  const become = (id: string, to: string, outcome: string, code?: string): Promise<StateResult> =>
    waitUntil(
      `${id} is ${outcome} for ${to}`,
      async () => {
        const state = await stateOf(id, to)
        return state?.outcome === outcome && (code === undefined || state.code === code) ? state : undefined
      },
      10_000,
    )

  async function boxOf(address: string, kind: string): Promise<FmtpObject[]> {
    const reader = await lenore.connect(await lenore.enrol(address))
    const { describes } = await reader.request({ list: { of: 'box', owner: address, kind } })
    reader.close()
    return describes.map(({ object }) => object as FmtpObject)
  }

  const messagesTo = (frames: HandServer['frames'], id: string) =>
    frames.filter(({ verb, object }) => verb === 'describe' && (object as FmtpObject).id === id)

  it('an answer that is lost after the other has stored: it is asked again, and counts once', async () => {
    const stored = new Set<string>()
    raven.answer = (frame, socket) => {
      if (frame.verb === 'request') return knowsNobody
      const { id } = frame.object as FmtpObject
      if (stored.has(id)) return { outcome: 'duplicate' }
      stored.add(id)
      socket.destroy()
      return undefined
    }
    const id = await write([annabel])
    await waitUntil('it came', () => stored.has(id))
    await waitUntil('it comes again', async () => {
      await poe.advance(61_000)
      return messagesTo(raven.frames, id).length > 1
    })
    await become(id, annabel, 'stored')
    assert.equal(messagesTo(raven.frames, id).length, 2)
    const versions = messagesTo(raven.frames, id).map(({ object }) => (object as FmtpObject).hash)
    assert.equal(new Set(versions).size, 1, 'it is the very same')
  })

  it('the same in the other direction: a peer that sends again what is here is told so', async () => {
    const bob = handUser(raven.domain, 'bob@raven.example')
    const message = handMessage(bob, [lost])
    const outcomes: unknown[] = []
    for (let time = 0; time < 3; time++) {
      const end = await rawTls(lenore.address, lenore.port, 'lenore.org')
      await end.hello('lenore.org', { as: raven.domain.name, signer: raven.domain.signer })
      const frame = { verb: 'describe', n: 1, object: message, for: [lost] }
      if (time === 0) {
        // Gone before the answer, which nobody reads.
        end.sendFrame(frame)
        await waitUntil('it is here', async () => (await boxOf(lost, 'message')).length === 1)
      } else outcomes.push((await end.ask(frame)).outcome)
      end.close()
      if (time === 1) {
        await lenore.kill()
        lenore = await startProcess(network, 'lenore.org')
      }
    }
    assert.deepEqual(outcomes, ['duplicate', 'duplicate'])
    assert.equal((await boxOf(lost, 'message')).length, 1)
  })

  it('a peer that never answers keeps nobody else waiting', async () => {
    raven.answer = frame => (frame.verb === 'request' ? knowsNobody : undefined)
    const silent = await Promise.all(Array.from({ length: 20 }, () => write([annabel])))
    await waitUntil('they stand there', () => messagesTo(raven.frames, silent[0] ?? '').length > 0)
    for (let count = 0; count < 5; count++) await become(await write([annabel, lost]), lost, 'stored')
    assert.notEqual((await stateOf(silent[0] ?? '', annabel))?.outcome, 'stored')
  })

  it('a disk without room at the receiver: the author is told, and it comes when there is some', async () => {
    await lenore.stop()
    lenore = await startProcess(network, 'lenore.org', { limits: { freeBytes: 2 ** 50 } })
    const id = await write([lost])
    await become(id, lost, 'trying', 'FMTP_FULL')
    await lenore.stop()
    lenore = await startProcess(network, 'lenore.org')
    await waitUntil('it is stored', async () => {
      await poe.advance(61_000)
      return (await stateOf(id, lost))?.outcome === 'stored'
    })
    assert.equal((await boxOf(lost, 'message')).length, 1)
  })

  it('a clock that is 10 minutes ahead: the author learns why it waits, and it comes when time has passed', async () => {
    await poe.advance(600_000)
    const ahead = await write([lost])
    await become(ahead, lost, 'trying', 'FMTP_FROM_FUTURE')
    await lenore.advance(600_000)
    await waitUntil('it is stored', async () => {
      await poe.advance(61_000)
      return (await stateOf(ahead, lost))?.outcome === 'stored'
    })
  })

  it('a clock that is 10 minutes behind is no fault', async () => {
    await lenore.advance(600_000)
    await become(await write([lost]), lost, 'stored')
  })

  it('a peer that sends reports it does not owe is believed nothing', async () => {
    const mine = await write([annabel])
    await become(mine, annabel, 'absent')
    const group = handUser(raven.domain, 'ravens@raven.example')
    const nowMs = Date.now()
    const said = { about: mine, aboutVersion: 1, outcome: 'failed', recipient: annabel, public: false }
    const report = (owner: string, from: typeof group): FmtpObject =>
      sealObject(
        {
          ...{ ...said, kind: 'report', owner, id: `r1.${owner}` },
          ...{ createdAt: new Date(nowMs).toISOString(), version: nowMs },
        } as unknown as Unsealed<Report>,
        from,
      ).object
    const end = await rawTls(poe.address, poe.port, 'poe.net')
    await end.hello('poe.net', { as: raven.domain.name, signer: raven.domain.signer })
    const ofDomain = handUser(raven.domain, 'raven.example')
    for (const [n, object] of [report('raven.example', ofDomain), report(group.address, group)].entries()) {
      const answer = await end.ask({ verb: 'describe', n: n + 1, object, for: [edgar.address] })
      assert.equal(answer.code, 'FMTP_NOT_OWED')
    }
    const { describes } = await client.request({ list: { of: 'box', owner: edgar.address, kind: 'report' } })
    const ids = describes.map(({ object }) => (object as FmtpObject).id)
    assert.ok(
      ids.every(id => id.endsWith('.poe.net')),
      String(ids),
    )
    end.close()
    await runFmtp('verify', '--config', poe.config.file)
  })

  it('one message to many at a domain is one transfer', async () => {
    raven.answer = frame => (frame.verb === 'request' ? knowsNobody : { outcome: 'stored' })
    const many = Array.from({ length: 300 }, (_, at) => `reader${at}@raven.example`)
    const id = await write(many)
    await become(id, 'reader299@raven.example', 'stored')
    const transfers = messagesTo(raven.frames, id)
    assert.equal(transfers.length, 1)
    assert.deepEqual(transfers[0]?.for, many)
  })
})
