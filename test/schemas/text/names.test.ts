/** Names (protocol §2): every line of the vectors, and what must hold of any text. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { FmtpError } from '../../../schemas/failures.ts'
import { skeletonOf } from '../../../schemas/text/look-alikes.ts'
import {
  domainOf,
  isAddress,
  isAddressName,
  isDomain,
  isName,
  isObjectId,
  localOf,
  makeObjectId,
  nonceOf,
  ownerOf,
  parseAddress,
  parseDomain,
  parseName,
  parseObjectId,
} from '../../../schemas/text/names.ts'

interface Grammar {
  readonly parse: (input: unknown) => string
  readonly is: (text: string) => boolean
}

const grammars: Readonly<Record<string, Grammar>> = {
  domain: { parse: parseDomain, is: isDomain },
  address: { parse: parseAddress, is: isAddress },
  name: { parse: parseName, is: isName },
  id: { parse: parseObjectId, is: isObjectId },
}

const readEscapes = (text: string) =>
  text.replace(/\\u\{([0-9a-f]+)\}/g, (_, hex: string) => String.fromCodePoint(Number.parseInt(hex, 16)))

// From dist/test/schemas the vectors are in the source tree: tsc copies no text files.
const lines = readFileSync(new URL('../../../../test/vectors/names.txt', import.meta.url), 'utf8')
  .split('\n')
  .map((line, index) => ({ line, number: index + 1 }))
  .filter(({ line }) => line !== '' && !line.startsWith('#'))

const isBadName = (error: unknown) => error instanceof FmtpError && error.code === 'FMTP_BAD_NAME'

describe('names / vectors', () => {
  it('are many', () => assert.ok(lines.length >= 150))

  for (const { line, number } of lines) {
    const [kind = '', escaped = '', expected = ''] = line.split('\t')
    const grammar = grammars[kind]
    it(`line ${number}: ${kind} ${escaped.slice(0, 60)}`, () => {
      assert.ok(grammar, 'a kind this test knows')
      const input = readEscapes(escaped)
      if (expected === '!') {
        assert.throws(() => grammar.parse(input), isBadName)
        assert.equal(grammar.is(input), false)
        return
      }
      const canonical = readEscapes(expected)
      assert.equal(grammar.parse(input), canonical)
      assert.equal(grammar.parse(canonical), canonical)
      assert.equal(grammar.is(canonical), true)
      assert.equal(grammar.is(input), input === canonical)
    })
  }
})

describe('names / any text', () => {
  // Letters alone are rarely a name: half of the texts are made of what names and their traps are made of.
  const pieces = fc.constantFrom(
    ...['edgar', 'poe', '.net', '@', '#', '.', '-', '_', '1', 'xn--', 'xn--bcher-kva', '0x7', 'É', 'e\u0301'],
    ...['Σ', 'İ', 'ẞ', '\uff21', '\uff76\uff9e', '\u200c', '\u200d', '\u094d', 'क', 'ب', 'א', '\u0661', '。'],
    ...['l·l', '\u30fb', 'カ', '\u1100', '\ud800', '\u{1f600}', '\u3000', '\u0323'],
  )
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 12 }).map(found => found.join('')),
    fc.array(pieces, { maxLength: 6 }).map(found => `${found.join('')}@poe.net`),
  )

  for (const [kind, { parse, is }] of Object.entries(grammars)) {
    it(`is ${kind} or FMTP_BAD_NAME, and canonical after one parse`, () => {
      fc.assert(
        fc.property(texts, text => {
          let canonical: string
          try {
            canonical = parse(text)
          } catch (error) {
            assert.ok(isBadName(error))
            assert.equal(is(text), false)
            return
          }
          assert.equal(parse(canonical), canonical)
          assert.equal(is(canonical), true)
          assert.equal(is(text), text === canonical)
        }),
        { numRuns: 2000 },
      )
    })

    it(`is no ${kind} without being a text`, () => {
      for (const input of [undefined, null, 1, {}, ['poe.net'], true]) {
        assert.throws(() => parse(input), isBadName)
      }
    })
  }

  it('with a lone surrogate is no name', () => {
    assert.throws(() => parseAddress('a\ud800@poe.net'), isBadName)
    assert.throws(() => parseDomain('a\udc00.net'), isBadName)
  })
})

describe('names / parts', () => {
  const edgar = parseAddress('edgar@poe.net')
  const poe = parseDomain('poe.net')

  it('takes an address apart', () => {
    assert.equal(domainOf(edgar), poe)
    assert.equal(domainOf(poe), poe)
    assert.equal(localOf(edgar), 'edgar')
    assert.equal(isAddressName(edgar), true)
    assert.equal(isAddressName(poe), false)
  })

  it('takes an id apart at its first dot', () => {
    const id = makeObjectId('1239583738491', parseAddress('edgar.allan@poe.net'))
    assert.equal(id, '1239583738491.edgar.allan@poe.net')
    assert.equal(nonceOf(id), '1239583738491')
    assert.equal(ownerOf(id), 'edgar.allan@poe.net')
    const server = parseObjectId('server.poe.net')
    assert.deepEqual([nonceOf(server), ownerOf(server)], ['server', poe])
  })

  it('makes no id of a bad nonce', () => {
    for (const nonce of ['', 'a.b', 'a b', 'é', 'a'.repeat(41), 'a\n']) {
      assert.throws(() => makeObjectId(nonce, edgar), isBadName)
    }
  })
})

describe('names / look-alikes', () => {
  const skeleton = (local: string) => skeletonOf(parseAddress(`${local}@poe.net`))
  const pairs: readonly (readonly [string, string])[] = [
    ['edgar', 'edg\u0430r'],
    ['edgar', 'édgar'],
    ['bob', 'b0b'],
    ['lost', '1ost'],
    ['lost', 'l\u03bfst'],
    ['barn', 'bam'],
    ['alice', 'al\u0456c\u0435'],
    ['a_b', 'a-b'],
  ]

  for (const [left, right] of pairs) {
    it(`${left} and ${right} look the same`, () => assert.equal(skeleton(left), skeleton(right)))
  }

  it('keeps apart what nobody mistakes, and vowel signs of Indic scripts', () => {
    assert.notEqual(skeleton('edgar'), skeleton('alice'))
    assert.notEqual(skeleton('राम'), skeleton('रमा'))
    assert.notEqual(skeleton('か'), skeleton('が'))
    assert.notEqual(skeleton('bob'), skeletonOf(parseAddress('bob@lenore.org')))
  })
})
