/** Groups at their home (protocol §6.8, §9.5): who makes one and where, who changes it, and what it may say. */
import assert from 'node:assert/strict'
import type { Connection } from '../../../client/connection.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import type { FmtpObject, Unsealed } from '../../../schemas/object.ts'
import { parseAddress } from '../../../schemas/text/names.ts'
import { connectAs, enrol, Network, type Person, type TestServer } from '../../support/network.ts'

describe('a group', () => {
  let network: Network
  let server: TestServer
  let edgarDevice: Person
  let edgar: Connection
  let alice: Connection
  let bob: Connection

  before(async () => {
    network = await Network.start()
    server = await network.serve('poe.net', { limits: { groupsPerUser: 3 }, also: ['tales.example'] })
    edgarDevice = await enrol(server, 'edgar@poe.net')
    edgar = await connectAs(server, edgarDevice)
    alice = await connectAs(server, await enrol(server, 'alice@poe.net'))
    bob = await connectAs(server, await enrol(server, 'bob@poe.net'))
  })

  after(async () => {
    for (const each of [edgar, alice, bob]) each.close()
    await network[Symbol.asyncDispose]()
  })

  const group = (address: string, members: object = {}) => ({
    id: `group.${address}`,
    kind: 'group',
    ...members,
  })
  async function codeOf(by: Connection, object: object, replaces?: number) {
    const { code, outcome } = await by.describe({ object, ...(replaces === undefined ? {} : { replaces }) })
    return code ?? outcome
  }
  async function get(by: Connection, id: string) {
    const { describes } = await by.request({ id })
    return describes[0]?.object as (FmtpObject & Record<string, unknown>) | undefined
  }

  it('is made by a user, sealed by its home in its own name, and its maker moderates it', async () => {
    const draft = group('ravens@poe.net', { title: 'Ravens', public: true })
    assert.equal(await codeOf(edgar, draft), 'stored')
    assert.equal(await codeOf(edgar, draft), 'duplicate')
    const made = await get(alice, draft.id)
    assert.deepEqual([made?.owner, made?.moderators], ['ravens@poe.net', ['edgar@poe.net']])
    const { describes } = await alice.request({ list: { of: 'public', owner: 'ravens@poe.net' } })
    assert.equal(describes.length, 1)
  })

  it('takes no address that somebody has, and gives none to a user', async () => {
    for (const [address, by] of [
      ['alice@poe.net', edgar],
      ['edgar@poe.net', edgar],
      ['a1ice@poe.net', edgar],
      ['rav\u0435ns@poe.net', edgar],
      ['ravens@poe.net', bob],
    ] as const) {
      const code = address === 'ravens@poe.net' ? 'FMTP_NOT_OWNER' : 'FMTP_BAD_NAME'
      assert.equal(await codeOf(by, group(address)), code, address)
    }
    for (const address of ['ravens@poe.net', 'rav\u0435ns@poe.net'])
      await assert.rejects(server.running.accounts.create(parseAddress(address)), { code: 'FMTP_BAD_NAME' })
    await assert.rejects(server.running.accounts.makeToken(parseAddress('ravens@poe.net')), {
      code: 'FMTP_NOT_FOUND',
    })
    assert.ok(!(await server.running.accounts.listAddresses()).includes(parseAddress('ravens@poe.net')))
    assert.equal(await codeOf(edgar, group('crows@tales.example')), 'FMTP_NOT_OWNER')
    assert.equal(await codeOf(edgar, group('crows@lenore.org')), 'FMTP_NOT_OWNER')
  })

  it('is changed by its moderators alone, however many there are', async () => {
    const draft = group('crows@poe.net', { title: 'Crows', moderators: ['edgar@poe.net', 'alice@poe.net'] })
    assert.equal(await codeOf(edgar, draft), 'stored')
    assert.equal(await codeOf(alice, { ...draft, title: 'Old crows' }), 'stored')
    assert.equal(await codeOf(bob, { ...draft, title: 'My crows' }), 'FMTP_NOT_OWNER')
    assert.equal(await codeOf(bob, { id: draft.id, kind: 'group', deleted: true }), 'FMTP_NOT_OWNER')
    const posts = { id: '1.crows@poe.net', kind: 'post', format: 'text/plain', body: 'Caw' }
    assert.equal(await codeOf(alice, posts), 'FMTP_NOT_OWNER')
    const version = network.clock.now()
    const own = { ...draft, owner: 'crows@poe.net', createdAt: new Date(version).toISOString(), version }
    const { object } = sealObject(own as unknown as Unsealed, edgarDevice)
    assert.equal(await codeOf(edgar, object), 'FMTP_NOT_OWNER', 'what a device sealed')
    // A room is for its people alone.
    assert.equal((await get(alice, draft.id))?.title, 'Old crows')
    assert.equal(await get(bob, draft.id), undefined)
  })

  it('edited by two at once takes one edit, and tells the other', async () => {
    const id = 'group.crows@poe.net'
    const draft = group('crows@poe.net', { moderators: ['edgar@poe.net', 'alice@poe.net'] })
    const version = (await get(edgar, id))?.version
    const codes = await Promise.all([
      codeOf(edgar, { ...draft, title: 'Mine' }, version),
      codeOf(alice, { ...draft, title: 'Ours' }, version),
    ])
    assert.deepEqual(codes.sort(), ['FMTP_CONFLICT', 'stored'])
  })

  it('has no groups in it, one moderator here at least, and stays what it is', async () => {
    const id = 'group.crows@poe.net'
    const moderators = ['edgar@poe.net', 'alice@poe.net']
    const cases: readonly (readonly [members: object, code: string])[] = [
      [{ moderators, members: ['ravens@poe.net'] }, 'FMTP_BAD_OBJECT'],
      [{ moderators, members: ['crows@poe.net'] }, 'FMTP_BAD_OBJECT'],
      [{ moderators: ['lost@lenore.org'] }, 'FMTP_BAD_OBJECT'],
      [{ moderators: ['nobody@poe.net'] }, 'FMTP_BAD_OBJECT'],
      [{ moderators, public: true }, 'FMTP_BAD_OBJECT'],
      [{ moderators, expiresAt: '2099-01-01T00:00:00.000Z' }, 'FMTP_BAD_OBJECT'],
      [{ moderators, policy: 'confirm' }, 'FMTP_NOT_OFFERED'],
      [
        { moderators, members: Array.from({ length: 1000 }, (_, at) => `m${at}@lenore.org`) },
        'FMTP_TOO_MANY_RECIPIENTS',
      ],
      [{ title: 'Kept' }, 'stored'],
    ]
    for (const [members, code] of cases)
      assert.equal(
        await codeOf(edgar, { id, kind: 'group', ...members }),
        code,
        JSON.stringify(members).slice(0, 80),
      )
    // Who names no moderators is one.
    assert.deepEqual((await get(edgar, id))?.moderators, ['edgar@poe.net'])
  })

  it('that was deleted leaves an address that nobody gets, and counts', async () => {
    const draft = group('owls@poe.net')
    assert.equal(await codeOf(edgar, draft), 'stored')
    const tombstone = { id: draft.id, kind: 'group', deleted: true }
    assert.equal(await codeOf(edgar, tombstone), 'stored')
    assert.equal(await codeOf(edgar, tombstone), 'duplicate')
    for (const by of [edgar, alice]) assert.equal(await codeOf(by, draft), 'FMTP_BAD_NAME')
    await assert.rejects(server.running.accounts.create(parseAddress('owls@poe.net')), {
      code: 'FMTP_BAD_NAME',
    })
    assert.equal(await codeOf(edgar, group('wrens@poe.net')), 'FMTP_TOO_MANY_GROUPS')
    const codes = await Promise.all([
      codeOf(alice, group('wrens@poe.net')),
      codeOf(bob, group('wrens@poe.net')),
    ])
    assert.deepEqual(codes.sort(), ['FMTP_NOT_OWNER', 'stored'])
  })
})
