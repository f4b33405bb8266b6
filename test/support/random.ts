/** Chance that comes again with its seed (mulberry32), so that a failure can be repeated. */

export interface Random {
  /** At least 0, below 1. */
  (): number
  /** A whole number, at least 0 and below `end`. */
  below(end: number): number
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return Object.assign(next, { below: (end: number) => Math.floor(next() * end) })
}
