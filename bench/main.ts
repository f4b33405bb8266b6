/**
 * `npm run bench -- NAME [--json] [--seconds N] [--objects N]`: repeatable measurements, each beside a limit of the same machine in the
 * same run. With `--json` one object goes to standard output and nothing else.
 */
import { parseArgs } from 'node:util'
import { deliver } from './deliver.ts'
import { drain } from './drain.ts'
import { type Bench, describeMachine, formatTable } from './figure.ts'
import { routing } from './routing.ts'
import { store } from './store.ts'

const benches: Readonly<Record<string, Bench>> = { deliver, drain, routing, store }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '30' },
    objects: { type: 'string' },
  },
})
const [name = ''] = positionals
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined
const seconds = Number(values.seconds)
const objects = values.objects === undefined ? undefined : Number(values.objects)
if (bench === undefined || !(seconds > 0) || !(objects === undefined || objects >= 20)) {
  const names = Object.keys(benches).join(', ')
  process.stderr.write(
    `usage: npm run bench -- NAME [--json] [--seconds N] [--objects N], NAME one of: ${names}\n`,
  )
  process.exitCode = 2
} else {
  const machine = describeMachine()
  const onProgress = (told: string): unknown => process.stderr.write(`${name}: ${told}\n`)
  const figures = await bench({ seconds, objects, onProgress })
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ bench: name, machine, figures })}\n`)
  } else {
    const { cpu, cores, node, memoryMiB } = machine
    process.stdout.write(
      `${name} on ${cores} × ${cpu}, ${memoryMiB} MiB, node ${node}\n\n${formatTable(figures)}`,
    )
  }
}
