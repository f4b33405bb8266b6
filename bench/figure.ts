/** What a measurement says, on what machine, and how it is printed. */
import { cpus, totalmem } from 'node:os'

export interface Figure {
  readonly figure: string
  readonly value: number
  readonly unit: string
  /** The limit or the peer, measured in the same run and in the same unit. */
  readonly beside?: number
  /** `value` ÷ `beside`. */
  readonly ratio?: number
}

export interface BenchOptions {
  /** About how long it may take in all. */
  readonly seconds: number
  /** Objects in a store that is large; each measurement has a default. */
  readonly objects: number | undefined
  /** Tells a person how far it is. */
  onProgress(told: string): void
}

export type Bench = (options: BenchOptions) => Promise<Figure[]>

export function figure(name: string, value: number, unit: string, beside?: number): Figure {
  const base = { figure: name, value: round(value), unit }
  return beside === undefined ? base : { ...base, beside: round(beside), ratio: round(value / beside) }
}

/** Four digits that count: more would pretend. */
function round(value: number): number {
  return Number(value.toPrecision(4))
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value below which this part of the values lies; 0 of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}

export function describeMachine() {
  const all = cpus()
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    node: process.version,
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
  }
}

/** For people: one figure a line. */
export function formatTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ figure: name, value, unit, beside, ratio }) => [
    name,
    String(value),
    unit,
    beside === undefined ? '' : String(beside),
    ratio === undefined ? '' : String(ratio),
  ])
  const table = [['figure', 'value', 'unit', 'beside', 'ratio'], ...rows]
  const widths = [0, 1, 2, 3, 4].map(column => Math.max(...table.map(row => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column % 2 === 0 && column < 4 ? pad(cell, column) : left(cell, column)))
      .join('  ')
  const pad = (cell: string, column: number): string => cell.padEnd(widths[column] ?? 0)
  const left = (cell: string, column: number): string => cell.padStart(widths[column] ?? 0)
  return table.map(row => `${line(row).trimEnd()}\n`).join('')
}
