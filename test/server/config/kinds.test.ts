/** Kinds that an operator adds (protocol §6.13), from their folder to the servers of two domains. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FmtpError } from '../../../schemas/failures.ts'
import { coreKinds } from '../../../schemas/parse-object.ts'
import { loadKinds } from '../../../server/config/kinds.ts'
import { CommandLine, linksOf, root } from '../../support/command.ts'
import { ownAddress } from '../../support/loopback.ts'

/** The examples of docs/operations.md: a schema and a draft. */
const [schemaText = '', draftText = ''] = [
  ...readFileSync(join(root, 'docs/operations.md'), 'utf8').matchAll(/^```json\n(.*?)^```$/gms),
].map(([, text = '']) => text)

describe('loadKinds', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-kinds-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const put = (name: string, text: string | Uint8Array) => writeFileSync(join(folder, name), text)

  /** The lines of the error, with file names only. */
  function complaints(path = folder): string[] {
    try {
      loadKinds(path)
    } catch (error) {
      assert.ok(error instanceof FmtpError)
      assert.equal(error.code, 'FMTP_CONFIG')
      return error.message.replace('FMTP_CONFIG: ', '').replaceAll(`${folder}/`, '').split('\n')
    }
    return []
  }

  it('of no folder are the kinds of the protocol, and of an empty one too', () => {
    assert.equal(loadKinds(''), coreKinds)
    assert.equal(loadKinds(folder).has('recipe'), false)
    assert.equal(loadKinds(folder).has('post'), true)
  })

  it('of the operator page take its draft', () => {
    put('recipe.json', schemaText)
    put('README.md', 'is passed over')
    put('.recipe.json', 'and so is this')
    const kinds = loadKinds(folder)
    assert.ok(kinds.has('recipe'))
    const draft = JSON.parse(draftText) as object
    assert.equal(kinds.parseDraft(draft), draft)
    assert.throws(() => kinds.parseDraft({ ...draft, serves: 0 }), { code: 'FMTP_BAD_OBJECT' })
    assert.throws(() => coreKinds.parseDraft(draft), { code: 'FMTP_UNKNOWN_KIND' })
  })

  it('tells what is wrong in all files at once, by file and place', () => {
    put('good.json', schemaText)
    put('Bad name.json', schemaText)
    put('half.json', '{"type":')
    put('latin.json', Uint8Array.of(0x7b, 0xff, 0x7d))
    put('long.json', ' '.repeat(64 * 1024 + 1))
    put('post.json', schemaText)
    put('twice.json', '{"type":"object","type":"object","properties":{}}')
    put('wide.json', '{"type":"object","properties":{"a":{"type":"string"},"id":{"type":"boolean"}}}')
    put('deep.json', `${'['.repeat(33)}${']'.repeat(33)}`)
    mkdirSync(join(folder, 'sub.json'))
    assert.deepEqual(complaints(), [
      'Bad name.json: a kind is named by 1 to 32 of a-z 0-9 -, a letter first',
      'deep.json: not JSON as objects are (FMTP_TOO_DEEP)',
      'half.json: not JSON as objects are (FMTP_NOT_JSON)',
      'latin.json: can not be read (ERR_ENCODING_INVALID_ENCODED_DATA)',
      'long.json: expected at most 65536 bytes, found 65537',
      'post.json: post is a kind of the protocol',
      'sub.json: can not be read (EISDIR)',
      'twice.json: not JSON as objects are (FMTP_DUPLICATE_NAME: type)',
      'wide.json: properties.id: is a member of every object, or of a user',
      'wide.json: properties.a: expected maxLength',
    ])
  })

  it('are 64 at most, in a folder that is there', () => {
    for (let at = 0; at < 64; at++) put(`kind-${at}.json`, schemaText)
    assert.deepEqual(complaints(), [])
    put('kind-64.json', schemaText)
    assert.deepEqual(complaints(), [`${folder}: expected at most 64 kinds, found 65`])
    assert.deepEqual(complaints(join(folder, 'none')), ['none: no such folder or file'])
  })
})

describe('fmtp serve with kinds', () => {
  const address = ownAddress(201)

  function prepare(line: CommandLine, text: string): void {
    const file = line.writeIsland(address)
    const config = readFileSync(file, 'utf8').replaceAll(':3687"', ':0"').replaceAll(':8080"', ':0"')
    writeFileSync(file, `kinds = "kinds"\n${config.replace(/originUrl = .*/, '')}`)
    mkdirSync(join(line.folder, 'kinds'))
    writeFileSync(join(line.folder, 'kinds/recipe.json'), text)
  }

  it('stops at a broken schema with file, place and reason', async () => {
    await using line = new CommandLine()
    prepare(line, schemaText.replace('"maxLength": 2000', '"pattern": "^(a+)+$"'))
    const output = await line.fail('serve')
    const file = join(line.folder, 'kinds/recipe.json')
    assert.ok(output.includes(`${file}: properties.steps.items: expected maxLength`), output)
    assert.ok(output.includes(`${file}: properties.steps.items.pattern: repeats a group`), output)
    assert.match(output, /FMTP_CONFIG/)
  })

  it('starts with one that is well', async () => {
    await using line = new CommandLine()
    prepare(line, schemaText)
    const server = await line.serve('--user', 'edgar@localhost')
    assert.equal(linksOf(server.output()).length, 1)
  })
})
