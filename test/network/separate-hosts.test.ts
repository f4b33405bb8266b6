/**
 * An organisation behind a real firewall, and the world around it (protocol §10.7, §10.8): each server a process on a host of
 * its own, of which only the top of the organisation can be called from outside, and calls between departments go up and down.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '../../client/connection.ts'
import type { FmtpObject } from '../../schemas/object.ts'
import { runAction } from '../../server/control/client.ts'
import type { TraceResult } from '../../server/operator/tracer.ts'
import { waitUntil } from '../support/conditions.ts'
import { ask, linked, stepsOf } from '../support/family.ts'
import { type HostChoices, type HostServer, Hosts } from '../support/hosts.ts'
import { hostsMark, isWithoutHosts } from '../support/namespace.ts'
import type { Person } from '../support/network.ts'

const [hq, region, tales, poems] = [
  'poe.net',
  'region.poe.net',
  'tales.region.poe.net',
  'poems.region.poe.net',
] as const
const [lenore, raven, usher, dead] = ['lenore.org', 'raven.example', 'usher.example', 'dead.example'] as const
const servers = [lenore, raven, hq, region, tales, poems, usher] as const
type Domain = (typeof servers)[number]

const choices: Readonly<Record<Domain, HostChoices>> = {
  [lenore]: {},
  [raven]: {},
  [usher]: {},
  [hq]: { children: ['*.poe.net'] },
  [region]: { parents: [hq], children: [`*.${region}`], mayCall: [hq], front: hq },
  [tales]: { parents: [region], mayCall: [region], front: hq },
  [poems]: { parents: [region], mayCall: [region], front: hq },
}
/** A host that is gone without a word is found out within both, and a quarter of the smaller; a busy machine answers in time. */
const liveness = { pingAfterMs: 500, pongMs: 1500 } as const
const foundOutMs = 2125
/** Of what comes by itself after connections were given up. */
const soonMs = 15_000

describe(`servers on separate hosts${hostsMark}`, function () {
  this.timeout(60_000)
  let hosts: Hosts
  const at = {} as Record<Domain, HostServer>
  const users = new Map<string, Person>()
  const clients = new Map<string, Connection>()
  /** Who sits there. */
  const writers = new Map<string, string>()
  /** Begins with the suite: a host that takes no packet takes ten seconds. */
  let toTheDead: ReturnType<typeof look>[] = []

  async function start(domain: Domain): Promise<void> {
    at[domain] = await hosts.serve(domain, { limits: liveness, ...choices[domain] })
  }

  /** Somebody with an account, of whom nobody has heard. */
  async function somebody(domain: Domain): Promise<string> {
    const address = `reader${users.size}@${domain}`
    users.set(address, await at[domain].enrol(address))
    return address
  }

  /** Somebody who sits at a device. */
  async function clientAt(domain: Domain): Promise<Connection> {
    const open = clients.get(domain)
    if (open !== undefined) return open
    const address = await somebody(domain)
    const client = await at[domain].connect(users.get(address) as Person)
    clients.set(domain, client)
    writers.set(domain, address)
    return client
  }

  async function look(from: Domain, address: string) {
    return timed(ask(await clientAt(from), address))
  }

  const trace = (from: Domain, address: string): Promise<TraceResult> => {
    const ports = { onProgress: () => undefined, signal: new AbortController().signal }
    return runAction(at[from].config.file, 'trace', { address }, ports) as Promise<TraceResult>
  }

  /** Ends a server as a power cut does. */
  async function kill(domain: Domain): Promise<void> {
    await at[domain].kill()
    clients.get(domain)?.close()
    clients.delete(domain)
  }

  const marks = (...domains: Domain[]): number[] => domains.map(domain => at[domain].log.length)
  const silences = (domain: Domain): number =>
    at[domain].log.filter(({ event }) => event === 'session.silent').length

  before(async function () {
    if (isWithoutHosts) this.skip()
    hosts = await Hosts.start()
    for (const domain of [hq, region, tales, poems, lenore, raven, usher, dead]) await hosts.place(domain)
    // Whoever looks for a parent that is not there yet, looks again later.
    for (const together of [[hq, lenore, raven, usher], [region], [tales, poems]] as const)
      await Promise.all(together.map(start))
    // Its MX and SRV name the host of another domain, and its key is another's.
    await hosts.point(usher, hosts.addressOf(raven))
    const records = [at[raven].keyRecord]
    await hosts.set(`fmtpkey.${usher}`, 'TXT', records)
    await hosts.set(`fmtpkey.${dead}`, 'TXT', records)
    await hosts.point(dead, hosts.addressOf(dead))
    await hosts.wall.darken(hosts.addressOf(dead))
    await Promise.all([linked(at[region], hq), linked(at[tales], region), linked(at[poems], region)])
    toTheDead = [look(lenore, `alice@${dead}`), look(tales, `alice@${dead}`)]
  })

  after(async () => {
    for (const client of clients.values()) client.close()
    await hosts?.[Symbol.asyncDispose]()
  })

  it('stand behind a firewall: nobody outside can call who is inside, and those inside call their parent alone', async () => {
    const call = (from: Domain, to: Domain) => at[from].call(hosts.addressOf(to), at[to].port, 700)
    const table: readonly (readonly [Domain, Domain, string])[] = [
      [lenore, raven, 'open'],
      [lenore, hq, 'open'],
      [lenore, region, 'ETIMEDOUT'],
      [lenore, tales, 'ETIMEDOUT'],
      [raven, poems, 'ETIMEDOUT'],
      [hq, region, 'ETIMEDOUT'],
      [hq, tales, 'ETIMEDOUT'],
      [region, hq, 'open'],
      [tales, region, 'open'],
      [poems, region, 'open'],
      [region, tales, 'EHOSTUNREACH'],
      [tales, poems, 'EHOSTUNREACH'],
      [tales, hq, 'EHOSTUNREACH'],
      [tales, lenore, 'EHOSTUNREACH'],
      [region, lenore, 'EHOSTUNREACH'],
      // They listen all the same.
      ...servers.map(domain => [domain, domain, 'open'] as const),
    ]
    const said = await Promise.all(table.map(([from, to]) => call(from, to)))
    assert.deepEqual(
      table.map(([from, to], index) => [from, to, said[index]]),
      table,
    )
  })

  for (const inner of [region, tales, poems])
    it(`find somebody at ${inner} from outside, through ${hq}`, async () => {
      const address = await somebody(inner)
      const [sinceLenore, sinceHq] = marks(lenore, hq)
      const found = await look(lenore, address)
      assert.deepEqual([found.outcome, found.id], ['found', `user.${address}`])
      assert.ok(found.ms < 3000, `${found.ms} ms`)
      const steps = stepsOf(at[lenore], sinceLenore)
      assert.ok(steps.includes('domain front ok') || steps.includes('domain reuse ok'), `${steps}`)
      assert.ok(stepsOf(at[hq], sinceHq).includes('below request ok'), `${stepsOf(at[hq], sinceHq)}`)
      assert.equal((await look(lenore, `nobody@${inner}`)).outcome, 'absent')
    })

  it(`find somebody at ${lenore} from a department, through both parents`, async () => {
    const address = await somebody(lenore)
    const since = marks(tales, region, hq)
    const found = await look(tales, address)
    assert.deepEqual([found.outcome, found.id], ['found', `user.${address}`])
    assert.ok(found.ms < 3000, `${found.ms} ms`)
    const steps = [tales, region, hq].map((domain, index) => stepsOf(at[domain as Domain], since[index]))
    for (const climbed of steps.slice(0, 2))
      assert.ok(climbed.includes('parent lookup request ok'), `${climbed}`)
    assert.ok(steps[2]?.includes('domain request ok'), `${steps[2]}`)
  })

  it('find each other as departments, and the top is not asked', async () => {
    for (const [from, to] of [
      [tales, poems],
      [poems, tales],
    ] as const) {
      const address = await somebody(to)
      const [sinceRegion, sinceHq] = marks(region, hq)
      const found = await look(from, address)
      assert.deepEqual([found.outcome, found.id], ['found', `user.${address}`])
      const steps = stepsOf(at[region], sinceRegion)
      assert.ok(steps.includes('below request ok'), `${steps}`)
      assert.deepEqual(stepsOf(at[hq], sinceHq), [])
    }
  })

  it('find the top from a department, and a department from the top', async () => {
    for (const [from, to] of [
      [tales, hq],
      [hq, tales],
      [region, poems],
    ] as const) {
      const address = await somebody(to)
      assert.equal((await look(from, address)).outcome, 'found', `${from} ${to}`)
    }
  })

  it('show the way with `fmtp trace` on the host: one straight, one through the parents', async () => {
    const traced = async (from: Domain, address: string): Promise<TraceResult> => {
      const command = await hosts.run(from, 'trace', address, '--json', '--config', at[from].config.file)
      assert.equal(command.ending, 'status 0, signal null', command.output + command.logTail)
      return JSON.parse(command.output) as TraceResult
    }
    const address = await somebody(raven)
    const [straight, through] = await Promise.all([traced(lenore, address), traced(tales, address)])
    assert.deepEqual([straight.lookup.outcome, straight.lookup.rung], ['found', 'domain'])
    const dial = straight.lookup.steps.find(({ what }) => what === 'dial')
    assert.deepEqual([dial?.outcome, dial?.detail.address], ['ok', hosts.addressOf(raven)])
    assert.deepEqual([through.lookup.outcome, through.lookup.rung], ['found', 'parent lookup'])
    const steps = through.lookup.steps.map(({ rung, what, outcome }) => `${rung} ${what} ${outcome}`)
    assert.ok(steps.includes('parent lookup request ok'), `${steps}`)
    assert.ok(steps.includes('domain dial FMTP_CONNECT_FAILED'), `${steps}`)
  })

  it('with wrong DNS are not taken for others, from nowhere, and take nobody with them', async () => {
    const [byLenore, byTales] = await Promise.all([
      look(lenore, `alice@${usher}`),
      look(tales, `alice@${usher}`),
    ])
    assert.deepEqual([byLenore.outcome, byLenore.code], ['unreachable', 'FMTP_NOT_MINE'])
    assert.equal(byTales.outcome, 'unreachable')
    const { lookup } = await trace(lenore, usher)
    const step = lookup.steps.find(({ what }) => what === 'hello')
    assert.deepEqual([lookup.outcome, step?.outcome], ['unreachable', 'FMTP_NOT_MINE'])
    // What it says of itself is signed with a key that is not in DNS.
    const own = await look(usher, await somebody(raven))
    assert.deepEqual([own.outcome, own.code], ['unreachable', 'FMTP_PROOF'])
    assert.equal((await look(lenore, await somebody(raven))).outcome, 'found')
  })

  it('are told after ten seconds, here and through two parents', async () => {
    const told = await Promise.all(toTheDead)
    for (const { outcome, ms } of told) {
      assert.equal(outcome, 'unreachable')
      assert.ok(ms >= 9000 && ms < 20_000, `${ms} ms`)
    }
    assert.equal(told[0]?.code, 'FMTP_CONNECT_FAILED')
  })

  describe('whose connections stand still without a word', () => {
    it('find that out, and ask again over another one what was asked', async () => {
      const [first, second] = [await somebody(tales), await somebody(tales)]
      assert.equal((await look(lenore, first)).outcome, 'found')
      const before = silences(lenore)
      await hosts.wall.stall(hosts.addressOf(lenore), hosts.addressOf(hq))
      const found = await look(lenore, second)
      assert.deepEqual([found.outcome, found.id], ['found', `user.${second}`], found.code)
      assert.ok(found.ms > liveness.pongMs - 100 && found.ms < foundOutMs + 3000, `${found.ms} ms`)
      assert.ok(silences(lenore) > before)
    })

    it('make the link to a parent anew, over which they are found again', async () => {
      const linkedBefore = links(at[region])
      await hosts.wall.stall(hosts.addressOf(region), hosts.addressOf(hq))
      await linked(at[region], hq, linkedBefore + 1)
      const address = await somebody(tales)
      await waitUntil(
        'it is found',
        async () => (await ask(await clientAt(raven), address)).outcome === 'found',
        soonMs,
      )
    })
  })

  describe('cut off from their parent', () => {
    it('are told of as unreachable in time, go on among themselves, and are back by themselves', async () => {
      const [ours, theirs] = [hosts.addressOf(region), hosts.addressOf(hq)]
      const before = [silences(region), silences(hq)] as const
      const linkedBefore = links(at[region])
      await hosts.wall.cut(ours, theirs)
      await waitUntil('the region knows', () => silences(region) > before[0], soonMs)
      await waitUntil('the top knows', () => silences(hq) > before[1], soonMs)
      const address = await somebody(tales)
      const outside = await look(lenore, address)
      assert.equal(outside.outcome, 'unreachable')
      assert.ok(outside.ms < 3000, `${outside.ms} ms`)
      assert.equal((await look(poems, address)).outcome, 'found')
      const upwards = await look(tales, await somebody(lenore))
      assert.equal(upwards.outcome, 'unreachable')
      await hosts.wall.mend(ours, theirs)
      await at[region].advance(60_000)
      await linked(at[region], hq, linkedBefore + 1)
      await waitUntil('it is found', async () => (await look(lenore, address)).outcome === 'found', soonMs)
      assert.equal((await look(tales, await somebody(lenore))).outcome, 'found')
    })

    it('that died, find and write to their own users, nobody else, and all again when it is back', async () => {
      const [own, sibling] = [await somebody(tales), await somebody(poems)]
      const linkedBefore = [links(at[tales]), links(at[region])] as const
      await kill(region)
      await waitUntil('the link is lost', () => lost(at[tales]) > 0, soonMs)
      assert.equal((await look(tales, own)).outcome, 'found')
      const reader = await at[tales].connect(users.get(own) as Person)
      const writer = await clientAt(tales)
      const id = `m1.${writers.get(tales)}`
      const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [own] }
      assert.equal((await writer.describe({ object })).outcome, 'stored')
      const box = await reader.request({ list: { of: 'box', owner: own, kind: 'message' } })
      assert.deepEqual(
        box.describes.map(({ object }) => (object as FmtpObject).id),
        [id],
      )
      reader.close()
      for (const address of [sibling, await somebody(lenore), await somebody(hq)]) {
        const found = await look(tales, address)
        assert.equal(found.outcome, 'unreachable', address)
        assert.ok(found.ms < 3000, `${found.ms} ms`)
      }
      assert.equal((await look(lenore, await somebody(raven))).outcome, 'found')
      await start(region)
      await at[tales].advance(60_000)
      await at[poems].advance(60_000)
      await linked(at[tales], region, linkedBefore[0] + 1)
      await linked(at[region], hq, linkedBefore[1] + 1)
      await waitUntil('it is found', async () => (await look(tales, sibling)).outcome === 'found', soonMs)
      assert.equal((await look(tales, await somebody(lenore))).outcome, 'found')
      assert.equal((await look(lenore, own)).outcome, 'found')
    })
  })

  describe('that write to each other', () => {
    let lastId = 0

    /** Writes to somebody who never heard of the author. */
    async function write(from: Domain, to: string) {
      const client = await clientAt(from)
      const id = `w${++lastId}.${writers.get(from)}`
      const object = { id, kind: 'message', format: 'text/plain', body: 'Nevermore', to: [to] }
      assert.equal((await client.describe({ object })).outcome, 'stored')
      return {
        id,
        become: (wanted: string) =>
          waitUntil(
            `${id} becomes ${wanted}`,
            async () => (await client.request({ id })).answer.results?.[0]?.outcome === wanted,
            soonMs,
          ),
      }
    }

    async function idsInBoxOf(address: string, domain: Domain): Promise<readonly string[]> {
      const reader = await at[domain].connect(users.get(address) as Person)
      const { describes } = await reader.request({ list: { of: 'box', owner: address, kind: 'message' } })
      reader.close()
      return describes.map(({ object }) => (object as FmtpObject).id)
    }

    for (const [from, to] of [
      [tales, lenore],
      [lenore, tales],
      [raven, region],
      [tales, poems],
      [poems, hq],
      [hq, poems],
      [lenore, raven],
    ] as const)
      it(`bring what goes from ${from} to ${to}, once, and say that it is there`, async () => {
        const reader = await somebody(to)
        const { id, become } = await write(from, reader)
        await become('stored')
        assert.deepEqual(await idsInBoxOf(reader, to), [id])
      })

    it('keep what is on its way while a link is down, tell who has it, and bring it then', async () => {
      const [ours, theirs] = [hosts.addressOf(region), hosts.addressOf(hq)]
      const [inner, outer] = [await somebody(tales), await somebody(lenore)]
      const [lostBefore, linkedBefore] = [silences(hq), links(at[region])]
      await hosts.wall.cut(ours, theirs)
      await waitUntil('the top knows', () => silences(hq) > lostBefore, soonMs)
      const [into, out] = [await write(raven, inner), await write(poems, outer)]
      await into.become('relayed')
      await out.become('relayed')
      await hosts.wall.mend(ours, theirs)
      await at[region].advance(60_000)
      await linked(at[region], hq, linkedBefore + 1)
      await into.become('stored')
      await out.become('stored')
      assert.deepEqual(await idsInBoxOf(inner, tales), [into.id])
      assert.deepEqual(await idsInBoxOf(outer, lenore), [out.id])
    })
  })
})

const links = (server: HostServer): number =>
  server.log.filter(({ event }) => event === 'parent.linked').length
const lost = (server: HostServer): number => server.log.filter(({ event }) => event === 'parent.lost').length

async function timed<T extends object>(work: Promise<T>): Promise<T & { readonly ms: number }> {
  const startMs = performance.now()
  return { ...(await work), ms: performance.now() - startMs }
}

describe(`the hosts of a test${hostsMark}`, function () {
  this.timeout(30_000)

  before(function () {
    if (isWithoutHosts) this.skip()
  })

  /** Of these networks, those in which a process is left. */
  function left(ids: readonly string[]): string[] {
    const used = readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .map(pid => {
        try {
          return readlinkSync(`/proc/${pid}/ns/net`)
        } catch {
          return ''
        }
      })
    return ids.filter(id => used.includes(id))
  }
  const ofMachine = (): string => JSON.stringify([networkInterfaces(), readdirSync('/sys/class/net')])

  it('leave nothing behind, and change nothing of the machine', async () => {
    const before = ofMachine()
    const hosts = await Hosts.start()
    await hosts.place(lenore)
    const { ids } = hosts
    assert.deepEqual([left(ids).length, new Set(ids).size], [3, 3])
    assert.ok(!ids.includes(readlinkSync('/proc/self/ns/net')))
    assert.equal(ofMachine(), before)
    await hosts[Symbol.asyncDispose]()
    assert.deepEqual(left(ids), [])
    assert.equal(ofMachine(), before)
  })

  it('leave nothing behind where the process is killed that has them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fmtp-hosts-'))
    const env = { ...process.env, TMPDIR: folder }
    const child = fork(new URL('../support/hosts-process.js', import.meta.url), { env })
    const [ids] = (await once(child, 'message')) as [string[]]
    assert.equal(left(ids).length, 3)
    child.kill('SIGKILL')
    await waitUntil('they are gone', () => left(ids).length === 0, soonMs)
    rmSync(folder, { recursive: true, force: true })
  })
})
