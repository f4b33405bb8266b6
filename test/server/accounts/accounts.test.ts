/** Accounts, devices and their credentials (protocol §5.6, §7.3) when things happen at once, often, or half. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCredential } from '../../../objects/seals/credential.ts'
import { generateKeyPair } from '../../../objects/seals/keys.ts'
import { sealObject } from '../../../objects/seals/seal.ts'
import { keyOf } from '../../../objects/store/layout.ts'
import { openDatabase } from '../../../objects/store/open.ts'
import { Store } from '../../../objects/store/store.ts'
import type { User } from '../../../schemas/kinds/user.ts'
import { limits } from '../../../schemas/limits.ts'
import { parseAddress, parseDomain } from '../../../schemas/text/names.ts'
import { Accounts } from '../../../server/accounts/accounts.ts'
import { writeKeyFile } from '../../../server/accounts/key-file.ts'
import { openDomains } from '../../../server/accounts/own-domains.ts'
import { MovableClock } from '../../support/clock.ts'
import { assertCode } from '../../support/conditions.ts'

const lenore = parseDomain('lenore.org')
const lost = parseAddress('lost@lenore.org')

describe('accounts', () => {
  let folder: string
  let store: Store
  let clock: MovableClock
  let accounts: Accounts

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fmtp-accounts-'))
    clock = new MovableClock()
    store = new Store(
      await openDatabase(
        join(folder, 'store'),
        () => undefined,
        () => 'epoch',
      ),
    )
    accounts = new Accounts({ store, clock, domains: openDomains([lenore], folder) })
  })

  afterEach(async () => {
    await store.database[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Enrols a new key, and gives it with its credential. */
  async function enrol(pair = generateKeyPair()) {
    const credential = await accounts.redeem(lost, await accounts.makeToken(lost), pair.jwk)
    assert.ok(credential !== undefined)
    return { pair, credential }
  }

  const keysShown = () => new Set(store.findView('everyone', lost)?.keys)

  it('a name that is taken leaves the home key of who has it', async () => {
    await accounts.create(lost)
    const { kid } = accounts.homeKey(lost).signer
    const again = accounts.create(lost)
    assert.equal(accounts.homeKey(lost).signer.kid, kid)
    await assertCode('FMTP_BAD_NAME', () => again)
    assert.equal(accounts.homeKey(lost).signer.kid, kid)
  })

  it('as many devices as everyone’s view can name, and no more; the token stays good', async () => {
    await accounts.create(lost)
    const first = await enrol()
    for (let count = 1; count < limits.devices; count++) await enrol()
    assert.equal(keysShown().size, limits.devices + 1)
    const token = await accounts.makeToken(lost)
    await assertCode('FMTP_TOO_MANY_DEVICES', () => accounts.redeem(lost, token, generateKeyPair().jwk))
    assert.ok(await accounts.redeem(lost, token, first.pair.jwk), 'one that is enrolled is no more')
  })

  it('a key that is enrolled again stays enrolled since when it was', async () => {
    await accounts.create(lost)
    const { pair, credential } = await enrol()
    clock.advance(2 * limits.credentialRenewMs)
    const again = await enrol(pair)
    const nbf = (text: string) => readCredential(text)?.payload.nbf
    assert.equal(nbf(again.credential), nbf(credential))
  })

  it('devices that enrol at once, and settings that are written meanwhile, are all in everyone’s view', async () => {
    await accounts.create(lost)
    const publish = async (quote: string): Promise<void> => {
      for (;;) {
        const text = store.findText(`user.${lost}`)
        const before = JSON.parse(text ?? '') as User
        const user = { ...before, quote, version: before.version + 1 }
        const sealed = sealObject<User>(user, accounts.homeKey(lost))
        const base = store.objectWrite(sealed, text)
        const { absent, equals, puts, dels } = await accounts.userWrite(sealed.object, before)
        const [isWritten] = await store.database.commit([
          {
            absent: [...(base.absent ?? []), ...absent],
            equals: [...(base.equals ?? []), ...equals],
            puts: [...base.puts, ...puts],
            dels,
          },
        ])
        accounts.forget(lost)
        if (isWritten === true) return
      }
    }
    for (let round = 0; round < 5; round++) {
      const quote = `Nevermore ${round}`
      const [, ...devices] = await Promise.all([publish(quote), enrol(), enrol(), enrol()])
      const shown = keysShown()
      for (const { pair } of devices) assert.ok(shown.has(pair.thumbprint), `round ${round}`)
      assert.equal(store.findView('everyone', lost)?.quote, quote)
      assert.equal(accounts.findView(lost)?.quote, quote)
    }
  })

  it('all are listed, however many', async () => {
    const addresses = Array.from({ length: 2100 }, (_, at) => `poet${String(at).padStart(4, '0')}@lenore.org`)
    await store.database.commit([{ puts: addresses.map(address => [keyOf.account(address), '{}']) }])
    assert.deepEqual(await accounts.listAddresses(), addresses)
  })

  it('the credential of a device is renewed while it is enrolled, and then left to end', async () => {
    await accounts.create(lost)
    const { pair, credential } = await enrol()
    const home = accounts.homeKey(lost).credential
    assert.equal(accounts.freshCredential(credential, lost), credential)
    clock.advance(limits.credentialRenewMs + 120_000)
    const renewed = accounts.freshCredential(credential, lost)
    assert.notEqual(renewed, credential)
    assert.equal(accounts.freshCredential(renewed, lost), renewed)
    assert.notEqual(accounts.freshCredential(home, lost), home)
    await store.database.commit([{ dels: [keyOf.device(lost, pair.thumbprint)] }])
    assert.equal(accounts.freshCredential(credential, lost), credential)
    const stranger = 'nobody@lenore.org'
    assert.equal(accounts.freshCredential(credential, parseAddress(stranger)), credential)
  })

  it('what another process writes is seen five seconds later', async () => {
    await accounts.create(lost)
    const other = new Accounts({ store, clock, domains: openDomains([lenore], folder) })
    assert.equal(other.findUser(lost)?.policy, 'accept')
    const user = { ...(accounts.findUser(lost) as User), policy: 'reject' as const, version: clock.now() + 1 }
    const sealed = sealObject<User>(user, accounts.homeKey(lost))
    await store.database.commit([store.objectWrite(sealed, store.findText(user.id))])
    assert.equal(other.findUser(lost)?.policy, 'accept')
    clock.advance(limits.accountMemoryMs)
    assert.equal(other.findUser(lost)?.policy, 'reject')
  })

  describe('key files', () => {
    it('are replaced as a whole, for their owner alone', () => {
      const [file, witness] = [join(folder, 'key.pem'), join(folder, 'witness')]
      writeFileSync(file, 'old', { mode: 0o644 })
      linkSync(file, witness)
      // What a kill left behind is no hindrance.
      writeFileSync(`${file}.new`, 'half of something longer', { mode: 0o644 })
      writeKeyFile(file, 'new')
      assert.equal(readFileSync(file, 'utf8'), 'new')
      assert.equal(readFileSync(witness, 'utf8'), 'old', 'the old file was not written over')
      assert.equal((statSync(file).mode & 0o777).toString(8), '600')
      assert.deepEqual(
        readdirSync(folder).filter(name => name.endsWith('.new')),
        [],
      )
    })

    it('of a domain are whole or not there when the first start is killed while it writes', function () {
      if (process.platform === 'win32') return this.skip()
      const data = join(folder, 'killed')
      mkdirSync(data)
      const module = new URL('../../../server/accounts/own-domains.js', import.meta.url)
      const script = `import(${JSON.stringify(module.href)}).then(m => m.openDomains(['lenore.org'], ${JSON.stringify(data)}))`
      // A process that may write no byte to a file is ended by its first.
      const { status } = spawnSync('sh', ['-c', 'ulimit -f 0; exec "$0" -e "$1"', process.execPath, script])
      assert.notEqual(status, 0)
      const own = openDomains([lenore], data).get(lenore)
      assert.equal(openDomains([lenore], data).get(lenore)?.current.record, own?.current.record)
    })
  })
})
