/**
 * Which files are tests: those that stand in the source. A compiled test whose source has gone is never run, however long
 * its folder was not emptied.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'

/** All test files below `test/` of a checkout, as `test/….test.ts`, sorted. */
export function listTests(root: string): string[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => `test/${name.split(sep).join('/')}`)
    .sort()
}

/** The compiled form of a test. @throws where there is none */
export function compiledOf(root: string, test: string): string {
  const file = join(root, 'dist', test.replace(/\.ts$/, '.js'))
  if (!existsSync(file)) throw new Error(`${test} is not compiled: npm run build`)
  return file
}

/**
 * The tests that somebody names: each name is a file, in source or compiled, a folder, or a pattern in which `*` stands for
 * anything in one folder and `**` for folders too. @throws when a name is that of no test
 */
export function chooseTests(root: string, tests: readonly string[], names: readonly string[]): string[] {
  const chosen = names.flatMap(name => {
    const path = relative(root, resolve(root, name)).split(sep).join('/')
    const isNamed = matcherOf(path.replace(/^dist\//, '').replace(/\.js$/, '.ts'))
    const found = tests.filter(test => isNamed.test(test))
    if (found.length === 0) throw new Error(`no test is named ${name}`)
    return found
  })
  return names.length === 0 ? [...tests] : [...new Set(chosen)]
}

function matcherOf(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*\/|\*\*|\*)/).map(part => {
    if (part === '**/') return '(?:.*/)?'
    if (part === '**') return '.*'
    return part === '*' ? '[^/]*' : part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}(?:/.*)?$`)
}
