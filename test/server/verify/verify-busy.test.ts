/** `fmtp verify` beside a server to which clients write, edit, delete, mark and upload: it never tells a false alarm. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mintId } from '../../../objects/id.ts'
import { markNonce } from '../../../objects/mark.ts'
import { type Address, parseAddress } from '../../../schemas/text/names.ts'
import { verifyStore } from '../../../server/verify/verify.ts'
import { putBlob } from '../../support/blob.ts'
import { connectAs, enrol, Network, type Person } from '../../support/network.ts'
import { createRandom } from '../../support/random.ts'

const runMs = 3000

describe('verify beside a busy server', function () {
  this.timeout(60_000)

  it('finds nothing, however often it looks', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    process.stdout.write(`      seed ${seed}\n`)
    const random = createRandom(seed)
    await using network = await Network.start()
    const home = await network.serve('lenore.org')
    const other = await network.serve('poe.net')
    const people: [Person, typeof home][] = [
      [await enrol(home, 'lost@lenore.org'), home],
      [await enrol(home, 'alice@lenore.org'), home],
      [await enrol(other, 'edgar@poe.net'), other],
    ]
    const everybody = people.map(([{ address }]) => parseAddress(address))
    let [written, looks] = [0, 0]
    let isOver = false

    async function write(person: Person, server: typeof home): Promise<void> {
      const client = await connectAs(server, person)
      const owner = person.address as Address
      const own: { id: string; object: object }[] = []
      const say = async (object: { id: string }): Promise<void> => {
        const { outcome, code } = await client.describe({ object })
        assert.ok(outcome === 'stored' || outcome === 'duplicate', `${outcome} ${code}`)
        written++
      }
      while (!isOver) {
        const chance = random()
        const known = own[random.below(own.length)]
        if (known === undefined || chance < 0.4) {
          const to = everybody.filter(each => each !== owner && random() < 0.7)
          const isAnswer = known !== undefined && random() < 0.5
          const attached = random() < 0.3 ? [randomBytes(300)] : []
          const attachments = []
          for (const bytes of attached) {
            const sha256 = await putBlob(server, person, bytes, network.clock.now())
            attachments.push({ name: 'raven', format: 'image/png', bytes: bytes.length, sha256 })
          }
          const object = {
            id: mintId(owner, network.clock.now()),
            kind: 'message',
            format: 'text/plain',
            body: 'x'.repeat(random.below(2000)),
            to: [...to, owner],
            public: random() < 0.5,
            ...(attachments.length > 0 ? { attachments } : {}),
            ...(isAnswer ? { parent: known.id } : {}),
          }
          await say(object)
          own.push({ id: object.id, object })
        } else if (chance < 0.6)
          await say({ ...known.object, id: known.id, body: `edited ${random()}` } as never)
        else if (chance < 0.75) {
          own.splice(own.indexOf(known), 1)
          await say({ id: known.id, kind: 'message', deleted: true } as never)
        } else if (chance < 0.9) {
          const id = `${markNonce(known.id)}.${owner}`
          await say({ id, kind: 'mark', about: known.id, kept: random() < 0.5 } as never)
        } else await client.request({ address: everybody[random.below(3)] ?? owner, effort: 'lookup' })
      }
      client.close()
    }

    const writing = Promise.all(people.flatMap(each => [write(...each), write(...each)]))
    // However slow the machine is, it looks more than once while they write.
    for (const untilMs = Date.now() + runMs; Date.now() < untilMs || looks < 2 || written <= 100; looks++)
      for (const { running, config } of [home, other]) {
        const core = { ...running, config, clock: network.clock, database: running.store.database }
        const { found } = await verifyStore(core, {
          onProgress: () => undefined,
          signal: new AbortController().signal,
        })
        assert.deepEqual(found, [], `repeat with SEED=${seed}`)
        await running.upkeep.once()
      }
    isOver = true
    await writing
  })
})
