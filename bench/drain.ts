/**
 * A backlog after an outage: a user of one server has written while the other was down, and now that comes back. Seconds
 * from its start until all is stored there, beside one thread that verifies as many signatures.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { mintId } from '../objects/id.ts'
import { sealObject } from '../objects/seals/seal.ts'
import { box } from '../objects/store/box.ts'
import { addTo } from '../objects/store/change.ts'
import type { Write } from '../objects/store/engine/write.ts'
import { describe } from '../objects/store/new-version.ts'
import type { Message } from '../schemas/kinds/message.ts'
import type { Unsealed } from '../schemas/object.ts'
import { loadConfig } from '../server/config/load.ts'
import { openCore } from '../server/core/core.ts'
import { outboxWrites } from '../server/delivery/outbox.ts'
import { enrol, logIn, type MemoryDevice } from '../test/support/log-in.ts'
import { answerError } from '../wire/pairing.ts'
import { Arrivals, publish } from './arrivals.ts'
import { cpuSeconds, type Federation } from './federation.ts'
import { type Bench, type BenchOptions, type Figure, figure, median } from './figure.ts'
import { measureVerifications } from './limits.ts'
import { edgar, endsOf, lost, startPoeAndLenore } from './poe-and-lenore.ts'

const objectsDefault = 100_000
const inGroup = 500
const lookMs = 200
const limitMs = 600_000
const verifyMs = 1000

export const drain: Bench = options => measureDrain(options)

/** `nodeArgs`: of both servers, for who profiles them. */
export async function measureDrain(
  { objects = objectsDefault, onProgress }: Pick<BenchOptions, 'objects' | 'onProgress'>,
  nodeArgs: readonly string[] = [],
): Promise<Figure[]> {
  await using servers = await startPoeAndLenore(1, nodeArgs)
  const { before, device } = await introduce(servers)
  await servers.stop('lenore')
  await servers.stop('poe')
  onProgress(`queueing ${objects} messages`)
  await queue(servers, objects)

  const verifications = [measureVerifications(verifyMs)]
  await servers.serve('poe')
  await servers.end('poe').process.logs('deliver.unreachable', 30_000)
  onProgress('one server is up and has found the other down; that starts')
  const { ready, process: receiver } = await servers.serve('lenore')
  const startMs = performance.now()
  await reaches(ready.origin, device, before + objects)
  const seconds = (performance.now() - startMs) / 1000
  const { poe } = endsOf(servers)
  const [sent, received] = [cpuSeconds(poe.process.pid), cpuSeconds(receiver.pid)]
  verifications.push(measureVerifications(verifyMs))
  if (nodeArgs.length > 0) await servers.endAll('SIGTERM')
  return [
    figure('drain/seconds', seconds, 's', objects / median(verifications)),
    figure('drain/cpu-sender', (sent * 1e6) / objects, 'µs/message'),
    figure('drain/cpu-receiver', (received * 1e6) / objects, 'µs/message'),
  ]
}

/** One message, so that each has exchanged with the other before; gives how many entries the box has, and a device. */
async function introduce(servers: Federation): Promise<{ before: number; device: MemoryDevice }> {
  const { poe, lenore } = endsOf(servers)
  const link = lenore.ready.links.get(lost)
  if (link === undefined) throw new Error(`no link for ${lost}`)
  const device = await enrol(lenore.ready.origin, link)
  const arrivals = new Arrivals()
  const recipient = await logIn(lenore.ready.origin, device)
  await arrivals.follow(recipient)
  const connection = await servers.logIn(poe, edgar)
  arrivals.noteSent(await publish({ address: edgar, connection }, [lost]))
  await arrivals.whole()
  const { answer } = await recipient.request({ list: { of: 'box' } })
  connection.close()
  recipient.close()
  return { before: numberOf(answer.cursor), device }
}

/** What the server's own door would have written, while it does not run. */
async function queue({ folder }: Federation, objects: number): Promise<void> {
  await using core = await openCore(loadConfig(join(folder, 'poe.conf')))
  const { store, database, accounts } = core
  const home = accounts.homeKey(edgar)
  const author = accounts.findView(edgar)
  for (let at = 0; at < objects; at += inGroup) {
    const writes: Write[] = []
    for (let index = at; index < Math.min(objects, at + inGroup); index++) {
      const nowMs = Date.now()
      const unsealed = {
        body: 'nevermore '.repeat(20),
        createdAt: new Date(nowMs).toISOString(),
        format: 'text/plain',
        id: mintId(edgar, nowMs),
        kind: 'message',
        owner: edgar,
        to: [lost],
        version: nowMs,
      } as Unsealed<Message>
      const verified = sealObject<Message>(unsealed, home)
      const { object } = verified
      const change = describe(verified, undefined, 'made', store)
      box(change, object, { address: edgar, bytes: 0, nowMs, boxed: undefined, isOther: true }, database)
      addTo(change, outboxWrites(object, [lost], { store, author, nowMs, isNew: true }))
      writes.push(change)
    }
    const results = await database.commit(writes)
    if (results.includes(false)) throw new Error('a message was not queued')
  }
}

/**
 * Resolves when the box of a client has an entry of this number. The client does not stay: what came would be passed on to
 * it all the time.
 */
async function reaches(origin: string, device: MemoryDevice, number: number): Promise<void> {
  for (const endMs = performance.now() + limitMs; performance.now() < endMs; await sleep(lookMs)) {
    const client = await logIn(origin, device)
    const [epoch] = (await client.request({ list: { of: 'box', limit: 1 } })).answer.cursor?.split('.') ?? []
    const list = { of: 'box', after: `${epoch}.${number - 1}`, limit: 1 } as const
    const reply = await client.request({ list })
    client.close()
    // A cursor that is ahead of the list is not known yet.
    const isAhead = reply.answer.code === 'FMTP_CURSOR_LOST'
    if (reply.answer.outcome !== 'found' && !isAhead) throw answerError(reply.answer)
    if (reply.describes.length > 0) return
  }
  throw new Error(`the backlog is not there after ${limitMs} ms`)
}

function numberOf(cursor = ''): number {
  return Number(cursor.slice(cursor.lastIndexOf('.') + 1))
}
