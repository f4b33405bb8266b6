/** What this is, and of which version: the package's own word. */
import { readFileSync } from 'node:fs'

export function readSoftware(): { readonly name: string; readonly version: string } {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  const { name, version } = JSON.parse(text) as { name: string; version: string }
  return { name, version }
}
