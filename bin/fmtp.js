#!/usr/bin/env node
// The command `fmtp`. A fresh checkout is compiled on first use, so that `npx fmtp` works after `npm ci` alone.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
if (!existsSync(`${root}dist/server/main.js`)) {
  const { status } = spawnSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', root], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(1)
}
await import('../dist/server/main.js')
