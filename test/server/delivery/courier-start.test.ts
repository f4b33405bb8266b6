/** What waited when the server ended is taken up behind the start (protocol §10.4), and who is heard from meanwhile is heard. */
import assert from 'node:assert/strict'
import { keyOf, listOf } from '../../../objects/store/layout.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { waitUntil } from '../../support/conditions.ts'
import { CourierRig, idOf, lenore } from '../../support/courier-rig.ts'

const domains = 300
const tomorrowMs = 86_400_000

describe('Courier.start', () => {
  let rig: CourierRig

  beforeEach(async () => {
    rig = await CourierRig.start()
    await rig.stop()
    const atMs = rig.clock.now()
    const dueAtMs = atMs + tomorrowMs
    const putOff = (domain: string, number: number) => {
      const entry = { id: idOf(number), version: 1, for: [`lost@${domain}`], atMs }
      const kept = { entry, attempts: 1, firstAtMs: atMs, atMs, dueAtMs, notBeforeMs: atMs }
      return [keyOf.retry(listOf.outbox(domain), dueAtMs, number), JSON.stringify(kept)] as const
    }
    const others = Array.from({ length: domains }, (_, index) => putOff(`d${index}.example`, index + 2))
    await rig.database.commit([{ puts: [putOff(lenore, 1), ...others] }])
  })

  afterEach(() => rig[Symbol.asyncDispose]())

  it('leaves a turn to others with each domain that waits', async () => {
    let turns = 0
    let isOver = false
    const count = (): void => {
      turns++
      if (!isOver) setImmediate(count)
    }
    setImmediate(count)
    const starting = rig.begin()
    assert.equal(rig.courier.workers, 0, 'nothing is taken up before who starts it goes on')
    await starting
    isOver = true
    assert.equal(rig.courier.workers, domains + 1)
    assert.ok(turns >= domains, `${turns} turns`)
  })

  it('hears a domain that says hello before it is taken up', async () => {
    const starting = rig.begin()
    rig.courier.wake(lenore, true)
    await rig.stands(1)
    rig.find(1).answer('stored')
    await starting
    await waitUntil('it is no longer put off', async () => (await rig.countRetries()) === 0)
  })

  it('hears somebody who leads to a domain before that is taken up', async () => {
    const starting = rig.begin()
    rig.courier.wakeWhere(domain => domain === lenore)
    await starting
    await rig.stands(1)
  })

  it('has no worker for a domain that says hello and waits for nothing', async () => {
    const starting = rig.begin()
    rig.courier.wake('poe.net' as typeof lenore, true)
    await starting
    rig.clock.advance(60_000)
    await waitUntil('it rests', () => rig.courier.workers === domains + 1)
  })

  it('looks again for what waits when the store could not be read', async () => {
    const scan = rig.database.scan.bind(rig.database)
    rig.database.scan = () => Promise.reject(new FmtpError('FMTP_BUSY'))
    const starting = rig.begin()
    await waitUntil('it is told', () => rig.recordsOf('courier.error').length === 1)
    rig.database.scan = scan
    await waitUntil('it waits', () => rig.clock.sleepers > 0)
    rig.clock.advance(5000)
    await starting
    assert.equal(rig.courier.workers, domains + 1)
  })

  it('ends while it takes up', async () => {
    const starting = rig.begin()
    await rig.stop()
    await starting
    assert.deepEqual(rig.recordsOf('courier.error'), [])
  })
})
