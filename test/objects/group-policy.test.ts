/** What a group takes (protocol §8.3), whom an object is for (§8.2), and what comes to a user through a group. */
import assert from 'node:assert/strict'
import { addresseesOf } from '../../objects/addressees.ts'
import { decideGroupReach, type GroupApproach, isOfOtherGroup, peopleOf } from '../../objects/group-policy.ts'
import { decideReachThrough, groupsBringing, isForwarded } from '../../objects/policy.ts'
import type { Group } from '../../schemas/kinds/group.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import type { Address } from '../../schemas/text/names.ts'

const ravens = 'ravens@poe.net'
const group = (members: object = {}) =>
  ({ id: `group.${ravens}`, kind: 'group', owner: ravens, ...members }) as unknown as Group
const object = (members: object) =>
  ({ id: '1.lost@lenore.org', owner: 'lost@lenore.org', ...members }) as FmtpObject
const post = (members: object = {}) => object({ kind: 'post', public: true, group: ravens, ...members })
const message = (members: object = {}) => object({ kind: 'message', to: [ravens], ...members })
const home: GroupApproach = { session: 'lenore.org', isHeld: false, parent: undefined }

describe('decideGroupReach', () => {
  const forum = { public: true }
  const lost = { members: ['lost@lenore.org'] }
  const reject = { policy: 'reject', blacklist: ['lost@*'] }
  const cases: readonly (readonly [
    what: string,
    group: object,
    object: FmtpObject,
    approach: Partial<GroupApproach>,
    isTaken: boolean,
  ])[] = [
    ['a post for a forum', forum, post(), {}, true],
    ['one that a stranger brings', forum, post(), { session: 'mallory.example' }, true],
    ['one where policy rejects', { ...forum, policy: 'reject' }, post(), {}, false],
    ['one of a friend there', { ...forum, ...reject, whitelist: ['*@lenore.org'] }, post(), {}, true],
    ['one of a member there', { ...forum, ...reject, ...lost }, post(), {}, true],
    ['one of a moderator there', { ...forum, ...reject, moderators: lost.members }, post(), {}, true],
    ['one of a foe', { ...forum, blacklist: ['lost@*'] }, post(), {}, false],
    ['a post for another', forum, post({ group: 'owls@poe.net' }), {}, false],
    ['a post for none', forum, post({ group: undefined }), {}, false],
    ['a post that is not public', forum, post({ public: false }), {}, false],
    ['a post that is public no more', forum, post({ public: false }), { isHeld: true }, true],
    ['a message to a forum', forum, message(), {}, false],
    ['a comment on its post', forum, post({ parent: '2.a@b.c' }), { parent: post() }, true],
    [
      'a comment on another post',
      forum,
      post({ parent: '2.a@b.c' }),
      { parent: post({ group: undefined }) },
      false,
    ],
    ['a message to a room', {}, message(), {}, false],
    ['one of a member', lost, message(), {}, true],
    ['one where policy accepts', { policy: 'accept' }, message(), {}, true],
    ['a message to another', lost, message({ to: ['owls@poe.net'] }), {}, false],
    ['a post for a room', lost, post(), {}, false],
    ['who its member is', lost, object({ kind: 'user' }), {}, true],
    [
      'who its member is, from a stranger',
      lost,
      object({ kind: 'user' }),
      { session: 'mallory.example' },
      false,
    ],
    [
      'the end of what it has, of a foe',
      reject,
      object({ kind: 'post', deleted: true }),
      { isHeld: true },
      true,
    ],
    ['the end of what it has not, of a foe', reject, object({ kind: 'post', deleted: true }), {}, false],
    ['the end of what comes late, of a member', lost, object({ kind: 'message', deleted: true }), {}, true],
  ]
  for (const [what, members, brought, approach, isTaken] of cases)
    it(`${isTaken ? 'takes' : 'refuses'} ${what}`, () => {
      const decision = decideGroupReach(group(members), brought, { ...home, ...approach })
      assert.equal(decision.isAccepted, isTaken, decision.reason)
    })

  it('counts a moderator who is a member once', () => {
    assert.deepEqual(peopleOf(group({ members: ['a@b.c'], moderators: ['a@b.c', 'd@b.c'] })), [
      'a@b.c',
      'd@b.c',
    ])
  })
})

describe('addresseesOf', () => {
  const thread = { parent: '2.alice@poe.net', top: '1.edgar@poe.net' }
  const cases: readonly (readonly [what: string, object: FmtpObject, to: readonly string[]])[] = [
    ['a message', message({ ...thread }), [ravens]],
    ['a post', object({ kind: 'post' }), []],
    ['a post in a forum', post(), [ravens]],
    ['a comment', post(thread), [ravens, 'alice@poe.net', 'edgar@poe.net']],
    ['an answer to oneself', object({ kind: 'post', parent: '2.lost@lenore.org', top: '1.poe.net' }), []],
    ['a removal', object({ kind: 'report', owner: ravens, about: '1.a@b.c' }), ['a@b.c']],
    ['a report of a server', object({ kind: 'report', owner: 'poe.net', about: '1.a@b.c' }), []],
    ['a file that answers', object({ kind: 'file', ...thread }), []],
  ]
  for (const [what, named, to] of cases)
    it(`of ${what} are ${to.length === 0 ? 'none' : to.join(', ')}`, () => {
      assert.deepEqual(addresseesOf(named), to)
    })

  it('are written to: for others it is a forward, whoever brings it', () => {
    const comment = object({ kind: 'post', ...thread })
    assert.equal(isForwarded(comment, 'alice@poe.net', 'mallory.example'), false)
    assert.equal(isForwarded(comment, 'bob@poe.net', 'mallory.example'), true)
    assert.equal(isForwarded(comment, 'bob@poe.net', 'lenore.org'), false)
    assert.equal(isForwarded(message(), 'bob@poe.net', 'lenore.org'), true)
  })
})

describe('a post that answers a post', () => {
  it('names the same group, as far as both still say', () => {
    assert.equal(isOfOtherGroup(post(), post()), false)
    assert.equal(isOfOtherGroup(post(), post({ group: 'owls@poe.net' })), true)
    assert.equal(isOfOtherGroup(object({ kind: 'post' }), post()), true)
    assert.equal(isOfOtherGroup(post(), object({ kind: 'post' })), true)
    assert.equal(isOfOtherGroup(post(), object({ kind: 'post', deleted: true })), false)
    assert.equal(isOfOtherGroup(object({ kind: 'post', deleted: true }), post()), false)
    assert.equal(isOfOtherGroup(message(), post()), false)
    assert.equal(isOfOtherGroup(post(), undefined), false)
  })
})

describe('what comes through a group', () => {
  const user = (members: object) => ({ kind: 'user', ...members }) as unknown as User
  const through = (members: object, groups: string[] = [ravens]) =>
    decideReachThrough(user(members), 'lost@lenore.org', groups as Address[])

  it('names it, and is brought by its home', () => {
    const sent = message({ to: ['owls@lenore.org', ravens, 'a@poe.net'] })
    assert.deepEqual(groupsBringing(sent, 'poe.net', undefined), [ravens, 'a@poe.net'])
    assert.deepEqual(groupsBringing(sent, ravens, undefined), [ravens])
    assert.deepEqual(groupsBringing(sent, 'mallory.example', ravens), [])
    assert.deepEqual(groupsBringing(sent, undefined, undefined), [])
  })

  it('ends through the same', () => {
    const end = object({ kind: 'message', deleted: true })
    assert.deepEqual(groupsBringing(end, 'poe.net', ravens), [ravens])
    assert.deepEqual(groupsBringing(end, 'mallory.example', ravens), [])
    assert.deepEqual(groupsBringing(end, 'poe.net', 'poe.net'), [])
    assert.deepEqual(groupsBringing(end, 'poe.net', undefined), [])
  })

  it('is judged by the group, and by its owner against the blacklist', () => {
    const cases: readonly (readonly [members: object, isAccepted: boolean])[] = [
      [{}, true],
      [{ policy: 'reject' }, false],
      [{ policy: 'reject', whitelist: [ravens] }, true],
      [{ policy: 'reject', whitelist: ['lost@*'] }, false],
      [{ blacklist: [ravens] }, false],
      [{ blacklist: ['lost@*'] }, false],
      [{ whitelist: [ravens], blacklist: ['lost@*'] }, false],
      [{ whitelist: [ravens, 'lost@*'], blacklist: ['*'] }, true],
    ]
    for (const [members, isAccepted] of cases)
      assert.equal(through(members).decision.isAccepted, isAccepted, JSON.stringify(members))
    const second = through({ policy: 'reject', whitelist: [ravens] }, ['owls@poe.net', ravens])
    assert.equal(second.group, ravens)
  })
})
