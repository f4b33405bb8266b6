/** When an attempt is made again (docs/architecture.md): soon at first, every four hours later, five days in all. */
const minuteMs = 60_000

const waitsMs = [1, 5, 15, 30, 60, 120].map(minutes => minutes * minuteMs)
const laterMs = 240 * minuteMs
const spread = 0.1

/** Ms to wait after this many attempts have failed, 1 or more. `random` is between 0 and 1. */
export function waitMs(attempts: number, random: number): number {
  const base = waitsMs[attempts - 1] ?? laterMs
  // Never early: a server that is back a minute later is met by the attempt of that minute.
  return Math.round(base * (1 + spread * random))
}
