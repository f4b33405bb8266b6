/** Fills a server with something of every sort, by its clients and by another server. */
import { randomBytes } from 'node:crypto'
import { sha256Text } from '../../objects/seals/keys.ts'
import { putBlob } from './blob.ts'
import { waitUntil } from './conditions.ts'
import { connectAs, enrol, type Network, type TestServer } from './network.ts'

export interface Populated {
  readonly home: TestServer
  /** Its user, whose box has most. */
  readonly user: string
}

/** lenore.org with lost and alice, and poe.net with edgar, who write to each other. */
export async function populate(network: Network): Promise<Populated> {
  const home = await network.serve('lenore.org')
  const other = await network.serve('poe.net')
  const lost = await enrol(home, 'lost@lenore.org')
  const alice = await enrol(home, 'alice@lenore.org')
  const edgar = await enrol(other, 'edgar@poe.net')
  const [client, friend, guest] = await Promise.all([
    connectAs(home, lost),
    connectAs(home, alice),
    connectAs(other, edgar),
  ])
  const message = (id: string, members: object = {}) => ({
    id,
    kind: 'message',
    format: 'text/plain',
    body: 'Nevermore',
    to: ['alice@lenore.org', 'edgar@poe.net'],
    ...members,
  })
  const publish = async (from: typeof client, object: object): Promise<void> => {
    const { outcome, code } = await from.describe({ object })
    if (outcome !== 'stored') throw new Error(`${JSON.stringify(object)}: ${outcome} ${code}`)
  }
  const user = { kind: 'user', policy: 'accept', public: true, keepDays: 300, whitelist: ['*@poe.net'] }
  await publish(client, { ...user, id: 'user.lost@lenore.org' })
  const bytes = randomBytes(3000)
  const sha256 = await putBlob(home, lost, bytes, network.clock.now())
  await putBlob(home, lost, randomBytes(500), network.clock.now())
  const attachments = [{ name: 'raven.bin', format: 'image/png', bytes: bytes.length, sha256 }]
  await publish(client, message('1.lost@lenore.org', { public: true, attachments }))
  await publish(client, message('2.lost@lenore.org'))
  await publish(client, message('2.lost@lenore.org', { body: 'Edited' }))
  await publish(client, message('3.lost@lenore.org', { public: true }))
  await publish(client, { id: '3.lost@lenore.org', kind: 'message', deleted: true })
  const expiresAt = new Date(network.clock.now() + 86_400_000).toISOString()
  await publish(client, message('4.lost@lenore.org', { expiresAt, parent: '2.lost@lenore.org' }))
  const unknown = { parent: '9.edgar@poe.net', top: '9.edgar@poe.net', parentHash: sha256Text('nothing') }
  await publish(client, message('5.lost@lenore.org', unknown))
  // The other domain is not there for these.
  await publish(client, message('6.lost@lenore.org', { to: ['bob@nowhere.example'] }))
  await publish(friend, message('1.alice@lenore.org', { to: ['lost@lenore.org'], public: true }))
  await publish(guest, message('1.edgar@poe.net', { to: ['lost@lenore.org'] }))
  await publish(
    guest,
    message('2.edgar@poe.net', { kind: 'post', title: 'The Raven', to: undefined, public: true }),
  )
  const { store } = home.running
  await waitUntil('the message is here', () => store.findBoxed('lost@lenore.org', '1.edgar@poe.net'))
  await publish(client, {
    id: `mark-${sha256Text('1.edgar@poe.net').slice(0, 20)}.lost@lenore.org`,
    kind: 'mark',
    about: '1.edgar@poe.net',
    kept: true,
  })
  const { answer } = await client.request({ id: '2.edgar@poe.net', effort: 'lookup' })
  if (answer.outcome !== 'found') throw new Error(`the post is ${answer.outcome}`)
  await home.running.accounts.makeToken('alice@lenore.org' as never)
  await waitUntil('a domain is put off', async () => {
    const rows = await store.database.scan({ gt: 'due ', lt: 'due!' })
    return rows.length > 0
  })
  for (const each of [client, friend, guest]) each.close()
  return { home, user: 'lost@lenore.org' }
}
