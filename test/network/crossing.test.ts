/** Two servers that are killed while they write to each other lose nothing, bring nothing twice, and say so. */
import assert from 'node:assert/strict'
import { runCrossing } from './crossing.ts'

describe('two servers that are killed while they write to each other', function () {
  this.timeout(180_000)

  it('have every acknowledged message once, and every author is told the truth', () => cross(false))
  it('do so through the parent of one of them, which is killed as well', () => cross(true))

  async function cross(isThrough: boolean): Promise<void> {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    process.stdout.write(`      seed ${seed}\n`)
    const { kills, acknowledged, faults } = await runCrossing({ kills: 8, messages: 240, seed, isThrough })
    assert.deepEqual(faults.slice(0, 20), [], `repeat with SEED=${seed}`)
    assert.ok(kills >= 8)
    assert.ok(acknowledged > 200, `only ${acknowledged} messages were acknowledged`)
  }
})
