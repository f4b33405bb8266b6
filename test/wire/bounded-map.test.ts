import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BoundedMap } from '../../wire/bounded-map.ts'

describe('bounded map', () => {
  it('forgets what was not used lately, and holds no more than it may', () => {
    const map = new BoundedMap<number, number>(10)
    for (let key = 0; key < 100; key++) {
      map.set(key, key)
      // One that is asked for all the time stays.
      assert.equal(map.get(0), 0)
    }
    const held = Array.from({ length: 100 }, (_, key) => key).filter(key => map.get(key) !== undefined)
    assert.ok(held.length <= 10 && held.includes(0) && held.includes(99) && !held.includes(50), held.join())
  })

  it('never gives what was set before, or deleted', () => {
    const step = fc.tuple(fc.constantFrom('set', 'get', 'delete'), fc.nat(6), fc.nat(100))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (steps, most) => {
        const map = new BoundedMap<number, number>(most)
        const model = new Map<number, number>()
        for (const [what, key, value] of steps) {
          if (what === 'set') {
            map.set(key, value)
            model.set(key, value)
          } else if (what === 'delete') {
            map.delete(key)
            model.delete(key)
          } else {
            const found = map.get(key)
            assert.ok(found === undefined || found === model.get(key))
          }
        }
      }),
    )
  })
})
