/** A backup has the files of one moment: nothing that its snapshot names is removed while they are copied. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../../server/config/load.ts'
import { createActions } from '../../../server/control/actions.ts'
import { type Core, openCore } from '../../../server/core/core.ts'
import { Removals } from '../../../server/core/file-hold.ts'
import { type Progress, requireAction } from '../../../server/operator/action.ts'
import { assertCode } from '../../support/conditions.ts'

const blob = join('blobs', 'aa', 'bb')

describe('a backup beside removals', () => {
  let folder: string
  let data: string
  let core: Core

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-removals-'))
    writeFileSync(join(folder, 'fmtp.conf'), 'data = "data"\n[[domain]]\nname = "localhost"\n')
    core = await openCore(loadConfig(join(folder, 'fmtp.conf')))
    data = join(folder, 'data')
    for (const path of ['aa', 'drafts']) mkdirSync(join(data, 'blobs', path), { recursive: true })
    writeFileSync(join(data, blob), 'nevermore')
    writeFileSync(join(data, 'blobs', 'drafts', 'half'), 'never')
  })

  afterEach(async () => {
    await core[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  async function backUp(onProgress: (progress: Progress) => void): Promise<void> {
    const ports = { onProgress, signal: new AbortController().signal }
    await requireAction(createActions(core), 'backup')({ folder: join(folder, 'saved') }, ports)
  }

  it('holds them until it has ended', async () => {
    const sweep = async (): Promise<string> => {
      rmSync(join(data, blob))
      return 'swept'
    }
    const swept: Promise<string | undefined>[] = []
    await backUp(() => {
      swept.push(core.removals.run(sweep))
    })
    assert.ok(swept.length > 1)
    assert.deepEqual(new Set(await Promise.all(swept)), new Set([undefined]))
    assert.ok(existsSync(join(folder, 'saved', blob)))
    assert.equal(await core.removals.run(sweep), 'swept')
  })

  it('holds them no longer when it fails', async () => {
    await assert.rejects(
      backUp(() => {
        throw new Error('no more')
      }),
    )
    assert.equal(core.removals.areHeld, false)
  })

  it('keeps a domain key from being retired meanwhile, and says so', async () => {
    const retire = (): Promise<object> => {
      const ports = { onProgress: () => undefined, signal: new AbortController().signal }
      const [key] = readdirSync(join(data, 'keys', 'localhost')).filter(name => name.endsWith('.pem'))
      const args = { selector: key?.replace('.pem', ''), isForced: true }
      return requireAction(createActions(core), 'key retire')(args, ports)
    }
    const retiring: Promise<void>[] = []
    await backUp(() => {
      retiring.push(assertCode('FMTP_BUSY', retire))
    })
    await Promise.all(retiring)
    assert.ok(retiring.length > 0)
  })

  it('has no half upload, and does without a blob that was put aside', async () => {
    writeFileSync(join(data, 'blobs', 'aa', 'aa'), 'copied first')
    await backUp(({ what }) => {
      if (what === 'files') rmSync(join(data, blob), { force: true })
    })
    assert.deepEqual(readdirSync(join(folder, 'saved', 'blobs')), ['aa'])
    assert.equal(existsSync(join(folder, 'saved', 'blobs', 'drafts')), false)
  })

  it('begins when a removal that is under way has ended', async () => {
    const removals = new Removals()
    let end: () => void = () => undefined
    const steps: string[] = []
    const removing = removals.run(
      () =>
        new Promise<void>(resolve => {
          end = resolve
        }),
    )
    const holding = removals.hold().then(() => steps.push('held'))
    assert.equal(await removals.run(async () => 1), undefined)
    assert.deepEqual(steps, [])
    end()
    await Promise.all([removing, holding])
    assert.deepEqual(steps, ['held'])
  })
})
