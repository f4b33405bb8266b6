/** Waiting for what is to happen, with a limit and words for when it does not; and failures by their code. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FailureCode, FmtpError } from '../../schemas/failures.ts'

/** Looks every few ms until `find` gives something other than `undefined` or false, which is returned. */
export async function waitUntil<T>(
  what: string,
  find: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 5000,
): Promise<T> {
  const endMs = Date.now() + limitMs
  for (;;) {
    const found = await find()
    if (found !== undefined && found !== false) return found
    if (Date.now() > endMs) throw new Error(`waited ${limitMs} ms in vain: ${what}`)
    await sleep(5)
  }
}

/** Asserts that this throws, or rejects, with this code. */
export async function assertCode(code: FailureCode, work: () => unknown): Promise<void> {
  await assert.rejects(
    async () => await work(),
    (error: unknown) => {
      assert.ok(error instanceof FmtpError, String(error))
      assert.equal(error.code, code, error.message)
      return true
    },
  )
}
