/**
 * Writes the files that are made from the source (`npm run gen`), from the folder of package.json.
 * A test of each fails when it is stale.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { exampleConfig } from '../server/config/example.ts'
import { arrowsConfig } from './arrows.ts'

const files: readonly (readonly [path: string, text: string])[] = [
  ['fmtp.conf.example', exampleConfig()],
  ['biome.arrows.json', arrowsConfig()],
]

function findText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

for (const [path, text] of files) {
  const isSame = findText(path) === text
  if (!isSame) writeFileSync(path, text)
  console.log(`${path}: ${text.split('\n').length - 1} lines, ${isSame ? 'unchanged' : 'written'}`)
}
