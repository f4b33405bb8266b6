/** The compiled server in a folder of its own with one of its files changed: to see that a test notices what is missing. */
import assert from 'node:assert/strict'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { mainFile } from './fmtp-process.ts'

/** The command of a copy in which `change` was made to the text of a compiled file, such as `objects/database.js`. */
export function patchServer(folder: string, file: string, change: (text: string) => string): string {
  const dist = dirname(dirname(mainFile))
  cpSync(dist, join(folder, 'dist'), { recursive: true })
  cpSync(join(dist, '..', 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(dist, '..', 'node_modules'), join(folder, 'node_modules'))
  const path = join(folder, 'dist', file)
  const text = readFileSync(path, 'utf8')
  const changed = change(text)
  assert.notEqual(changed, text, `nothing was changed in ${file}`)
  writeFileSync(path, changed)
  return join(folder, 'dist', 'server', 'main.js')
}
