/**
 * Who may import whom: the rooms of the house from the lowest to the highest, and which file owns a package
 * (docs/architecture.md). `npm run gen` makes biome.arrows.json of it, which the linter holds every import to, those of
 * types included.
 */
import { posix } from 'node:path'

/**
 * Rooms by height, the lowest first: a folder without the folders in it, or one file. Each may import itself and what is
 * lower. Rooms of one step know nothing of each other; those joined by `+` may import each other, as long as no cycle of
 * files comes of it.
 */
const steps: readonly (readonly string[])[] = [
  ['schemas + schemas/kinds + schemas/text'],
  ['wire'],
  ['objects/seals', 'client'],
  ['objects'],
  ['objects/store + objects/store/engine + objects/store/upgrade'],
  ['objects/store/blobs', 'routing'],
  ['routing/dns'],
  ['routing/connect'],
  ['routing/parents'],
  ['routing/lookup'],
  ['server/config'],
  ['server/accounts'],
  ['server/core', 'server/limits'],
  ['server/delivery + server/delivery/resync + server/delivery/status'],
  ['server/blobs', 'server/retention'],
  ['server/exchange/publishing', 'server/exchange/reading', 'server/exchange/recipients'],
  ['server/exchange'],
  ['server/protocol', 'server/web'],
  ['server/transports'],
  ['server/wiring'],
  ['server/operator', 'server/demo'],
  ['server/backup', 'server/verify'],
  ['server/control'],
  ['server/check'],
  ['server/server.ts'],
  ['server/cli'],
  ['server/cli/operator', 'server/cli/people'],
  ['server/cli/commands.ts'],
  ['server/main.ts'],
  ['scripts', 'test/support'],
  ['test/suites'],
  ['bench'],
]

/** Rooms that only those know which are named, however high others stand. */
const keptFor: Readonly<Record<string, readonly string[]>> = {
  // A server is no client of itself: an operator's commands print links for clients, and people's commands are clients.
  client: ['server/operator', 'server/cli/people', 'scripts', 'test/support', 'test/suites', 'bench'],
}

/** Rooms that run in a browser: no module of Node but in files that `packages` names for it. */
export const inBrowser: readonly string[] = ['schemas', 'schemas/kinds', 'schemas/text', 'wire', 'client']

/** The files or folders that import a package; all others use what these offer. */
export const packages: Readonly<Record<string, readonly string[]>> = {
  '@koa/router': ['server/web'],
  ajv: ['schemas/validate.ts'],
  'bidi-js': ['schemas/text/bidi.ts'],
  canonicalize: ['schemas/canonical.ts'],
  dns2: ['routing/dns/client.ts', 'server/demo/name-server.ts'],
  koa: ['server/web'],
  level: ['objects/store/engine/leveldb.ts'],
  'node-forge': ['objects/seals/certificate.ts'],
  pino: ['server/core/log.ts'],
  'pino-pretty': ['server/core/log.ts'],
  'rate-limiter-flexible': ['server/limits/rates.ts'],
  'smol-toml': ['server/config/syntax.ts'],
  typebox: ['schemas', 'schemas/kinds'],
  ws: ['client/dial.ts', 'server/transports'],
  'node:*': ['client/dial.ts'],
}

/** Rooms of tools: they import any package. */
export const tools: readonly string[] = ['scripts', 'test/support', 'test/suites', 'bench']

export interface Room {
  /** A folder without the folders in it, or one file. */
  readonly path: string
  /** The rooms that it may import. */
  readonly may: readonly string[]
}

/** Every room, the lowest first. */
export const rooms: readonly Room[] = steps.flatMap((step, height) => {
  const lower = steps.slice(0, height).flat().flatMap(parted)
  return step.flatMap(joined =>
    parted(joined).map(path => ({
      path,
      may: [...lower, ...parted(joined)].filter(other => keptFor[other]?.includes(path) ?? true),
    })),
  )
})

function parted(joined: string): readonly string[] {
  return joined.split(' + ')
}

const isFile = (path: string): boolean => path.endsWith('.ts')
const message = 'against the arrows: scripts/arrows.ts says what may be imported here'

interface Restriction {
  readonly group: readonly string[]
  readonly message: string
}

/** How a file of this folder writes the import of what is named from the top. */
function specifier(folder: string, path: string): string {
  const relative = posix.relative(folder, path)
  return relative.startsWith('.') ? relative : `./${relative}`
}

/** Trees that consist of rooms alone. */
export const trees: readonly string[] = ['schemas', 'wire', 'objects', 'routing', 'server', 'client']

/** The files of the rooms that this one may import; a whole tree at once where all its rooms are among them. */
function openTo({ path, may }: Room): readonly string[] {
  const files = may.map(other => {
    const [tree = ''] = other.split('/')
    const ofTree = rooms.filter(room => room.path === tree || room.path.startsWith(`${tree}/`))
    const isWhole =
      trees.includes(tree) && !path.startsWith(tree) && ofTree.every(room => may.includes(room.path))
    if (isWhole) return `${tree}/**`
    return isFile(other) ? other : `${other}/*.ts`
  })
  return [...new Set(files)]
}

/** All imports are refused but those that are named, so that another way to write a path opens nothing. */
function restrictions(room: Room, paths: readonly string[]): readonly Restriction[] {
  const folder = isFile(room.path) ? posix.dirname(room.path) : room.path
  const refused = rooms.filter(({ path }) => isFile(path) && !room.may.includes(path))
  const group = [
    './**',
    '../**',
    '/**',
    ...openTo(room).map(files => `!${specifier(folder, files)}`),
    // One file of a folder that may be imported otherwise.
    ...refused.map(({ path }) => specifier(folder, path)),
  ]
  const relative = { group, message }
  if (tools.includes(room.path)) return [relative]
  const open = Object.keys(packages).filter(name => paths.some(path => packages[name]?.includes(path)))
  if (!inBrowser.includes(room.path)) open.push('node:*')
  return [
    relative,
    {
      group: ['*', '*/**', '!./**', '!../**', ...open.flatMap(name => [`!${name}`, `!${name}/**`])],
      message: 'a package has its own importers, in scripts/arrows.ts; use what those offer',
    },
  ]
}

function override(includes: string, patterns: readonly Restriction[]) {
  const rule = { level: 'error', options: { patterns } }
  return { includes: [includes], linter: { rules: { style: { noRestrictedImports: rule } } } }
}

/** What stands in biome.arrows.json. Where more than one override names a file, the last counts. */
export function arrowsConfig(): string {
  const owners = [...new Set(Object.values(packages).flat())].filter(isFile)
  const overrides = rooms.flatMap(room => {
    const { path } = room
    const own = owners.filter(owner => posix.dirname(owner) === path || owner === path)
    const ofFiles = own.map(owner => override(owner, restrictions(room, [path, owner])))
    return [override(isFile(path) ? path : `${path}/*.ts`, restrictions(room, [path])), ...ofFiles]
  })
  const lines = overrides.map(each => `    ${JSON.stringify(each)}`)
  return `{\n  "overrides": [\n${lines.join(',\n')}\n  ]\n}\n`
}
