/**
 * What a server tells of what it delivers (protocol §10.4, §10.5): the state of each recipient at any time, and a report
 * where something is late, refused or given up; between servers that are processes of their own, over days of their clocks.
 */
import assert from 'node:assert/strict'
import type { Connection } from '../../client/connection.ts'
import { makeCertificate } from '../../objects/seals/certificate.ts'
import type { Report } from '../../schemas/kinds/report.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { makeObjectId, type Name } from '../../schemas/text/names.ts'
import type { StateResult } from '../../server/delivery/status/results.ts'
import { waitUntil } from '../support/conditions.ts'
import { runFmtp } from '../support/fmtp-process.ts'
import { type HandServer, handServer, knowsNobody } from '../support/hand-server.ts'
import { ownAddress } from '../support/loopback.ts'
import { Network, type Person } from '../support/network.ts'
import { type ServerProcess, startProcess } from '../support/process.ts'

const [minuteMs, hourMs, dayMs] = [60_000, 3_600_000, 86_400_000]

describe('what is told of deliveries', function () {
  this.timeout(60_000)
  const [lost, alice, bob] = ['lost@lenore.org', 'alice@lenore.org', 'bob@lenore.org'] as const
  let network: Network
  let poe: ServerProcess
  let lenore: ServerProcess
  let edgar: Person
  let client: Connection
  let aheadMs: number
  let lastId = 0

  beforeEach(async () => {
    aheadMs = 0
    network = await Network.start()
    poe = await startProcess(network, 'poe.net')
    lenore = await startProcess(network, 'lenore.org')
    edgar = await poe.enrol('edgar@poe.net')
    for (const name of ['lost', 'alice', 'bob']) await lenore.enrol(`${name}@lenore.org`)
    client = await poe.connect(edgar)
    // Each has heard from the other, and says hello when it was away.
    await become(await write([bob]), { [bob]: 'stored' })
  })

  afterEach(async () => {
    client.close()
    await poe[Symbol.asyncDispose]()
    await lenore[Symbol.asyncDispose]()
    await network[Symbol.asyncDispose]()
  })

  /** Time passes at poe.net: by steps, so that what is due is done in between. */
  async function pass(ms: number, stepMs = hourMs): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await poe.advance(Math.min(left, stepMs))
      // Its timers have their turn before the next step.
      await new Promise(resolve => setTimeout(resolve, 15))
    }
    aheadMs += ms
  }

  async function bringBack(): Promise<void> {
    lenore = await startProcess(network, 'lenore.org', {}, aheadMs)
  }

  async function write(to: readonly string[], more: object = {}): Promise<string> {
    const id = makeObjectId(`m${++lastId}`, 'edgar@poe.net' as Name)
    const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to, ...more }
    const { outcome, code } = await client.describe({ object })
    assert.equal(outcome, 'stored', code)
    return id
  }

  async function states(id: string): Promise<StateResult[]> {
    const { answer } = await client.request({ id })
    return (answer.results ?? []) as StateResult[]
  }

  const outcomes = async (id: string): Promise<Record<string, string>> =>
    Object.fromEntries((await states(id)).map(each => [each.for, each.outcome]))

  const become = (id: string, wanted: Record<string, string>): Promise<unknown> =>
    waitUntil(
      `${id} becomes ${JSON.stringify(wanted)}`,
      async () => JSON.stringify(sorted(await outcomes(id))) === JSON.stringify(sorted(wanted)),
      10_000,
    )

  /** What edgar was told about an object, in the order in which it came; a newer version has taken the place of an older. */
  async function reports(about: string): Promise<Report[]> {
    const { describes } = await client.request({
      list: { of: 'box', owner: edgar.address, kind: 'report', order: 'newest', limit: 100 },
    })
    return describes.map(({ object }) => object as Report).filter(report => report.about === about)
  }

  const told = (about: string, outcome: string): Promise<Report> =>
    waitUntil(
      `edgar is told that ${about} is ${outcome}`,
      async () => (await reports(about)).find(report => report.outcome === outcome),
      10_000,
    )

  async function inBox(address: string): Promise<string[]> {
    const reader = await lenore.connect(await lenore.enrol(address))
    const { describes } = await reader.request({ list: { of: 'box', owner: address, kind: 'message' } })
    reader.close()
    return describes.map(({ object }) => (object as { id: string }).id).sort()
  }

  it('says at any time of each recipient: queued or trying, then since when it is stored', async () => {
    await lenore.stop()
    const id = await write([lost, alice])
    await become(id, { [lost]: 'trying', [alice]: 'trying' })
    const trying = await waitUntil('the first try has failed', async () => {
      const [state] = await states(id)
      return state?.code === undefined ? undefined : state
    })
    assert.ok(trying.nextAtMs !== undefined && trying.nextAtMs > Date.now())
    assert.equal(trying.attempts, 1)
    assert.match(String(trying.text), /./)
    await bringBack()
    await become(id, { [lost]: 'stored', [alice]: 'stored' })
    const [stored] = await states(id)
    assert.ok(Math.abs(Number(stored?.atMs) - Date.now()) < minuteMs)
    assert.deepEqual(await reports(id), [])
  })

  it('tells nobody but the author', async () => {
    const id = await write([lost])
    await become(id, { [lost]: 'stored' })
    const reader = await lenore.connect(await lenore.enrol(lost))
    const { answer } = await reader.request({ id })
    assert.deepEqual([answer.outcome, answer.results], ['found', undefined])
    reader.close()
  })

  it('reports once after four hours that it is late, over a crash, and then that it has come', async () => {
    await lenore.stop()
    const id = await write([lost])
    await become(id, { [lost]: 'trying' })
    await pass(3.9 * hourMs)
    assert.deepEqual(await reports(id), [])
    await pass(0.2 * hourMs, minuteMs)
    const late = await told(id, 'delayed')
    assert.deepEqual([late.recipient, late.recipients, late.owner], [lost, [lost], 'poe.net'])
    assert.ok((late.trail?.length ?? 0) > 0)
    await poe.kill()
    poe = await startProcess(network, 'poe.net', {}, aheadMs)
    client.close()
    client = await poe.connect(edgar)
    await pass(3 * hourMs)
    assert.deepEqual(
      (await reports(id)).map(({ version }) => version),
      [late.version],
    )
    await bringBack()
    await told(id, 'delivered')
    await become(id, { [lost]: 'stored' })
    assert.deepEqual(await inBox(lost), [id])
    await runFmtp('verify', '--config', poe.config.file)
  })

  it('delivers to a domain that was away for 4 days and 23 hours', async () => {
    await lenore.stop()
    const id = await write([lost])
    await become(id, { [lost]: 'trying' })
    await pass(4 * dayMs + 23 * hourMs)
    await told(id, 'delayed')
    await bringBack()
    await become(id, { [lost]: 'stored' })
    assert.deepEqual(await inBox(lost), [id])
  })

  it('gives up after five days, and says so', async () => {
    await lenore.stop()
    const id = await write([lost, alice])
    await become(id, { [lost]: 'trying', [alice]: 'trying' })
    await pass(6 * dayMs)
    const failed = await told(id, 'failed')
    assert.deepEqual([failed.recipient, failed.recipients], ['lenore.org', [lost, alice]])
    assert.match(String(failed.code), /^FMTP_/)
    await become(id, { [lost]: 'failed', [alice]: 'failed' })
    await bringBack()
    const next = await write([lost])
    // It does not remember whom to greet after so long, until somebody there writes.
    const reader = await lenore.connect(await lenore.enrol(lost))
    const hello = {
      id: `hello.${lost}`,
      kind: 'message',
      format: 'text/plain',
      body: 'Back',
      to: [edgar.address],
    }
    assert.equal((await reader.describe({ object: hello })).outcome, 'stored')
    reader.close()
    await become(next, { [lost]: 'stored' })
    assert.deepEqual(await inBox(lost), [hello.id, next].sort(), 'what was given up does not come after all')
  })

  it('reports at once what is refused, and by whom', async () => {
    const reader = await lenore.connect(await lenore.enrol(lost))
    const { describes } = await reader.request({ address: lost })
    const [{ encryptedKey: _, hash: __, ...user } = {} as FmtpObject] = describes.map(
      ({ object }) => object as FmtpObject,
    )
    await reader.describe({ object: { ...user, version: Date.now() + 1, blacklist: ['edgar@poe.net'] } })
    reader.close()
    const id = await write([lost, alice, 'nobody@lenore.org'])
    const failed = await waitUntil('edgar is told', async () => {
      const [report] = await reports(id)
      return report?.recipients?.length === 2 ? report : undefined
    })
    assert.deepEqual([failed.outcome, failed.recipients], ['failed', [lost, 'nobody@lenore.org']])
    await become(id, { [lost]: 'refused', [alice]: 'stored', 'nobody@lenore.org': 'absent' })
    assert.equal((await reports(id)).length, 1)
  })

  it('says of users of the same server who did not take it', async () => {
    const id = await write(['nobody@poe.net', lost])
    await become(id, { 'nobody@poe.net': 'absent', [lost]: 'stored' })
  })

  it('brings an edit and a deletion to all who were ever given it, and counts who has confirmed', async () => {
    const id = await write([lost, alice])
    await become(id, { [lost]: 'stored', [alice]: 'stored' })
    const edit = { id, kind: 'message', format: 'text/plain', body: 'Evermore', to: [bob] }
    assert.equal((await client.describe({ object: edit })).outcome, 'stored')
    const all = { [lost]: 'stored', [alice]: 'stored', [bob]: 'stored' }
    await become(id, all)
    await lenore.stop()
    assert.equal(
      (await client.describe({ object: { id, kind: 'message', deleted: true } })).outcome,
      'stored',
    )
    await become(id, { [lost]: 'trying', [alice]: 'trying', [bob]: 'trying' })
    await bringBack()
    await become(id, all)
    for (const address of Object.keys(all)) {
      const reader = await lenore.connect(await lenore.enrol(address))
      const { describes } = await reader.request({ id })
      assert.deepEqual(
        describes.map(({ object }) => (object as FmtpObject).deleted),
        [true],
        address,
      )
      reader.close()
    }
    const shown = await runFmtp('queue', 'show', id, '--config', poe.config.file)
    assert.match(shown, /3 of 3 have it/)
  })

  it('shows the operator what waits and why, and tries again when told', async () => {
    await lenore.stop()
    const id = await write([lost])
    await become(id, { [lost]: 'trying' })
    const shown = await runFmtp('queue', '--config', poe.config.file)
    assert.match(shown, /^lenore\.org {2}\d messages/)
    assert.match(shown, /not reached since .*, 1 attempts, the next at /)
    assert.match(await runFmtp('queue', 'show', id, '--config', poe.config.file), /lost@lenore.org +trying/)
    await runFmtp('queue', 'retry', 'lenore.org', '--config', poe.config.file)
    await waitUntil('it is tried again', async () => (await states(id))[0]?.attempts === 2)
    await bringBack()
    await become(id, { [lost]: 'stored' })
    await waitUntil('nothing waits', async () =>
      (await runFmtp('queue', '--config', poe.config.file)).includes('nothing waits'),
    )
  })

  describe('of a peer of its own kind', () => {
    let raven: HandServer
    const annabel = 'annabel@raven.example'

    beforeEach(async () => {
      const certificate = await makeCertificate('raven.example', Date.now())
      raven = await handServer(
        network,
        { name: 'raven.example', address: ownAddress(201), ...certificate },
        () => knowsNobody,
      )
    })

    afterEach(() => raven[Symbol.asyncDispose]())

    const answer = (said: object): void => {
      raven.answer = frame => (frame.verb === 'request' ? knowsNobody : said)
    }

    it('that is busy for ever, others wait for nothing, and after five days it has failed', async () => {
      answer({ outcome: 'busy', code: 'FMTP_QUOTA', retryAfterMs: 1000 })
      const id = await write([annabel, lost])
      await become(id, { [annabel]: 'trying', [lost]: 'stored' })
      await waitUntil(
        'it is known why',
        async () => (await states(id)).find(each => each.for === annabel)?.code === 'FMTP_QUOTA',
      )
      await pass(4.1 * hourMs, 0.1 * hourMs)
      const late = await told(id, 'delayed')
      assert.deepEqual([late.recipient, late.code], [annabel, 'FMTP_QUOTA'])
      await pass(5.5 * dayMs)
      await told(id, 'failed')
      await become(id, { [annabel]: 'failed', [lost]: 'stored' })
    })

    it('that speaks of others than it was asked about, nothing is believed of them', async () => {
      answer({ outcome: 'stored', results: [{ for: lost, outcome: 'stored' }] })
      const id = await write([annabel])
      await become(id, { [annabel]: 'trying' })
      assert.equal((await states(id)).length, 1)
    })

    it('that answers no question, it is delivered to all the same', async () => {
      raven.answer = frame => (frame.verb === 'request' ? undefined : { outcome: 'stored' })
      await become(await write([annabel]), { [annabel]: 'stored' })
    })

    it('that says a word nobody knows, it is refused', async () => {
      answer({ outcome: 'stored', results: [{ for: annabel, outcome: 'burnt' }] })
      const id = await write([annabel])
      await become(id, { [annabel]: 'refused' })
      assert.equal((await told(id, 'failed')).recipient, annabel)
    })

    it('that says more than a thousand words in its text, none of them reaches the author', async () => {
      answer({ outcome: 'refused', code: 'FMTP_REFUSED', text: 'buy my pills' })
      const id = await write([annabel])
      const report = await told(id, 'failed')
      assert.ok(!JSON.stringify([report, await states(id)]).includes('pills'))
    })
  })
})

function sorted(record: Record<string, string>): readonly (readonly [string, string])[] {
  return Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1))
}
