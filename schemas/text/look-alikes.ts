/**
 * Which addresses look the same, so that a server can refuse a new one beside an existing one (protocol §2.5).
 * A short table, not the confusables of UTS 39: the letters of Cyrillic, Greek, Armenian and Latin that pass for plain
 * Latin ones, accents, digits, and pairs that run together. What it lets through is a matter for the operator.
 */

import { type Address, domainOf, localOf } from './names.ts'

/** By the Latin letter they pass for; as escapes, since nobody could proof-read the letters themselves. */
const passFor: Readonly<Record<string, string>> = {
  a: '\u0430\u03b1\u0251',
  b: '\u044c',
  c: '\u0441',
  d: '\u0501\u0111',
  e: '\u0435\u0454',
  g: '\u0261\u0581',
  h: '\u04bb\u0570\u0127',
  i: '\u0456\u0131\u03b9\u0269',
  j: '\u0458\u03f3\u0237',
  k: '\u043a\u03ba',
  l: '1\u04cf\u0142\u01c0',
  m: '\u043c',
  n: '\u0578\u03b7',
  o: '0\u043e\u03bf\u03c3\u03c2\u0585\u00f8\u3007',
  p: '\u0440\u03c1',
  q: '\u051b\u0566',
  r: '\u0433',
  s: '\u0455',
  t: '\u0442\u03c4',
  u: '\u03c5\u057d',
  v: '\u03bd\u0475',
  w: '\u051d\u0461\u03c9',
  x: '\u0445\u03c7',
  y: '\u0443\u03b3\u04af',
  ss: '\u00df',
  ae: '\u00e6',
  oe: '\u0153',
  '-': '_',
}

const plainOf: ReadonlyMap<string, string> = new Map(
  Object.entries(passFor).flatMap(([plain, others]) => [...others].map(other => [other, plain] as const)),
)

/** Accents, not the vowel signs of Indic scripts, which make other words, nor the kana voicing marks. */
const accents = /(?![\u3099\u309a])\p{Script=Inherited}/gu

/**
 * A text that two addresses share when one could be taken for the other. It is for comparing only: no name, not
 * shown to anyone, and not kept, since the table may grow. The domain stays, for registration is within one.
 */
export function skeletonOf(address: Address): string {
  const bare = localOf(address).normalize('NFKD').replace(accents, '')
  const plain = [...bare].map(char => plainOf.get(char) ?? char).join('')
  const merged = plain.replaceAll('rn', 'm').replaceAll('vv', 'w').replaceAll('cl', 'd')
  return `${merged}@${domainOf(address)}`
}
