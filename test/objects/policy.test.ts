import assert from 'node:assert/strict'
import { type Approach, decideReach, decideReadable } from '../../objects/policy.ts'
import type { FailureCode } from '../../schemas/failures.ts'
import type { User } from '../../schemas/kinds/user.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { handDomain, handMessage, handProfile, handUser } from '../support/hand.ts'

const domain = handDomain('lenore.org')
const lost = handUser(domain, 'lost@lenore.org')
const stranger: Approach = { judged: 'edgar@poe.net', isForward: false, hasTakenPart: false }
const user = (members: Partial<User>): User => handProfile(lost, members) as User

describe('decideReach', () => {
  const friend = { whitelist: ['*@poe.net'] }
  const foe = { blacklist: ['edgar@*'] }
  const cases: readonly (readonly [
    what: string,
    settings: Partial<User>,
    approach: Partial<Approach>,
    reason: RegExp,
    isAccepted: boolean,
  ])[] = [
    ['nothing set', {}, {}, /policy accepts/, true],
    ['accept', { policy: 'accept' }, {}, /policy accepts/, true],
    ['reject', { policy: 'reject' }, {}, /policy is reject/, false],
    ['confirm', { policy: 'confirm' }, {}, /policy is confirm/, false],
    [
      'a friend, though policy rejects',
      { ...friend, policy: 'reject' },
      {},
      /whitelist has \*@poe.net/,
      true,
    ],
    ['a friend who is on the blacklist too', { ...friend, ...foe }, {}, /whitelist/, true],
    ['a foe, though policy accepts', foe, {}, /blacklist has edgar@\*/, false],
    ['a foe who took part', foe, { hasTakenPart: true }, /blacklist/, false],
    [
      'one who took part, though policy rejects',
      { policy: 'reject' },
      { hasTakenPart: true },
      /took part/,
      true,
    ],
    [
      'a forward by a friend',
      { ...friend, policy: 'reject' },
      { isForward: true },
      /forwarded by edgar@poe.net/,
      true,
    ],
    [
      'a forward by a stranger',
      { policy: 'reject' },
      { isForward: true, judged: 'mallory.example' },
      /reject/,
      false,
    ],
    [
      'a forward that belongs to an answer',
      { policy: 'reject' },
      { isForward: true, isBroughtAlong: true },
      /belongs to an answer that is here, forwarded by edgar@poe.net/,
      true,
    ],
    [
      'the same by a foe',
      foe,
      { isForward: true, isBroughtAlong: true },
      /blacklist has edgar@\*, forwarded/,
      false,
    ],
    [
      'the same by a guest',
      { policy: 'reject' },
      { judged: undefined, isForward: true, isBroughtAlong: true },
      /reject/,
      false,
    ],
    [
      'a guest, whom no list can name',
      { whitelist: ['*'], policy: 'reject' },
      { judged: undefined },
      /reject/,
      false,
    ],
    [
      'a guest who took part',
      { policy: 'reject' },
      { judged: undefined, hasTakenPart: true },
      /reject/,
      false,
    ],
  ]
  for (const [what, settings, approach, reason, isAccepted] of cases) {
    it(`${isAccepted ? 'accepts' : 'refuses'}: ${what}`, () => {
      const decision = decideReach(user(settings), { ...stranger, ...approach })
      assert.equal(decision.isAccepted, isAccepted)
      assert.match(decision.reason, reason)
      if (!decision.isAccepted) assert.equal(decision.code, 'FMTP_REFUSED')
    })
  }
})

describe('decideReadable', () => {
  const message = (members: object): FmtpObject => handMessage(lost, ['edgar@poe.net'], members)
  const cases: readonly (readonly [
    what: string,
    settings: Partial<User>,
    object: FmtpObject,
    code: FailureCode | undefined,
  ])[] = [
    ['anything where nothing is said', {}, message({ format: 'text/riddle', encrypted: 'x' }), undefined],
    ['a format that is read', { formats: ['text/html', 'text/plain'] }, message({}), undefined],
    ['a format that is not', { formats: ['text/html'] }, message({}), 'FMTP_FORMAT'],
    ['any format where none is read', { formats: [] }, message({}), 'FMTP_FORMAT'],
    [
      'plain text where it must be enciphered',
      { encryptPolicy: 'required' },
      message({}),
      'FMTP_ENCRYPT_REQUIRED',
    ],
    ['enciphered text where it must', { encryptPolicy: 'required' }, message({ encrypted: 'x' }), undefined],
    ['enciphered text where it may', { encryptPolicy: 'optional' }, message({ encrypted: 'x' }), undefined],
    [
      'enciphered text where it must not',
      { encryptPolicy: 'none' },
      message({ encrypted: 'x' }),
      'FMTP_ENCRYPT_NONE',
    ],
    ['a user, which is no message', { formats: [], encryptPolicy: 'required' }, user({}), undefined],
    ['a tombstone', { formats: [] }, { ...message({}), deleted: true } as FmtpObject, undefined],
  ]
  for (const [what, settings, object, code] of cases) {
    it(`of ${what} is ${code ?? 'yes'}`, () => {
      const decision = decideReadable(user(settings), object)
      assert.equal(decision.isAccepted ? undefined : decision.code, code)
    })
  }
})
