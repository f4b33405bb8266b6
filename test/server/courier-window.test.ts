/** The courier's window: always full while there is enough, and never a step ahead of what is settled. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { systemClock } from '../../objects/clock.ts'
import { Database } from '../../objects/database.ts'
import { createHints } from '../../objects/hints.ts'
import { keyOf, listOf } from '../../objects/layout.ts'
import { Store } from '../../objects/store.ts'
import type { Peer } from '../../routing/peer.ts'
import { FmtpError } from '../../schemas/failures.ts'
import type { DescribeFrame } from '../../schemas/frame.ts'
import { type Domain, parseDomain } from '../../schemas/names.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { Courier } from '../../server/delivery/courier.ts'
import type { Answer } from '../../wire/pairing.ts'

const lenore: Domain = parseDomain('lenore.org')
const list = listOf.outbox(lenore)

/** A message that stands at the peer without an answer. */
interface Standing {
  readonly id: string
  answer(outcome: string): void
  fail(error: FmtpError): void
}

describe('Courier', () => {
  let folder: string
  let database: Database
  let courier: Courier
  let standing: Standing[]
  let isUp: boolean

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-courier-'))
    standing = []
    isUp = true
    const hints = createHints()
    database = await Database.open(
      folder,
      lists => hints.notify(lists),
      () => 'epoch',
    )
    const peer = {
      name: lenore,
      host: 'mx.lenore.org:3687',
      isOpen: true,
      describe: ({ object }: Pick<DescribeFrame, 'object'>) =>
        new Promise<Answer>((resolve, reject) => {
          const { id } = object as { id: string }
          const leave = (): void => {
            standing = standing.filter(each => each.id !== id)
          }
          standing.push({
            id,
            answer: outcome => {
              leave()
              resolve({ outcome })
            },
            fail: error => {
              leave()
              reject(error)
            },
          })
        }),
      request: () => Promise.reject(new FmtpError('FMTP_NOT_OFFERED')),
    } as unknown as Peer
    courier = await Courier.start({
      store: new Store(database),
      hints,
      clock: systemClock,
      random: () => 0.5,
      findOutgoing: (id, version) =>
        ({ id, version, kind: 'message', owner: 'edgar@poe.net' }) as unknown as FmtpObject,
      isOpen: () => isUp,
      lookUp: async () => undefined,
      reach: async () => {
        if (!isUp) throw new FmtpError('FMTP_UNREACHABLE')
        return peer
      },
      reachDirect: async () => undefined,
      onEvent: () => undefined,
    })
  })

  afterEach(async () => {
    for (const each of standing) each.fail(new FmtpError('FMTP_DISCONNECTED'))
    await courier[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Queues messages of these numbers. */
  async function queue(from: number, to: number): Promise<void> {
    const appends = Array.from({ length: to - from + 1 }, (_, index) => ({
      list,
      value: JSON.stringify({ id: idOf(from + index), version: 1, for: ['lost@lenore.org'], atMs: 1 }),
      bytes: 0,
    }))
    await database.commit([{ appends }])
  }

  function idOf(number: number): string {
    return `${number}.edgar@poe.net`
  }

  function find(number: number): Standing {
    const found = standing.find(({ id }) => id === idOf(number))
    assert.ok(found, `${number} does not stand at the peer`)
    return found
  }

  const cursor = (): number => Number(database.get(keyOf.courier(list)) ?? 0)

  async function until(isTrue: () => boolean): Promise<void> {
    const endMs = Date.now() + 5000
    while (!isTrue()) {
      assert.ok(Date.now() < endMs, 'waited in vain')
      await turn()
    }
  }

  it('starts the next entry as soon as one is settled', async () => {
    await queue(1, 300)
    await until(() => standing.length === 256)
    find(7).answer('stored')
    await until(() => standing.length === 256)
    assert.ok(find(257))
  })

  it('starts what is queued while others are under way', async () => {
    await queue(1, 2)
    await until(() => standing.length === 2)
    await queue(3, 3)
    await until(() => standing.length === 3)
  })

  it('never moves its cursor over an entry that is not settled', async () => {
    await queue(1, 4)
    await until(() => standing.length === 4)
    for (const number of [2, 3, 4]) find(number).answer('stored')
    await until(() => standing.length === 1)
    for (let turns = 0; turns < 50; turns++) await turn()
    assert.equal(cursor(), 0)
    find(1).answer('stored')
    await until(() => cursor() === 4)
  })

  it('puts off one entry on disk and goes on', async () => {
    await queue(1, 2)
    await until(() => standing.length === 2)
    find(1).answer('busy')
    find(2).answer('stored')
    await until(() => cursor() === 2)
    assert.ok(database.get(keyOf.retry(list, 1)))
  })

  it('tries again what was put off when the domain is heard from', async () => {
    await queue(1, 1)
    await until(() => standing.length === 1)
    find(1).answer('busy')
    await until(() => cursor() === 1)
    courier.wake(lenore, true)
    await until(() => standing.length === 1)
    find(1).answer('stored')
    await until(() => database.get(keyOf.retry(list, 1)) === undefined)
  })

  it('leaves what is unsettled when the connection ends, and sends only that again', async () => {
    await queue(1, 3)
    await until(() => standing.length === 3)
    find(2).answer('stored')
    isUp = false
    for (const each of standing) each.fail(new FmtpError('FMTP_DISCONNECTED'))
    await queue(4, 4)
    await until(() => database.get(keyOf.due(lenore)) !== undefined)
    assert.equal(cursor(), 0)
    assert.equal(standing.length, 0)
    isUp = true
    courier.wake(lenore, true)
    await until(() => standing.length === 3)
    assert.deepEqual(standing.map(({ id }) => id).sort(), [1, 3, 4].map(idOf))
    for (const each of standing) each.answer('stored')
    await until(() => cursor() === 4)
  })
})
