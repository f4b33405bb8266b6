/**
 * The linter must say no to every import against the arrows of scripts/arrows.ts, in every room and however it is written,
 * and yes to those along them; and no to every cycle. What is planted stands in a folder of its own, under our biome.json.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { arrowsConfig, inBrowser, packages, type Room, rooms, tools, trees } from '../scripts/arrows.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const isFile = (path: string): boolean => path.endsWith('.ts')

/** The sources in these folders and below. */
function sourcesIn(folders: readonly string[]): readonly string[] {
  return folders.flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(isFile)
      .map(file => posix.join(folder, file)),
  )
}

/** One line of a planted file, and whether the linter must refuse it. */
interface Line {
  readonly text: string
  readonly isRefused: boolean
}

const ways: readonly ((from: string, name: string) => string)[] = [
  (from, name) => `import { ${name} } from '${from}'`,
  (from, name) => `import type { ${name} } from '${from}'`,
  (from, name) => `export { ${name} } from '${from}'`,
  (from, name) => `export type { ${name} } from '${from}'`,
  (from, name) => `export const ${name} = import('${from}')`,
]

function specifier(file: string, target: string): string {
  const path = posix.relative(posix.dirname(file), target)
  return path.startsWith('.') ? path : `./${path}`
}

/** Every room and package, in every way to import it. */
function linesOf({ path, may }: Room, file: string): readonly Line[] {
  const lines: Line[] = []
  const add = (from: string, isRefused: boolean): void => {
    for (const way of ways) lines.push({ text: way(from, `a${lines.length}`), isRefused })
  }
  for (const other of rooms) {
    if (isFile(path) && other.path === path) continue
    const target = isFile(other.path) ? other.path : `${other.path}/other.ts`
    add(specifier(file, target), !may.includes(other.path))
    // A detour leads to the same file, and past the pattern of another.
    if (!may.includes(other.path)) add(specifier(file, target).replace('./', './some/../'), true)
  }
  add(specifier(file, 'test/network/other.ts'), true)
  for (const [name, owners] of Object.entries(packages)) {
    const isOpen = tools.includes(path) || owners.includes(path) || owners.includes(file)
    if (name === 'node:*') add('node:fs', !(isOpen || !inBrowser.includes(path)))
    else for (const from of [name, `${name}/some/file.js`]) add(from, !isOpen)
  }
  add('nobody-knows-it', !tools.includes(path))
  return lines
}

const planted = rooms.flatMap(room => {
  const owners = Object.values(packages).flat()
  const own = [...new Set(owners)].filter(owner => isFile(owner) && posix.dirname(owner) === room.path)
  const files = isFile(room.path) ? [room.path] : [`${room.path}/planted.ts`, ...own]
  return files.map(file => ({ file, lines: linesOf(room, file) }))
})

/** Two files that import each other, in every room and between rooms that are one. */
const rings = rooms
  .filter(({ path }) => !isFile(path))
  .flatMap(({ path, may }) => {
    const joined = may.filter(other => rooms.find(room => room.path === other)?.may.includes(path))
    return joined.flatMap(other =>
      ['import', 'import type'].map((way, index) => {
        const stem = `${index}-${path}-${other}`.replaceAll('/', '-')
        return { way, a: `${path}/ring-${stem}-a.ts`, b: `${other}/ring-${stem}-b.ts` }
      }),
    )
  })

/** What the linter says of planted files: lines by rule and file. */
function lint(files: ReadonlyMap<string, string>): ReadonlyMap<string, ReadonlySet<number>> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-arrows-'))
  try {
    for (const name of ['biome.json', 'biome.arrows.json']) copyFileSync(join(root, name), join(folder, name))
    for (const [file, text] of files) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
    }
    const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
    const rules = ['style/noRestrictedImports', 'suspicious/noImportCycles'].map(rule => `--only=${rule}`)
    const args = [biome, 'lint', ...rules, '--reporter=github', '--max-diagnostics=none', '.']
    const { stdout } = spawnSync(process.execPath, args, {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    const said = new Map<string, Set<number>>()
    for (const [, rule, file = '', line] of stdout.matchAll(
      /title=lint\/\w+\/(\w+),file=([^,]+),line=(\d+)/g,
    )) {
      const key = `${rule} ${posix.relative(folder, file)}`
      said.set(key, (said.get(key) ?? new Set()).add(Number(line)))
    }
    return said
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('the arrows of imports', () => {
  let said: ReadonlyMap<string, ReadonlySet<number>> = new Map()

  before(() => {
    const files = new Map<string, string>()
    for (const { file, lines } of planted) files.set(file, `${lines.map(({ text }) => text).join('\n')}\n`)
    for (const { way, a, b } of rings) {
      files.set(a, `${way} { B } from '${specifier(a, b)}'\nexport type A = B | 1\nexport const A = 1\n`)
      files.set(b, `${way} { A } from '${specifier(b, a)}'\nexport type B = A | 2\nexport const B = 2\n`)
    }
    said = lint(files)
  })

  for (const { file, lines } of planted) {
    it(`hold ${file}`, () => {
      const refused = said.get(`noRestrictedImports ${file}`) ?? new Set()
      const wrong = lines.filter(({ isRefused }, index) => refused.has(index + 1) !== isRefused)
      assert.deepEqual(wrong, [])
      assert.ok(lines.some(({ isRefused }) => isRefused))
    })
  }

  for (const { way, a, b } of rings) {
    it(`have no cycle of ${way} between ${posix.dirname(a)} and ${posix.dirname(b)}`, () => {
      for (const file of [a, b]) assert.ok(said.has(`noImportCycles ${file}`), file)
    })
  }

  it('are what scripts/arrows.ts says', () => {
    assert.equal(readFileSync(join(root, 'biome.arrows.json'), 'utf8'), arrowsConfig(), 'npm run gen')
  })

  it('hold every folder that has sources', () => {
    const sources = sourcesIn([...trees, 'scripts', 'bench'])
    const isHeld = (file: string): boolean =>
      rooms.some(({ path }) => path === file || path === posix.dirname(file))
    assert.ok(sources.length > 300)
    assert.deepEqual(
      sources.filter(file => !isHeld(file)),
      [],
    )
  })

  it('stand on the map with every room', () => {
    const map = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
    const isNamed = (path: string): boolean => map.includes(isFile(path) ? path : `\`${path}/\``)
    const held = rooms.map(({ path }) => path).filter(path => trees.includes(path.split('/')[0] ?? ''))
    assert.deepEqual(
      held.filter(path => path !== 'server/cli/commands.ts' && !isNamed(path)),
      [],
    )
  })

  it('are not gone round by the type of an import in the middle of a line, which the linter does not see', () => {
    const sources = sourcesIn(trees)
    const inline = /(?<!await |= )\bimport\(/
    assert.deepEqual(
      sources.filter(file => inline.test(readFileSync(join(root, file), 'utf8'))),
      [],
    )
  })
})
