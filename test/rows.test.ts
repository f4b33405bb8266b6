/**
 * Nobody can add a row to a table and forget the places that must know of it. The test adds a kind, a list, a word of the
 * store, a verb, a failure and a concern to a copy of the sources, and the compiler must name each of these places.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folders = ['schemas', 'wire', 'objects', 'routing', 'server', 'client']

interface Addition {
  readonly what: string
  readonly file: string
  /** Text that the file has once; `added` is put before it. */
  readonly before: string
  readonly added: string
  /** Files that the compiler must name. It may name others too. */
  readonly named: readonly string[]
}

const additions: readonly Addition[] = [
  {
    what: 'a kind',
    file: 'schemas/kinds/kinds.ts',
    before: '  server: {\n',
    added: "  poem: { members: postMembers, publishedBy: 'moderators' },\n",
    named: [
      'schemas/kinds/kinds.ts',
      'server/exchange/publishing/on-behalf.ts',
      'server/exchange/publishing/publishable.ts',
      'server/cli/people/list.ts',
    ],
  },
  {
    what: 'a list that may be asked for',
    file: 'schemas/lists.ts',
    before: '  outbox: {',
    added: '  shelf: { isForPeople: true, isPushed: false },\n',
    named: ['objects/store/layout.ts', 'server/exchange/reveal.ts'],
  },
  {
    what: 'a list of objects in the store',
    file: 'objects/store/layout.ts',
    before: "  outbox: { entries: 'deliveries' },\n",
    added: "  shelf: { entries: 'objects' },\n",
    named: [
      'objects/store/layout.ts',
      'objects/store/removal.ts',
      'server/retention/clear.ts',
      'server/verify/lists.ts',
      'server/verify/places.ts',
    ],
  },
  {
    what: 'a list of deliveries in the store',
    file: 'objects/store/layout.ts',
    before: "  outbox: { entries: 'deliveries' },\n",
    added: "  urgent: { entries: 'deliveries' },\n",
    named: ['objects/store/layout.ts', 'server/delivery/outbox.ts', 'server/verify/lists.ts'],
  },
  {
    what: 'a word of the store',
    file: 'objects/store/layout.ts',
    before: '  account: (address: string) =>',
    added: "  poem: (id: string) => key('poem', id),\n",
    named: ['objects/store/removal.ts', 'server/retention/clear.ts', 'server/verify/checks.ts'],
  },
  {
    what: 'a verb',
    file: 'schemas/frame.ts',
    before: '  goodbye: goodbyeFrame,\n',
    added: "  sing: frame({ verb: Type.Literal('sing') }),\n",
    named: ['client/connection.ts', 'server/protocol/session.ts'],
  },
  {
    what: 'a failure',
    file: 'schemas/failures.ts',
    before: '  FMTP_NOT_JSON: closing(',
    added: "  FMTP_NEVERMORE: { text: 'Nevermore.', isTemporary: false },\n",
    named: ['schemas/failures.ts'],
  },
  {
    what: 'a concern of failures',
    file: 'schemas/failures.ts',
    before: "  | 'rest'\n",
    added: "  | 'omen'\n",
    named: [
      'routing/connect/circuit-breaker.ts',
      'server/blobs/domain-queue.ts',
      'server/delivery/deliver.ts',
    ],
  },
]

/** Copies the sources, and gives the folder of the copy. */
function copySources(parent: string, index: number): string {
  const folder = join(parent, String(index))
  for (const name of folders) cpSync(join(root, name), join(folder, name), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const { compilerOptions } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'))
  const { incremental: _, tsBuildInfoFile: __, ...options } = compilerOptions
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...options, noEmit: true }, include: folders }),
  )
  return folder
}

/** Adds one thing to a copy, and gives a function that takes it out again. */
function add(folder: string, { what, file, before, added }: Addition): () => void {
  const source = readFileSync(join(folder, file), 'utf8')
  const parts = source.split(before)
  assert.equal(parts.length, 2, `${what}: ${JSON.stringify(before)} does not stand in ${file} exactly once`)
  writeFileSync(join(folder, file), parts.join(`${added}${before}`))
  return () => writeFileSync(join(folder, file), source)
}

/** What the compiler says of a folder, and the files that it names. */
async function compile(
  folder: string,
): Promise<{ readonly said: string; readonly named: readonly string[] }> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [tsc, '--pretty', 'false', '--singleThreaded', '-p', folder], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const said = await text(child.stdout)
  return { said, named: [...said.matchAll(/^([^(\s]+)\(\d+,\d+\): error /gm)].map(([, file = '']) => file) }
}

describe('what is one row of a table', function () {
  this.timeout(60_000)
  let parent: string
  const found = new Map<Addition | undefined, Awaited<ReturnType<typeof compile>>>()

  before(async () => {
    parent = mkdtempSync(join(tmpdir(), 'fmtp-rows-'))
    const waiting = [undefined, ...additions].values()
    // Two at a time, each in a copy of its own.
    const workers = [0, 1].map(async index => {
      const folder = copySources(parent, index)
      for (const addition of waiting) {
        const takeOut = addition === undefined ? () => undefined : add(folder, addition)
        found.set(addition, await compile(folder))
        takeOut()
      }
    })
    await Promise.all(workers)
  })

  after(() => rmSync(parent, { recursive: true, force: true }))

  it('compiles as it is', () => assert.equal(found.get(undefined)?.said, ''))

  for (const addition of additions) {
    it(`does not compile with ${addition.what} more, until each place says what it does with it`, () => {
      const { named = [], said } = found.get(addition) ?? {}
      const missing = addition.named.filter(file => !named.includes(file))
      assert.deepEqual(missing, [], `the compiler does not name them. It says:\n${said}`)
    })
  }
})
