/** The data folder and its disk, by the command's own eyes. */
import { randomBytes } from 'node:crypto'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import { fail, ok, type Verdict, warn } from './finding.ts'

/** Who has so much room as this above the floor has time to make more. */
const comfort = 2
const mib = 1024 * 1024

/** That it is there, and takes a file. */
export async function checkData({ data }: Pick<LoadedConfig, 'data'>): Promise<readonly Verdict[]> {
  const found = statSync(data, { throwIfNoEntry: false })
  if (found?.isDirectory() !== true)
    return [
      fail(
        `${data} is ${found === undefined ? 'not there' : 'no folder'}`,
        'Is the disk mounted, and `data` of the config right? The first start of the server makes the folder.',
      ),
    ]
  if (process.getuid !== undefined && process.getuid() !== found.uid && process.getuid() !== 0)
    return [
      fail(
        `${data} belongs to the user with number ${found.uid}`,
        'Run this as the user who runs the server; else nothing of it can be said.',
      ),
    ]
  const file = join(data, `check-${randomBytes(6).toString('hex')}`)
  try {
    writeFileSync(file, 'x', { flag: 'wx', mode: 0o600, flush: true })
    return [ok(`${data} takes what is written`)]
  } catch (thrown) {
    return [
      fail(
        `${data} takes nothing: ${thrown instanceof Error ? thrown.message : thrown}`,
        'Look whether the disk is full, read-only or broken.',
      ),
    ]
  } finally {
    rmSync(file, { force: true })
  }
}

/** That there is room above the floor. `hasRoom`: what the server says; `undefined`: none runs. */
export async function checkDisk(
  { data, limits }: LoadedConfig,
  hasRoom: boolean | undefined,
): Promise<readonly Verdict[]> {
  const { bavail, bsize } = await statfs(data)
  const free = bavail * bsize
  const [freeText, floorText] = [free, limits.freeBytes].map(
    bytes => `${Math.floor(bytes / mib).toLocaleString('en-US')} MiB`,
  )
  const todo = 'Make room, or lower limits.cacheBytes or limits.freeBytes.'
  if (free < limits.freeBytes || hasRoom === false)
    return [fail(`${freeText} are free, and below ${floorText} nothing new is taken`, todo)]
  if (free < limits.freeBytes * comfort)
    return [warn(`only ${freeText} are free; below ${floorText} nothing new is taken`, todo)]
  return [ok(`${freeText} are free, the floor is ${floorText}`)]
}
