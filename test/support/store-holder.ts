/**
 * A process that has a data folder, and has lost LevelDB's own lock of the store: on POSIX systems a process loses the
 * locks of a file when it closes any descriptor of it. Says `held` and stays until it is killed.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openDatabase } from '../../objects/store/open.ts'

const folder = process.argv[2] ?? ''
await openDatabase(
  folder,
  () => undefined,
  () => 'epoch',
)
readFileSync(join(folder, 'store', 'LOCK'))
process.stdout.write('held\n')
setInterval(() => undefined, 60_000)
