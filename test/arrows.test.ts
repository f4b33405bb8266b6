/** The linter must say no to an import against the arrows of docs/architecture.md, and yes to one along them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

const imports: readonly (readonly [from: string, to: string, isAllowed: boolean])[] = [
  ['schemas/some.ts', '../wire/codec.ts', false],
  ['schemas/some.ts', 'node:fs', false],
  ['wire/some.ts', '../schemas/names.ts', true],
  ['wire/some.ts', '../objects/keys.ts', false],
  ['objects/some.ts', '../wire/jws.ts', true],
  ['objects/some.ts', '../routing/reach.ts', false],
  ['objects/some.ts', 'level', false],
  ['routing/some.ts', '../objects/seal.ts', true],
  ['routing/some.ts', '../server/log.ts', false],
  ['routing/some.ts', 'dns2', false],
  ['client/some.ts', '../wire/pairing.ts', true],
  ['client/some.ts', '../objects/keys.ts', false],
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
  for (const [from, to, isAllowed] of imports) {
    it(`${from} ${isAllowed ? 'may' : 'may not'} import ${to}`, () => {
      const input = `import * as other from '${to}'\n\nexport const some = other\n`
      const args = ['node_modules/@biomejs/biome/bin/biome', 'lint', `--stdin-file-path=${from}`]
      const { stderr, stdout } = spawnSync(process.execPath, args, { cwd: root, input, encoding: 'utf8' })
      const said = `${stdout}${stderr}`
      assert.equal(said.includes('noRestrictedImports'), !isAllowed, said)
    })
  }
})
