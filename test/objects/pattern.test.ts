import assert from 'node:assert/strict'
import fc from 'fast-check'
import { findMatch, isMatch } from '../../objects/pattern.ts'

describe('pattern', () => {
  const cases: readonly (readonly [pattern: string, text: string, isMatch: boolean])[] = [
    ['edgar@poe.net', 'edgar@poe.net', true],
    ['Edgar@Poe.net', 'edgar@poe.net', true],
    ['edgar@poe.net', 'edgar@poe.net.example', false],
    ['edgar@poe.net', 'xedgar@poe.net', false],
    ['*', '', true],
    ['*', 'edgar@poe.net', true],
    ['*@poe.net', 'edgar@poe.net', true],
    ['*@poe.net', 'edgar@evil-poe.net', false],
    ['*@poe.net', 'edgar@poe.net.example', false],
    ['*@*.edu', 'lenore@usher.edu', true],
    ['*@*.edu', 'lenore@edu', false],
    ['edgar@*', 'edgar@poe.net', true],
    ['e*r@poe.net', 'er@poe.net', true],
    ['e*r@poe.net', 'e@poe.net', false],
    ['ab*ba', 'aba', false],
    ['ab*ba', 'abba', true],
    ['a*a', 'a', false],
    ['**', 'x', true],
    ['a**b', 'ab', true],
    ['*a*b*', 'xaxbx', true],
    ['*a*b*', 'ba', false],
    ['edgar@poe.ne?', 'edgar@poe.net', false],
    ['edgar@poe.net|', 'edgar@poe.net', false],
    ['.*@poe.net', 'edgar@poe.net', false],
    ['', '', true],
    ['', 'x', false],
  ]
  for (const [pattern, text, expected] of cases) {
    it(`${pattern || '(nothing)'} ${expected ? 'describes' : 'does not describe'} ${text || '(nothing)'}`, () => {
      assert.equal(isMatch(pattern, text), expected)
    })
  }

  it('means what the same wildcard means as a regular expression', () => {
    const short = fc.stringMatching(/^[ab*@.]{0,8}$/)
    fc.assert(
      fc.property(short, fc.stringMatching(/^[ab@.]{0,10}$/), (pattern, text) => {
        const escaped = pattern.replaceAll('.', '\\.').replaceAll('*', '.*')
        assert.equal(isMatch(pattern, text), new RegExp(`^${escaped}$`).test(text))
      }),
      { numRuns: 1000 },
    )
  })

  it('costs little, whatever it says', () => {
    const before = process.cpuUsage()
    for (let at = 0; at < 100; at++) assert.equal(isMatch(`${'*a'.repeat(100)}b`, 'a'.repeat(200)), false)
    assert.ok(process.cpuUsage(before).user < 200_000)
  })

  it('is found as the first that describes the text', () => {
    assert.equal(findMatch(['*@lenore.org', '*@poe.net', '*'], 'edgar@poe.net'), '*@poe.net')
    assert.equal(findMatch(['*@lenore.org'], 'edgar@poe.net'), undefined)
    assert.equal(findMatch(undefined, 'edgar@poe.net'), undefined)
  })
})
