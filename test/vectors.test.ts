/** The vectors that other implementations share (test/vectors/README.md): every case of every JSON file. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { systemClock } from '../objects/clock.ts'
import { isMatch } from '../objects/pattern.ts'
import { decideReach, decideReadable } from '../objects/policy.ts'
import { type DomainKeys, digestOf, verifySeal } from '../objects/seals/seal.ts'
import { createDomainKeys } from '../routing/dns/domain-keys.ts'
import type { Resolver } from '../routing/dns/resolver.ts'
import { canonicalText, parseJson } from '../schemas/canonical.ts'
import { FmtpError } from '../schemas/failures.ts'
import { coreMembers } from '../schemas/kinds/kinds.ts'
import type { User } from '../schemas/kinds/user.ts'
import { limits } from '../schemas/limits.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { coreKinds, parseAnyObject } from '../schemas/parse-object.ts'

// From dist/test the vectors are in the source tree: tsc copies no data.
function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../test/vectors/${name}`, import.meta.url), 'utf8')) as T
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof FmtpError) return error.code
    throw error
  }
}

interface CanonicalCase {
  readonly name: string
  readonly input: string
  readonly canonical?: string
  readonly code?: string
}

interface ObjectCase {
  readonly name: string
  readonly object?: FmtpObject
  readonly draft?: { readonly kind: string }
  readonly digest?: string
  readonly code?: string
}

interface Seals {
  readonly keys: Readonly<Record<string, { readonly record?: string }>>
  readonly dns: readonly string[]
  readonly cases: readonly {
    readonly name: string
    readonly now: string
    readonly dns?: readonly string[]
    readonly digest?: string
    readonly code?: string
    readonly object: FmtpObject
  }[]
}

interface Decided {
  readonly name: string
  readonly user: User
  readonly accepted: boolean
  readonly code?: string
}

interface Policies {
  readonly patterns: readonly { readonly pattern: string; readonly text: string; readonly matches: boolean }[]
  readonly reach: readonly (Decided & {
    readonly approach: {
      readonly judged: string | null
      readonly forward: boolean
      readonly tookPart: boolean
    }
  })[]
  readonly readable: readonly (Decided & { readonly object: FmtpObject })[]
}

const parse = ({ object, draft }: ObjectCase) =>
  object === undefined ? coreKinds.parseDraft(draft) : coreKinds.parseObject(object)

describe('vectors / canonical.json', () => {
  const cases = read<CanonicalCase[]>('canonical.json')
  it('are many', () => assert.ok(cases.length >= 45))

  for (const { name, input, canonical, code } of cases) {
    it(`${name} is ${code ?? 'well'}`, () => {
      let text: string | undefined
      const found = codeOf(() => {
        text = canonicalText(parseJson(input, limits.objectDepth) as object)
      })
      assert.equal(found, code)
      assert.equal(text, canonical)
      if (text !== undefined) assert.equal(canonicalText(parseJson(text, limits.objectDepth) as object), text)
    })
  }
})

describe('vectors / objects-valid.json', () => {
  const cases = read<ObjectCase[]>('objects-valid.json')
  it('are many', () => assert.ok(cases.length >= 75))

  it('have every kind, and a tombstone and a draft of each', () => {
    for (const kind of Object.keys(coreMembers)) {
      const own = cases.filter(({ object, draft }) => (object ?? draft)?.kind === kind)
      assert.ok(own.filter(({ object }) => object !== undefined).length >= 4, kind)
      assert.ok(
        own.some(({ object }) => object?.deleted === true),
        kind,
      )
      assert.ok(own.filter(({ draft }) => draft !== undefined).length >= 2, kind)
    }
  })

  for (const each of cases) {
    it(each.name, () => {
      const before = JSON.stringify(each.object ?? each.draft)
      const parsed = parse(each)
      assert.equal(JSON.stringify(parsed), before, 'parsing changes nothing')
      if (each.object === undefined) return
      assert.equal(digestOf(each.object), each.digest)
      assert.deepEqual(parseAnyObject(each.object), parsed)
    })
  }
})

describe('vectors / objects-invalid.json', () => {
  const cases = read<ObjectCase[]>('objects-invalid.json')
  it('are many', () => assert.ok(cases.length >= 210))

  for (const each of cases) {
    it(`${each.name} is ${each.code}`, () => {
      assert.equal(
        codeOf(() => parse(each)),
        each.code,
      )
    })
  }
})

describe('vectors / seals.json', () => {
  const { keys, dns, cases } = read<Seals>('seals.json')
  it('are many', () => assert.ok(cases.length >= 35))

  function keysAt(published: readonly string[], nowMs: number): DomainKeys {
    const records = published.map(name => keys[name]?.record ?? '')
    const answer = { records, exists: true, ttlMs: 3_600_000, isSecure: false, server: '' }
    return createDomainKeys({
      resolver: { txt: async () => answer } as unknown as Resolver,
      clock: { ...systemClock, now: () => nowMs },
      findOwn: () => undefined,
      onEvent: () => undefined,
    })
  }

  for (const each of cases) {
    it(`${each.name} is ${each.code ?? 'believed'}`, async () => {
      const nowMs = Date.parse(each.now)
      const verdict = await verifySeal(each.object, keysAt(each.dns ?? dns, nowMs), nowMs)
      assert.equal(verdict.isBelieved ? undefined : verdict.code, each.code)
      if (verdict.isBelieved) assert.equal(verdict.verified.digest, each.digest)
    })
  }

  it('verify for the valid objects too', async () => {
    const nowMs = Date.parse('2025-11-20T12:00:00.000Z')
    const valid = read<ObjectCase[]>('objects-valid.json').flatMap(({ object }) => object ?? [])
    for (const object of valid) {
      const verdict = await verifySeal(object, keysAt(dns, nowMs), nowMs)
      assert.ok(verdict.isBelieved, object.id)
    }
  })
})

describe('vectors / policies.json', () => {
  const { patterns, reach, readable } = read<Policies>('policies.json')
  it('are many', () => {
    assert.ok(patterns.length >= 25)
    assert.ok(reach.length >= 20)
    assert.ok(readable.length >= 15)
  })

  for (const { pattern, text, matches } of patterns)
    it(`${pattern} matches ${text}: ${matches}`, () => assert.equal(isMatch(pattern, text), matches))

  for (const { name, user, approach, accepted, code } of reach) {
    it(`of ${name} is ${code ?? 'accepted'}`, () => {
      const { judged, forward: isForward, tookPart: hasTakenPart } = approach
      const decision = decideReach(user, { judged: judged ?? undefined, isForward, hasTakenPart })
      assert.equal(decision.isAccepted, accepted)
      assert.equal(decision.isAccepted ? undefined : decision.code, code)
    })
  }

  for (const { name, user, object, accepted, code } of readable) {
    it(`of ${name} is ${code ?? 'readable'}`, () => {
      const decision = decideReadable(user, object)
      assert.equal(decision.isAccepted, accepted)
      assert.equal(decision.isAccepted ? undefined : decision.code, code)
    })
  }
})
