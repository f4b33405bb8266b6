/**
 * LevelDB itself: its folders, its lock, its errors. The only file that imports `level`, and the only one that assumes to be
 * the only process on its folder. What is kept in it, and how, is the affair of `database.ts`.
 */
import { mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Level } from 'level'
import { FmtpError } from '../../../schemas/failures.ts'
import { repairAdvice } from './damage.ts'

export type Engine = Level<string, string>

/** Rows that are read of an iterator at once. */
const batchRows = 1000

/** One row of a store. */
export type Row = readonly [key: string, value: string]

/** A store in this folder, not open yet. */
export function createEngine(folder: string): Engine {
  return new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
}

/** The real path of a folder that is made where there is none. @throws {FmtpError} FMTP_STORE */
export function makeFolder(folder: string): string {
  const path = resolve(folder)
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return realpathSync(path)
  } catch (cause) {
    throw new FmtpError('FMTP_STORE', `${path} can not be opened: ${reasonOf(cause)}`, { cause })
  }
}

/**
 * Takes the lock of a data folder, which the kernel releases when this process ends, however it ends. LevelDB locks its
 * folder, but the lock of the store is lost as soon as its own process reads the file `LOCK`, copies the folder or opens
 * it twice. So a second, empty LevelDB is locked that nobody has a reason to touch.
 */
export async function takeLock(path: string): Promise<Engine> {
  const open = async (): Promise<Engine> => {
    const lock = createEngine(path)
    await lock.open()
    return lock
  }
  try {
    return await open()
  } catch (cause) {
    if (isLocked(cause)) throw cause
    // A power cut may have left half a file. There is nothing in it; only `LOCK` must stay what others have open.
    for (const name of readdirSync(path)) if (name !== 'LOCK') rmSync(join(path, name), { recursive: true })
    return await open()
  }
}

/** Makes a store of these rows in a folder that is not there yet, and closes it; to have it on the disk is the caller's. */
export async function writeStore(folder: string, batches: AsyncIterable<readonly Row[]>): Promise<void> {
  mkdirSync(folder, { mode: 0o700 })
  const level = createEngine(folder)
  await level.open({ errorIfExists: true })
  try {
    for await (const rows of batches) {
      const batch = level.batch()
      for (const [key, value] of rows) batch.put(key, value)
      await batch.write()
    }
  } finally {
    await level.close()
  }
}

/** True for what `Database.open` throws while another process has the folder. */
export function isLocked(thrown: unknown): boolean {
  const inner = innermost(thrown)
  return inner instanceof Error && 'code' in inner && inner.code === 'LEVEL_LOCKED'
}

/**
 * Has LevelDB make the store of a data folder anew from what it can read of its files, while no process has it.
 * @throws {FmtpError} FMTP_STORE
 */
export async function rebuildStore(folder: string): Promise<void> {
  let lock: Engine | undefined
  try {
    lock = await takeLock(makeFolder(join(folder, 'lock')))
    // Declared of its other name only.
    await (Level as unknown as { repair(location: string): Promise<void> }).repair(join(folder, 'store'))
  } catch (cause) {
    throw new FmtpError('FMTP_STORE', `${folder} can not be repaired: ${reasonOf(cause)}`, { cause })
  } finally {
    await lock?.close()
  }
}

/** The next rows of an iterator. @throws {FmtpError} FMTP_STORE where the disk gives something unreadable */
export async function readOn<T>(iterator: { nextv(size: number): Promise<T[]> }): Promise<T[]> {
  try {
    return await iterator.nextv(batchRows)
  } catch (cause) {
    throw unreadable(cause)
  }
}

export function unreadable(cause: unknown): FmtpError {
  return new FmtpError('FMTP_STORE', `the store can not be read: ${reasonOf(cause)}`, { cause })
}

/** True for what is thrown where files of the store are missing, or hold what LevelDB did not write. */
export function isDamaged(thrown: unknown): boolean {
  const inner = innermost(thrown)
  return inner instanceof Error && /corrupt|missing|CURRENT|MANIFEST|No such file/i.test(inner.message)
}

/** What a person is told of an error of the engine or the disk. */
export function reasonOf(cause: unknown): string {
  if (isLocked(cause)) return 'is another server running on it?'
  const inner = innermost(cause)
  const told = inner instanceof Error ? inner.message : String(inner)
  return isDamaged(cause) ? `${told}.\n${repairAdvice}` : told
}

function innermost(thrown: unknown): unknown {
  return thrown instanceof Error && thrown.cause !== undefined ? innermost(thrown.cause) : thrown
}
