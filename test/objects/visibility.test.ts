/** Who may see an object (protocol §9.3): what is public, whom it was written to, whose box has it, and what is private. */
import assert from 'node:assert/strict'
import { maySee, type Sight } from '../../objects/visibility.ts'
import type { FmtpObject } from '../../schemas/object.ts'

describe('maySee', () => {
  const sight: Sight = {
    hasBoxed: address => address === 'alice@poe.net',
    isMember: (group, who) => group === 'ravens@poe.net' && who === 'bob@lenore.org',
  }
  const object = (members: object) =>
    ({ id: '1.edgar@poe.net', owner: 'edgar@poe.net', ...members }) as FmtpObject
  const cases: readonly (readonly [what: string, object: FmtpObject, viewers: string[], isSeen: boolean])[] =
    [
      ['what is public, by a guest', object({ kind: 'post', public: true }), [], true],
      ['what is not, by a guest', object({ kind: 'post' }), [], false],
      ['what one owns', object({ kind: 'post' }), ['edgar@poe.net'], true],
      ['a message to one', object({ kind: 'message', to: ['lost@lenore.org'] }), ['lost@lenore.org'], true],
      ['any kind that is written to one', object({ kind: 'riddle', to: ['a@b.c'] }), ['a@b.c'], true],
      ['a message to another', object({ kind: 'message', to: ['a@b.c'] }), ['lost@lenore.org'], false],
      ['what is in one’s box', object({ kind: 'post' }), ['alice@poe.net'], true],
      [
        'what is written to a group of one’s',
        object({ kind: 'message', to: ['ravens@poe.net'] }),
        ['bob@lenore.org'],
        true,
      ],
      ['a post for it', object({ kind: 'post', group: 'ravens@poe.net' }), ['bob@lenore.org'], true],
      ['its own object', object({ kind: 'group', owner: 'ravens@poe.net' }), ['bob@lenore.org'], true],
      ['that of another', object({ kind: 'group', owner: 'crows@poe.net' }), ['bob@lenore.org'], false],
      [
        'all that to one who left',
        object({ kind: 'message', to: ['ravens@poe.net'] }),
        ['lost@lenore.org'],
        false,
      ],
      ['what a group reads, by a guest', object({ kind: 'message', to: ['ravens@poe.net'] }), [], false],
      ['a mark of one’s own', object({ kind: 'mark' }), ['edgar@poe.net'], true],
      ['a mark that is in one’s box', object({ kind: 'mark' }), ['alice@poe.net'], false],
      [
        'an invite that says it is public',
        object({ kind: 'invite', public: true }),
        ['alice@poe.net'],
        false,
      ],
      ['everyone’s view of a user', object({ kind: 'user', view: 'everyone' }), [], true],
      ['that of a hidden one', object({ kind: 'user', view: 'everyone', public: false }), [], false],
    ]
  for (const [what, seen, viewers, isSeen] of cases) {
    it(`${isSeen ? 'shows' : 'hides'} ${what}`, () => {
      assert.equal(maySee(seen, viewers, sight), isSeen)
    })
  }
})
