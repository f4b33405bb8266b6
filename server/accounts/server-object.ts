/** The `server` object of each domain of ours (protocol §6.4), made again at a start that finds it changed. */
import type { Clock } from '../../objects/clock.ts'
import { sealObject } from '../../objects/seals/seal.ts'
import { describe } from '../../objects/store/new-version.ts'
import type { Store } from '../../objects/store/store.ts'
import { canonicalText } from '../../schemas/canonical.ts'
import type { Server } from '../../schemas/kinds/server.ts'
import type { Unsealed } from '../../schemas/object.ts'
import { type Domain, makeObjectId } from '../../schemas/text/names.ts'
import type { Accounts } from './accounts.ts'

export interface ServerFacts {
  readonly limits: NonNullable<Server['limits']>
  readonly software: string
  readonly softwareVersion: string
  /** Who stands for the domain besides itself (protocol §10.8). */
  readonly parents: readonly string[]
}

export async function ensureServerObject(
  domain: Domain,
  { parents, ...facts }: ServerFacts,
  ports: { readonly store: Store; readonly accounts: Accounts; readonly clock: Clock },
): Promise<void> {
  const { store, accounts, clock } = ports
  await accounts.ensureDomainAccount(domain)
  const id = makeObjectId('server', domain)
  const before = store.findObject(id) as Server | undefined
  const said = { domain, registration: 'closed', ...facts } as const
  if (
    before !== undefined &&
    isSame(before.parents ?? [], parents) &&
    Object.entries(said).every(([name, value]) => isSame(before[name as keyof Server], value))
  )
    return
  const nowMs = clock.now()
  const unsealed: Unsealed<Server> = {
    ...said,
    ...(parents.length === 0 ? {} : { parents: [...parents] }),
    createdAt: before?.createdAt ?? new Date(nowMs).toISOString(),
    id,
    kind: 'server',
    owner: domain,
    public: true,
    version: Math.max(nowMs, (before?.version ?? 0) + 1),
  }
  const sealed = sealObject(unsealed, accounts.homeKey(domain))
  await store.database.commit([describe(sealed, store.findBefore(id), 'made', store)])
}

function isSame(left: unknown, right: unknown): boolean {
  return canonicalText({ value: left }) === canonicalText({ value: right })
}
