/**
 * docs/ against the code: citations lead somewhere, tables say what the source says, examples are taken by the
 * validators and their signatures verify. Checks are functions of texts, so that each is tried on a broken text too.
 */

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../objects/clock.ts'
import { readCredential, verifyCredential } from '../objects/seals/credential.ts'
import { thumbprintOf, verifierOf } from '../objects/seals/keys.ts'
import { type DomainKeys, digestOf, verifySeal } from '../objects/seals/seal.ts'
import { isSucceededBy } from '../objects/seals/successors.ts'
import { createDomainKeys } from '../routing/dns/domain-keys.ts'
import type { Resolver } from '../routing/dns/resolver.ts'
import { canonicalText } from '../schemas/canonical.ts'
import { failures, toFmtpError } from '../schemas/failures.ts'
import { frames, type HelloFrame } from '../schemas/frame.ts'
import { coreMembers } from '../schemas/kinds/kinds.ts'
import { limits } from '../schemas/limits.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { isCredentialPayload, parseFrame } from '../schemas/parse.ts'
import { coreKinds, isSealed } from '../schemas/parse-object.ts'
import { decodeFrame } from '../wire/codec.ts'
import { findProofKid, isProvenBy } from '../wire/hello.ts'
import { readJws } from '../wire/jws.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const protocol = read('docs/protocol.md')
const codeFolders = ['schemas', 'wire', 'objects', 'routing', 'server', 'client']
/** A moment at which the credentials of the examples are live. */
const nowMs = Date.parse('2025-11-20T12:00:00.000Z')

/** Numbers of the sections, in the order in which they stand. */
function sectionsOf(text: string): string[] {
  return [...withoutFences(text).matchAll(/^##+ (\d+(?:\.\d+)*) /gm)].map(([, number = '']) => number)
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```.*?^```$/gms, '')
}

/** What is wrong with the numbering: a number that does not follow the one before. */
function findMisnumbered(text: string): string[] {
  const numbers = sectionsOf(text)
  return numbers.filter((number, index) => {
    const [chapter = 0, section = 0] = number.split('.').map(Number)
    const [lastChapter = 0, lastSection = 0] = (numbers[index - 1] ?? '0').split('.').map(Number)
    return section === 0
      ? chapter !== lastChapter + 1
      : chapter !== lastChapter || section !== lastSection + 1
  })
}

interface Citation {
  readonly where: string
  readonly section: string
}

function sourceFiles(): string[] {
  return codeFolders.flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .map(name => `${folder}/${name}`),
  )
}

/** Sections of the protocol that the comments of a source cite; sections of an RFC that was named before are not ours. */
function citationsOf(path: string, source: string): Citation[] {
  return [...source.matchAll(/\/\*.*?\*\/|\/\/[^\n]*/gs)].flatMap(([comment]) => {
    let isOurs = true
    const found: Citation[] = []
    for (const [text, section] of comment.matchAll(/RFC \d+|UTS \d+|protocol\b|§(\d+(?:\.\d+)*)/g)) {
      if (section === undefined) isOurs = text === 'protocol'
      else if (isOurs) found.push({ where: path, section })
    }
    return found
  })
}

/** Sections that a page cites; of the protocol itself in protocol.md, behind the word `protocol` elsewhere. */
function referencesOf(path: string, text: string): Citation[] {
  const isProtocol = path === 'docs/protocol.md'
  const pattern = isProtocol
    ? /(RFC \d+ |UTS \d+ |Unicode )?§(\d+(?:\.\d+)*)/g
    : /(RFC \d+ )?protocol §(\d+(?:\.\d+)*)/g
  return [...withoutFences(text).matchAll(pattern)]
    .filter(([, foreign]) => foreign === undefined)
    .map(([, , section = '']) => ({ where: path, section }))
}

function findLost(citations: readonly Citation[], text: string): string[] {
  const sections = new Set(sectionsOf(text))
  return citations
    .filter(({ section }) => !sections.has(section))
    .map(({ where, section }) => `${where}: §${section}`)
}

/** Rows of a table whose first cell is a word in backticks; cells without their spaces. */
function rowsOf(text: string, section: string): string[][] {
  const start = text.search(new RegExp(`^##+ ${section.replace('.', '\\.')} `, 'm'))
  const rest = text.slice(start)
  const [, ...lines] = rest.split('\n')
  const end = lines.findIndex(line => line.startsWith('##'))
  return lines
    .slice(0, end === -1 ? undefined : end)
    .filter(line => /^\| `\w+` \|/.test(line))
    .map(line =>
      line
        .slice(1, -1)
        .split('|')
        .map(cell => cell.trim()),
    )
}

function compareFailures(text: string): string[] {
  const yes = (value: boolean): string => (value ? 'yes' : 'no')
  const wanted = Object.entries(failures).map(([code, failure]) =>
    [`\`${code}\``, failure.text, yes(failure.isTemporary), yes(failure.closes), String(failure.status)].join(
      ' | ',
    ),
  )
  const found = rowsOf(text, '11').map(cells => cells.join(' | '))
  return [
    ...wanted.filter(row => !found.includes(row)).map(row => `missing: ${row}`),
    ...found.filter(row => !wanted.includes(row)).map(row => `too much: ${row}`),
  ]
}

function compareLimits(text: string): string[] {
  const values: Readonly<Record<string, number>> = limits
  return rowsOf(text, '12.1').flatMap(([name = '', value = '']) => {
    const wanted = values[name.slice(1, -1)]
    return String(wanted) === value ? [] : [`${name}: ${value} in the page, ${wanted} in the source`]
  })
}

interface Example {
  readonly sort: string
  readonly text: string
}

function examplesOf(text: string): Example[] {
  return [...text.matchAll(/^```json ?(\w*)\n(.*?)^```$/gms)].map(([, sort = '', body = '']) => ({
    sort,
    text: body,
  }))
}

const checks: Readonly<Record<string, (value: object) => void>> = {
  frame(value) {
    const frame = parseFrame(value)
    assert.deepEqual(decodeFrame(JSON.stringify(value)), frame)
    if (frame.verb !== 'describe') return
    if (isSealed(frame.object)) coreKinds.parseObject(frame.object)
    else coreKinds.parseDraft(frame.object)
  },
  object: value => void coreKinds.parseObject(value),
  draft: value => {
    assert.ok(!isSealed(value), 'a draft has no seal')
    coreKinds.parseDraft(value)
  },
  credential: value => assert.ok(isCredentialPayload(value), 'no payload of a credential'),
  header: value => assert.deepEqual(Object.keys(value), ['alg', 'kid', 'typ']),
}

/** What the validators say against the examples of a page. */
function findBadExamples(text: string): string[] {
  return examplesOf(text).flatMap(({ sort, text: body }) => {
    const check = checks[sort]
    if (check === undefined) return [`an example that is marked "${sort}": ${body.slice(0, 60)}`]
    try {
      check(JSON.parse(body) as object)
      return []
    } catch (thrown) {
      return [`${sort}: ${toFmtpError(thrown).message}: ${body.slice(0, 60)}`]
    }
  })
}

/** The keys of poe.net as the page shows them in its zone. */
function keysOf(text: string): DomainKeys {
  const [, record = ''] = /^ +fmtpkey\.poe\.net\. \d+ IN TXT "(.*)"$/m.exec(text) ?? []
  const answer = { records: [record], exists: true, ttlMs: 3_600_000, isSecure: false, server: '' }
  const resolver = { txt: async () => answer } as unknown as Resolver
  return createDomainKeys({
    resolver,
    clock: { ...systemClock, now: () => nowMs },
    findOwn: () => undefined,
    onEvent: () => undefined,
  })
}

/** Signatures of the examples that do not verify. */
async function findUnproven(text: string): Promise<string[]> {
  const keys = keysOf(text)
  const problems: string[] = []
  for (const { sort, text: body } of examplesOf(text)) {
    const value = JSON.parse(body) as HelloFrame & { object?: FmtpObject }
    const object = sort === 'object' ? (value as unknown as FmtpObject) : value.object
    if (object !== undefined && isSealed(object)) {
      const verdict = await verifySeal(object, keys, nowMs)
      if (!verdict.isBelieved) problems.push(`${object.id}: ${verdict.code} ${verdict.reason}`)
    }
    if (value.proof !== undefined && !(await isProven(value as HelloFrame, keys)))
      problems.push(`hello: ${body.slice(0, 80)}`)
    if (value.successors !== undefined && !(await isSuccession(value as HelloFrame, keys)))
      problems.push(`successors: ${body.slice(0, 80)}`)
  }
  return problems
}

/** From the key that the zone shows to the one of the hello. */
async function isSuccession({ key, successors = [] }: HelloFrame, keys: DomainKeys): Promise<boolean> {
  const [{ thumbprint } = { thumbprint: '' }] = await keys.find('poe.net')
  const of = { domain: 'poe.net', successors, nowMs }
  return key !== undefined && isSucceededBy(thumbprint, key, of)
}

/** By the domain key in DNS, the credential's key, the key that is enrolled, or the key that another domain shows. */
async function isProven(hello: HelloFrame, keys: DomainKeys): Promise<boolean> {
  const kid = findProofKid(hello)
  for (const { selector, verifier } of await keys.find('poe.net')) {
    if (selector === kid) return isProvenBy(hello, verifier)
    const credential =
      hello.credential === undefined ? undefined : await verifyCredential(hello.credential, verifier)
    if (credential !== undefined)
      return credential.thumbprint === kid && isProvenBy(hello, credential.verifier)
  }
  const { key } = hello
  if (key === undefined || (hello.role === 'opens' && thumbprintOf(key) !== kid)) return false
  return isProvenBy(hello, verifierOf(key))
}

/** The byte forms that the page shows as text, which must be those of its examples. */
function findWrongTexts(text: string): string[] {
  const shown = [...text.matchAll(/^```text\n(.*?)\n```$/gms)].map(([, body = '']) => body)
  const examples = examplesOf(text)
  const values = examples.map(example => JSON.parse(example.text) as Record<string, unknown>)
  const known = new Set<string>()
  for (const value of values) {
    const { proof, encryptedKey, hash, ...rest } = value
    known.add(canonicalText(rest))
    if (typeof encryptedKey === 'string') known.add(encryptedKey).add(digestOf(value as FmtpObject))
  }
  const wrong = shown.filter(body => !known.has(body))
  for (const { sort, text: body } of examples) {
    const value = JSON.parse(body) as object
    if (sort === 'credential' && !shown.some(each => isSame(readCredential(each)?.payload, value)))
      wrong.push(body)
    if (sort === 'header' && !shown.some(each => isHeaderOf(each, value))) wrong.push(body)
  }
  return wrong
}

function isSame(left: unknown, right: unknown): boolean {
  return left !== undefined && JSON.stringify(left) === JSON.stringify(right)
}

function isHeaderOf(jws: string, header: object): boolean {
  const [encoded = ''] = jws.split('.')
  return (
    readJws(jws, 'fmtp-key') !== undefined &&
    Buffer.from(encoded, 'base64url').toString('utf8') === JSON.stringify(header)
  )
}

const pages = readdirSync(join(root, 'docs')).filter(name => name.endsWith('.md'))
const citations = sourceFiles().flatMap(path => citationsOf(path, read(path)))

describe('docs', () => {
  it('numbers its sections without gaps', () => assert.deepEqual(findMisnumbered(protocol), []))

  it('has every section that the code cites', () => {
    assert.ok(citations.length > 50, `only ${citations.length} citations were found`)
    assert.deepEqual(findLost(citations, protocol), [])
  })

  it('has every section that its pages cite', () => {
    for (const page of pages)
      assert.deepEqual(findLost(referencesOf(`docs/${page}`, read(`docs/${page}`)), protocol), [])
  })

  it('has every page that the code names', () => {
    for (const path of sourceFiles()) {
      for (const [page] of read(path).matchAll(/docs\/[a-z-]+\.md/g))
        assert.ok(existsSync(join(root, page)), `${path}: ${page}`)
    }
  })

  it('has no section that no code cites, but the introduction', () => {
    const cited = new Set(citations.map(({ section }) => section))
    assert.deepEqual(
      sectionsOf(protocol).filter(section => !cited.has(section)),
      ['1'],
    )
  })

  it('tells the failures of the source', () => assert.deepEqual(compareFailures(protocol), []))

  it('tells the limits of the source', () => {
    assert.ok(rowsOf(protocol, '12.1').length > 30)
    assert.deepEqual(compareLimits(protocol), [])
  })

  it('shows only examples that the validators take', () => {
    assert.ok(examplesOf(protocol).length > 20)
    assert.deepEqual(findBadExamples(protocol), [])
  })

  it('shows an example of every verb and kind', () => {
    const values = examplesOf(protocol).map(({ text }) => JSON.parse(text) as Record<string, unknown>)
    for (const verb of Object.keys(frames))
      assert.ok(
        values.some(value => value.verb === verb),
        verb,
      )
    for (const kind of Object.keys(coreMembers))
      assert.ok(
        values.some(value => value.kind === kind && isSealed(value)),
        kind,
      )
  })

  it('shows signatures that verify', async () => assert.deepEqual(await findUnproven(protocol), []))

  it('shows the byte forms of its examples', () => assert.deepEqual(findWrongTexts(protocol), []))
})

/** A page with one thing wrong, and the check that must see it. */
const broken: readonly (readonly [
  name: string,
  find: string | RegExp,
  replace: string,
  check: (text: string) => string[] | Promise<string[]>,
])[] = [
  ['a section that is missing', /^### 5\.4 /m, '### Checks ', text => findLost(citations, text)],
  ['a section that is cited by the page', /^### 4\.6 /m, '### Outcomes ', lostInPage],
  ['a number that was skipped', /^### 9\.4 /m, '### 9.8 ', findMisnumbered],
  ['another text of a failure', 'Say hello before anything else.', 'Say hello.', compareFailures],
  ['a failure that closes', '| no | no | 409 |', '| no | yes | 409 |', compareFailures],
  ['another temporary failure', '| yes | no | 507 |', '| no | no | 507 |', compareFailures],
  ['a failure that is left out', /^\| `FMTP_QUOTA`.*\n/m, '', compareFailures],
  ['another limit', '| `helloMs` | 10000 |', '| `helloMs` | 5000 |', compareLimits],
  ['a limit that is not there', '| `hops` | 16 |', '| `jumps` | 16 |', compareLimits],
  ['a frame without its verb', '"verb": "goodbye", ', '', findBadExamples],
  ['a frame of the wrong type', '"re": 1,', '"re": "1",', findBadExamples],
  ['an object of the wrong shape', '"registration": "closed"', '"registration": "shut"', findBadExamples],
  ['an object inside a frame', '"to": ["lost@lenore.org"]', '"to": ["lost"]', findBadExamples],
  ['a draft of the wrong shape', '"to": ["edgar@poe.net"]', '"to": []', findBadExamples],
  ['an example that is not marked', '```json frame', '```json', findBadExamples],
  ['an object that was changed', '"body": "Quoth the raven"', '"body": "Quoth the crow"', findUnproven],
  ['a hello that was changed', '"to": "lenore.org"', '"to": "lenore.net"', findUnproven],
  ['successors that were taken out', '"successors": [', '"successors": [], "x": [', findUnproven],
  ['another key in DNS', /(IN TXT ".*p=)[^"]{8}/, '$1AAAAAAAA', unprovenOrNoKey],
  ['another digest', /^[A-Za-z0-9_-]{43}$/m, 'A'.repeat(43), findWrongTexts],
  ['another canonical form', '{"body":"Quoth the raven"', '{ "body":"Quoth the raven"', findWrongTexts],
]

function lostInPage(text: string): string[] {
  return findLost(referencesOf('docs/protocol.md', text), text)
}

async function unprovenOrNoKey(text: string): Promise<string[]> {
  try {
    return await findUnproven(text)
  } catch (thrown) {
    return [toFmtpError(thrown).code]
  }
}

describe('docs / the checks see', () => {
  for (const [name, find, replace, check] of broken) {
    it(name, async () => {
      const text = protocol.replace(find, replace)
      assert.notEqual(text, protocol, 'nothing was replaced')
      assert.notDeepEqual(await check(text), [])
    })
  }

  it('a citation in a comment, and no section of an RFC', () => {
    const source = [
      '/** As RFC 5893 §2 says (protocol §2.2, §99.1). */',
      "const text = 'x' // §98",
      '// RFC 1035 §97',
    ].join('\n')
    assert.deepEqual(
      citationsOf('a.ts', source).map(({ section }) => section),
      ['2.2', '99.1', '98'],
    )
    assert.deepEqual(findLost(citationsOf('a.ts', source), protocol), ['a.ts: §99.1', 'a.ts: §98'])
  })
})
