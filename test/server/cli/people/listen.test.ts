/** What a listening device takes directly (protocol §5.8): no more than its home would. */
import assert from 'node:assert/strict'
import { domainKeyOf } from '../../../../routing/dns/domain-keys.ts'
import type { FailureCode } from '../../../../schemas/failures.ts'
import type { User } from '../../../../schemas/kinds/user.ts'
import { parseAddress, parseDomain } from '../../../../schemas/text/names.ts'
import { judgeDirect } from '../../../../server/cli/people/listen.ts'
import { assertCode } from '../../../support/conditions.ts'
import { handDomain, handMessage, handProfile, handUser } from '../../../support/hand.ts'

describe('a listening device', () => {
  const poe = handDomain('poe.net')
  const edgar = handUser(poe, 'edgar@poe.net')
  const lost = handUser(handDomain('lenore.org'), 'lost@lenore.org')
  const keys = { find: async () => [domainKeyOf('hand', poe.pair.jwk)] }
  const toLost = handMessage(edgar, ['lost@lenore.org'])
  const friends: Partial<User> = { policy: 'reject', whitelist: ['edgar@poe.net'] }

  const cases: readonly (readonly [
    what: string,
    object: object,
    user: Partial<User>,
    caller: string,
    code?: FailureCode,
  ])[] = [
    ['takes what its owner takes', toLost, {}, 'poe.net'],
    ['takes what a friend wrote', toLost, friends, 'poe.net'],
    ['refuses whom the blacklist names', toLost, { blacklist: ['*@poe.net'] }, 'poe.net', 'FMTP_REFUSED'],
    ['refuses strangers when its policy does', toLost, { policy: 'reject' }, 'poe.net', 'FMTP_REFUSED'],
    ['refuses a format that it does not read', toLost, { formats: ['text/html'] }, 'poe.net', 'FMTP_FORMAT'],
    ['refuses a changed object', { ...toLost, body: 'Evermore' }, {}, 'poe.net', 'FMTP_SEAL'],
    [
      "refuses a friend's message that was written to somebody else",
      handMessage(edgar, ['alice@lenore.org']),
      friends,
      'mallory.example',
      'FMTP_REFUSED',
    ],
  ]
  for (const [what, object, user, caller, code] of cases) {
    it(what, async () => {
      const judge = () =>
        judgeDirect(object, {
          address: parseAddress('lost@lenore.org'),
          caller: parseDomain(caller),
          keys,
          user: handProfile(lost, user) as User,
        })
      if (code === undefined) assert.equal(await judge(), undefined)
      else await assertCode(code, judge)
    })
  }
})
