/** What the machine itself can do, measured in the same run as what is held against it. */
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Level } from 'level'

/** Ed25519 verifications a second of one thread. */
export function measureVerifications(ms: number): number {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  // As long as the signing input of a seal.
  const data = randomBytes(180)
  const signature = sign(null, data, privateKey)
  const startMs = performance.now()
  let count = 0
  while (performance.now() - startMs < ms) {
    for (let index = 0; index < 50; index++) if (verify(null, data, publicKey, signature)) count++
  }
  return (count * 1000) / (performance.now() - startMs)
}

export interface DiskLimits {
  /** Ms that two synced writes of 1 KB take, one after the other, each time. */
  readonly pairsMs: readonly number[]
  /** Synced writes of 1 KB a second, 64 in a batch. */
  readonly batchedPerSecond: number
}

/** What a bare store on this disk does, for as long as it is given. */
export async function measureDisk(ms: number): Promise<DiskLimits> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-disk-'))
  const level = new Level<string, string>(folder)
  try {
    await level.open()
    const value = randomBytes(512).toString('hex')
    const pairsMs: number[] = []
    const halfMs = ms / 2
    let startMs = performance.now()
    for (let index = 0; performance.now() - startMs < halfMs; index++) {
      const beforeMs = performance.now()
      await level.put(`a ${index}`, value, { sync: true })
      await level.put(`b ${index}`, value, { sync: true })
      pairsMs.push(performance.now() - beforeMs)
    }
    startMs = performance.now()
    let count = 0
    while (performance.now() - startMs < halfMs) {
      const batch = level.batch()
      for (let index = 0; index < 64; index++) batch.put(`c ${count++}`, value)
      await batch.write({ sync: true })
    }
    return { pairsMs, batchedPerSecond: (count * 1000) / (performance.now() - startMs) }
  } finally {
    await level.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Ms that two synced writes of 1 KB take, one after the other, where that is done so many times a second. */
export async function measurePairs(ms: number, perSecond: number): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-disk-'))
  const level = new Level<string, string>(folder)
  try {
    await level.open()
    const value = randomBytes(512).toString('hex')
    const pairsMs: number[] = []
    const startMs = performance.now()
    for (let index = 0; performance.now() - startMs < ms; index++) {
      const beforeMs = performance.now()
      await level.put(`a ${index}`, value, { sync: true })
      await level.put(`b ${index}`, value, { sync: true })
      const tookMs = performance.now() - beforeMs
      pairsMs.push(tookMs)
      await sleep(Math.max(0, 1000 / perSecond - tookMs))
    }
    return pairsMs
  } finally {
    await level.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
