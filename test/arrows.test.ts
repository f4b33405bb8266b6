/** The linter must say no to an import against the arrows of docs/architecture.md, and yes to one along them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

const imports: readonly (readonly [from: string, to: string, isAllowed: boolean])[] = [
  ['schemas/some.ts', '../wire/codec.ts', false],
  ['schemas/some.ts', 'node:fs', false],
  ['wire/some.ts', '../schemas/names.ts', true],
  ['wire/some.ts', '../objects/seals/keys.ts', false],
  ['objects/some.ts', '../wire/jws.ts', true],
  ['objects/some.ts', '../routing/ladder.ts', false],
  ['objects/some.ts', 'level', false],
  ['routing/some.ts', '../objects/seals/seal.ts', true],
  ['routing/some.ts', '../server/log.ts', false],
  ['routing/some.ts', 'dns2', false],
  ['client/some.ts', '../wire/pairing.ts', true],
  ['client/some.ts', '../objects/seals/keys.ts', false],
  ['server/accounts/some.ts', '../exchange/admit.ts', false],
  ['server/delivery/some.ts', '../exchange/admit.ts', false],
  ['server/exchange/some.ts', '../delivery/outbox.ts', true],
  ['server/exchange/some.ts', '../protocol/session.ts', false],
  ['server/web/some.ts', '../exchange/reveal.ts', true],
  ['server/web/some.ts', '../protocol/session.ts', false],
  ['server/protocol/some.ts', '../transports/tcp.ts', false],
  ['server/transports/some.ts', 'node-forge', false],
  ['server/exchange/some.ts', 'ajv', false],
]

describe('the arrows of imports', () => {
  const refused = new Set<string>()
  const fileOf = (index: number): string => (imports[index]?.[0] ?? '').replace('some.ts', `some-${index}.ts`)

  before(() => {
    const folder = mkdtempSync(join(tmpdir(), 'fmtp-arrows-'))
    try {
      copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'))
      for (const [index, [, to]] of imports.entries()) {
        mkdirSync(dirname(join(folder, fileOf(index))), { recursive: true })
        writeFileSync(
          join(folder, fileOf(index)),
          `import * as other from '${to}'\n\nexport const some = other\n`,
        )
      }
      const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
      const args = [biome, 'lint', '--reporter=github', '--max-diagnostics=none', '.']
      const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
      for (const [, file] of stdout.matchAll(/noRestrictedImports,file=([^,]+),/g)) refused.add(file ?? '')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  for (const [index, [from, to, isAllowed]] of imports.entries()) {
    it(`${from} ${isAllowed ? 'may' : 'may not'} import ${to}`, () => {
      assert.equal(
        [...refused].some(file => file.endsWith(`/${fileOf(index)}`)),
        !isAllowed,
      )
    })
  }
})
