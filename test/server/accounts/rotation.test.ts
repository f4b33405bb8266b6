/** The change of a domain key (protocol §7.1): in which order, at what time, and what a crash in between leaves. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCredential } from '../../../objects/seals/credential.ts'
import { generateKeyPair, privatePem } from '../../../objects/seals/keys.ts'
import { isSucceededBy } from '../../../objects/seals/successors.ts'
import { FmtpError } from '../../../schemas/failures.ts'
import { limits } from '../../../schemas/limits.ts'
import { parseDomain } from '../../../schemas/text/names.ts'
import { type OwnDomain, openDomains } from '../../../server/accounts/own-domains.ts'
import { createRotation, watchRotation } from '../../../server/accounts/rotation.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode, waitUntil } from '../../support/conditions.ts'

const poe = parseDomain('poe.net')
const island = parseDomain('localhost')
const ttlMs = 3_600_000

describe('rotation', () => {
  let data: string
  let clock: MovableClock
  /** What DNS shows; `undefined`: nobody answers. */
  let records: string[] | undefined
  let events: string[]

  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), 'fmtp-rotation-'))
    clock = new MovableClock()
    records = []
    events = []
  })

  afterEach(() => rmSync(data, { recursive: true, force: true }))

  const file = (name: string): string => join(data, 'keys', poe, name)

  /** As a process that starts finds it. */
  function start() {
    const domains = openDomains([poe, island], data, clock.now())
    const txt = async () => {
      if (records === undefined) throw new FmtpError('FMTP_DNS_FAILED')
      return { records, exists: true, ttlMs, isSecure: false, server: '' }
    }
    const onEvent = (event: string): void => void events.push(event)
    const ports = { domains, resolver: { txt }, clock, onEvent }
    const rotation = createRotation(ports)
    const own = domains.get(poe) as OwnDomain
    return { domains, rotation, own, watch: () => watchRotation({ ...ports, rotation }) }
  }

  it('makes the next key once, and signs with the old one until DNS shows the next', async () => {
    const { rotation, own } = start()
    const old = own.current
    const [first, ...others] = (await rotation.rotate(poe)).filter(({ state }) => state === 'next')
    assert.ok(first !== undefined && others.length === 0)
    assert.equal(first.dns, 'missing')
    assert.equal((await rotation.rotate(poe)).length, 2)
    assert.equal(own.current, old)
    records = [old.record]
    clock.advance(10 * ttlMs)
    await rotation.check(poe)
    assert.equal(own.current, old)
    records = undefined
    await assertCode('FMTP_DNS_FAILED', () => rotation.check(poe))
    assert.equal((await rotation.list(poe))[0]?.dns, 'unknown')
  })

  it('switches when no answer from before can be kept any more; a record that goes away begins anew', async () => {
    const { rotation, own } = start()
    const old = own.current
    const next = (await rotation.rotate(poe)).find(({ state }) => state === 'next')
    records = [old.record, next?.record ?? '']
    await rotation.check(poe)
    clock.advance(ttlMs - 1000)
    await rotation.check(poe)
    assert.equal(own.current, old)
    records = [old.record]
    await rotation.check(poe)
    records = [old.record, next?.record ?? '']
    clock.advance(2000)
    await rotation.check(poe)
    assert.equal(own.current, old)
    const shown = (await rotation.list(poe)).find(({ state }) => state === 'next')
    assert.ok(Date.parse(shown?.signsFrom ?? '') > clock.now())
    assert.equal(shown?.dns, 'shown')
    clock.advance(ttlMs)
    await rotation.check(poe)
    assert.equal(own.current.record, next?.record)
    assert.deepEqual(events, ['key.switched'])
  })

  it('switches as soon as DNS shows the key where that is wanted', async () => {
    const { rotation, own } = start()
    const next = (await rotation.rotate(poe)).find(({ state }) => state === 'next')
    records = [own.current.record, next?.record ?? '']
    await rotation.rotate(poe, { isHurried: true })
    assert.equal(own.current.record, next?.record)
  })

  it('switches at once on an island', async () => {
    const { rotation, domains } = start()
    const [before] = domains.get(island)?.keys ?? []
    const reports = await rotation.rotate(island)
    assert.deepEqual(reports.map(({ state, dns }) => `${state} ${dns}`).sort(), ['current none', 'old none'])
    assert.notEqual(domains.get(island)?.current, before)
  })

  it('is watched by a running server, each minute', async () => {
    const { rotation, own, watch } = start()
    const next = (await rotation.rotate(poe)).find(({ state }) => state === 'next')
    await using watching = watch()
    watching.start()
    await waitUntil('it has looked once', () => clock.sleepers === 1)
    records = [next?.record ?? '']
    clock.advance(60_000)
    await waitUntil('it is seen', async () => (await rotation.list(poe)).some(({ signsFrom }) => signsFrom))
    clock.advance(ttlMs)
    await waitUntil('it signs', () => own.current.record === next?.record)
  })

  it('deletes an old key when all that it made has ended, or by force; never the one that signs', async () => {
    const { rotation, own } = start()
    const old = own.current.selector
    const next = (await rotation.rotate(poe)).find(({ state }) => state === 'next')
    records = [next?.record ?? '']
    await rotation.rotate(poe, { isHurried: true })
    const from = (await rotation.list(poe)).find(({ state }) => state === 'old')?.mayBeRetiredFrom
    assert.ok(Math.abs(Date.parse(from ?? '') - clock.now() - limits.credentialMs) < 400_000, from)
    assert.throws(() => rotation.retire(poe, own.current.selector, { isForced: true }), /signs for/)
    assert.throws(() => rotation.retire(poe, old), /may live until/)
    clock.advance(limits.credentialMs + limits.clockSkewMs)
    rotation.retire(poe, old)
    assert.ok(!existsSync(file(`${old}.pem`)))
    assert.equal(own.keys.length, 1)
    assert.equal(own.successors.length, 1, 'who pinned it still finds its way')
    assert.throws(() => rotation.retire(poe, old), /has no key/)
    const again = start()
    assert.deepEqual(again.own.current.selector, own.current.selector)
    assert.equal(again.own.successors.length, 1)
  })

  it('by force deletes an old key before its time', async () => {
    const { rotation, own } = start()
    const old = own.current.selector
    const next = (await rotation.rotate(poe)).find(({ state }) => state === 'next')
    records = [next?.record ?? '']
    await rotation.rotate(poe, { isHurried: true })
    rotation.retire(poe, old, { isForced: true })
    assert.ok(!existsSync(file(`${old}.pem`)))
  })

  describe('after a crash', () => {
    it('behind the making of the next key, whatever its name, the old one signs', async () => {
      for (let tried = 0; tried < 8; tried++) {
        const { own } = start()
        const old = own.current.selector
        own.ensureNext()
        const again = start()
        assert.equal(again.own.current.selector, old)
        assert.equal(again.own.next?.selector, own.next?.selector)
        rmSync(join(data, 'keys'), { recursive: true })
      }
    })

    it('between the word of the old key and the switch, the old one signs and the switch comes later', async () => {
      const { own, rotation } = start()
      const old = own.current.selector
      const { selector } = own.ensureNext()
      own.switchTo(selector, clock.now())
      // The last write of the switch was lost.
      writeFileSync(file('current'), `${old}\n`)
      const again = start()
      assert.equal(again.own.current.selector, old)
      assert.equal(again.own.stateOf(selector), 'next')
      assert.deepEqual(again.own.successors, [])
      assert.equal(again.own.findReplacedAtMs(old), undefined)
      records = [own.require(selector).record]
      await rotation.check(poe)
      await again.rotation.rotate(poe, { isHurried: true })
      assert.equal(again.own.current.selector, selector)
      assert.equal(readFileSync(file('current'), 'utf8'), `${selector}\n`)
    })
  })

  it('takes the last of several keys where nothing says which signs; the others are old', () => {
    const { own } = start()
    writeFileSync(file('a.pem'), privatePem(generateKeyPair()))
    writeFileSync(file('z.pem'), privatePem(generateKeyPair()))
    const again = start()
    assert.equal(again.own.current.selector, 'z')
    assert.deepEqual([again.own.stateOf('a'), again.own.stateOf(own.current.selector)], ['old', 'old'])
  })

  it('does not start where the key that signs has no file', () => {
    start()
    writeFileSync(file('current'), 'raven\n')
    assert.throws(start, /raven/)
  })

  describe('of successors', () => {
    const nowMs = Date.now()

    /** Three keys, one after the other. */
    function successions() {
      const { own } = start()
      const pinned = [own.current.key.thumbprint]
      for (let count = 0; count < 2; count++) {
        own.switchTo(own.ensureNext().selector, nowMs + count * 1000)
        pinned.push(own.current.key.thumbprint)
      }
      return { own, pinned, key: own.current.pair.jwk }
    }

    it('each old key leads to the one that signs, and no other does', async () => {
      const { own, pinned, key } = successions()
      const of = { domain: poe, successors: own.successors, nowMs }
      assert.equal(own.successors.length, 2)
      for (const thumbprint of pinned) assert.ok(await isSucceededBy(thumbprint, key, of))
      assert.ok(!(await isSucceededBy(generateKeyPair().thumbprint, key, of)))
      const [first = ''] = pinned
      assert.ok(!(await isSucceededBy(first, generateKeyPair().jwk, of)))
    })

    it('a chain with a link missing, of another domain, or signed by another key leads nowhere', async () => {
      const { own, pinned, key } = successions()
      const [first = ''] = pinned
      const { successors } = own
      const follow = (of: Partial<Parameters<typeof isSucceededBy>[2]>) =>
        isSucceededBy(first, key, { domain: poe, successors, nowMs, ...of })
      assert.ok(await follow({}))
      assert.ok(!(await follow({ successors: successors.slice(1) })))
      assert.ok(!(await follow({ successors: successors.slice(0, 1) })))
      assert.ok(!(await follow({ domain: 'lenore.org' })))
      assert.ok(!(await follow({ nowMs: nowMs + 11 * 365 * 24 * 3_600_000 })))
      const [newest, oldest] = successors
      assert.ok(newest !== undefined && oldest !== undefined)
      // A key may not speak with the word of another, nor lead to itself for ever.
      const swapped = [newest, { ...oldest, credential: newest.credential }]
      assert.ok(!(await follow({ successors: swapped })))
      assert.equal(readCredential(oldest.credential)?.payload.sub, poe)
    })

    it('a hello has room for', () => {
      const { own } = start()
      for (let count = 0; count < 20; count++) own.switchTo(own.ensureNext().selector, nowMs + count * 1000)
      assert.ok(own.successors.length <= 8)
      assert.ok(JSON.stringify(own.successors).length < 4400)
    })
  })
})
