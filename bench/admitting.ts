/** The first door in this process, without any transport, beside the same work without a server around it. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { systemClock } from '../objects/clock.ts'
import { sha256 } from '../objects/seals/keys.ts'
import { domainKeyOf } from '../routing/dns/domain-keys.ts'
import { canonicalText, parseJson } from '../schemas/canonical.ts'
import type { DescribeFrame } from '../schemas/frame.ts'
import { limits } from '../schemas/limits.ts'
import type { FmtpObject } from '../schemas/object.ts'
import { coreKinds } from '../schemas/parse-object.ts'
import { domainOf, parseAddress, parseDomain } from '../schemas/text/names.ts'
import { createSight } from '../server/accounts/sight.ts'
import { type Core, openCore } from '../server/core/core.ts'
import { type Admit, createAdmit } from '../server/exchange/admit.ts'
import { createPassage } from '../server/exchange/recipients/relay-policy.ts'
import { handDomain, handMessage, handUser } from '../test/support/hand.ts'
import { readJws } from '../wire/jws.ts'
import { writeConfig } from './filled.ts'

const reader = parseAddress('lost@localhost')
const poe = handDomain('poe.net')
const edgar = handUser(poe, 'edgar@poe.net')
const body = 'nevermore '.repeat(20)

/** Frames as they come from the wire: about 1.5 KB each, sealed by a user of another domain. */
export function makeFrames(count: number): string[] {
  return Array.from({ length: count }, () =>
    JSON.stringify({
      verb: 'describe',
      n: 1,
      object: handMessage(edgar, [reader], { body }),
      for: [reader],
    }),
  )
}

/** A store with one user, and the door to it. */
export class Admitting implements AsyncDisposable {
  readonly #folder: string
  readonly #core: Core
  readonly #admit: Admit

  private constructor(folder: string, core: Core) {
    this.#folder = folder
    this.#core = core
    const key = domainKeyOf('hand', poe.pair.jwk)
    this.#admit = createAdmit({
      store: core.store,
      sight: createSight(core.store, core.accounts.groups),
      groups: core.accounts.groups,
      isIsland: true,
      isOwn: name => core.accounts.isOwn(name),
      requireRoom: () => undefined,
      kinds: coreKinds,
      keys: { find: async () => [key] },
      clock: systemClock,
      findUser: address => core.accounts.findUser(address),
      boxBytes: Number.MAX_SAFE_INTEGER,
      isOwnDomain: domain => core.accounts.isOwnDomain(domain),
      believeOld: async () => undefined,
      passage: createPassage({
        store: core.store,
        clock: systemClock,
        relayBytes: limits.relayBytes,
        isChild: () => false,
        isParent: () => false,
        standsFor: async () => false,
        isOwnDomain: domain => core.accounts.isOwnDomain(domain),
      }),
      hearReport: () => Promise.reject(new Error('no reports here')),
      blockedDomains: [],
      spend: async () => undefined,
      objectBytes: limits.objectBytes,
      recipients: limits.recipients,
      onDecision: () => undefined,
      onPulls: () => undefined,
    })
  }

  static async start(): Promise<Admitting> {
    const folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-admit-'))
    const core = await openCore(writeConfig(folder, '127.77.22.1'))
    await core.accounts.create(reader)
    return new Admitting(folder, core)
  }

  /** Takes all frames, so many at a time; admits a second. */
  async rate(texts: readonly string[], underWay: number): Promise<number> {
    const standing = {
      role: 'server',
      name: parseDomain('poe.net'),
      as: domainOf(reader),
      remote: '127.0.0.1',
    } as const
    let next = 0
    const worker = async (): Promise<void> => {
      for (let text = texts[next++]; text !== undefined; text = texts[next++]) {
        const answer = await this.#admit(
          parseJson(text, limits.objectDepth + 1) as unknown as DescribeFrame,
          standing,
        )
        if (answer.outcome !== 'stored') throw new Error(JSON.stringify(answer))
      }
    }
    const startMs = performance.now()
    await Promise.all(Array.from({ length: underWay }, worker))
    return (texts.length * 1000) / (performance.now() - startMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#core[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Parse, schema, canonical form, hash, signature, one after the other on this thread; objects a second. */
export function barePipeline(texts: readonly string[]): number {
  const key = createPublicKey({ key: { ...edgar.pair.jwk }, format: 'jwk' })
  const startMs = performance.now()
  for (const text of texts) check(text, key)
  return (texts.length * 1000) / (performance.now() - startMs)
}

/** The same with one synced write of each text for every so many; what nobody who keeps everything can pass. */
export async function barePipelineSynced(texts: readonly string[], inBatch: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'fmtp-bench-bare-'))
  const level = new Level<string, string>(folder)
  const key = createPublicKey({ key: { ...edgar.pair.jwk }, format: 'jwk' })
  try {
    await level.open()
    const startMs = performance.now()
    for (let at = 0; at < texts.length; at += inBatch) {
      const batch = level.batch()
      for (const text of texts.slice(at, at + inBatch)) batch.put(`object ${check(text, key).id}`, text)
      await batch.write({ sync: true })
    }
    return (texts.length * 1000) / (performance.now() - startMs)
  } finally {
    await level.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function check(text: string, key: KeyObject): FmtpObject {
  const { object } = parseJson(text, limits.objectDepth + 1) as unknown as DescribeFrame
  const parsed = coreKinds.parseObject(object)
  const { encryptedKey: _, hash, ...unsealed } = parsed
  const digest = sha256(canonicalText(unsealed))
  const jws = readJws(hash, 'fmtp-hash')
  const isRight =
    jws !== undefined &&
    Buffer.compare(jws.payload, digest) === 0 &&
    verify(null, jws.input, key, jws.signature)
  if (!isRight) throw new Error('the seal is wrong')
  return parsed
}
