/** A server that is killed at random moments keeps what it acknowledged, once. */
import assert from 'node:assert/strict'
import { runCrashes } from './crash.ts'

describe('a server that is killed while clients send', function () {
  this.timeout(120_000)

  it('has every acknowledged message exactly once, in both boxes and with all its indexes', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
    process.stdout.write(`      seed ${seed}\n`)
    const { kills, acknowledged, faults } = await runCrashes({ rounds: 20, seed })
    assert.deepEqual(faults.slice(0, 20), [], `repeat with SEED=${seed}`)
    assert.ok(kills >= 20)
    assert.ok(acknowledged > 200, `only ${acknowledged} messages were acknowledged`)
  })
})
