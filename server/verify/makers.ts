/** What a home can make anew of its own users: credentials of live keys, and everyone's view. */
import { keyOf } from '../../objects/store/layout.ts'
import type { User } from '../../schemas/kinds/user.ts'
import { type Address, type Domain, makeObjectId, type Name } from '../../schemas/text/names.ts'
import { viewWrite } from '../accounts/user-view.ts'
import type { Core } from '../core/core.ts'
import type { Makers } from './sight.ts'

export type MakersPorts = Pick<Core, 'accounts' | 'store' | 'clock' | 'domains'>

export function createMakers({ accounts, store, clock, domains }: MakersPorts): Makers {
  /** `undefined`: not ours, or its account can not be read. */
  function findHome(owner: string) {
    try {
      return accounts.isOwn(owner as Name) ? accounts.homeKey(owner as Name) : undefined
    } catch {
      return undefined
    }
  }

  return {
    isOwnDomain: name => domains.has(name as Domain),
    findCredential(owner, thumbprint) {
      const home = findHome(owner)
      if (home === undefined) return undefined
      if (home.signer.kid === thumbprint) return home.credential
      try {
        return accounts.renewedCredential(owner as Address, thumbprint)
      } catch {
        return undefined
      }
    },
    async findViewWrite(address) {
      const home = findHome(address)
      const user = store.findObject(makeObjectId('user', address as Name)) as User | undefined
      if (home === undefined || user === undefined) return undefined
      if (store.database.get(keyOf.view('everyone', address)) !== undefined) return undefined
      const devices = await accounts.listDevices(address as Address)
      const keys = [home.signer.kid, ...devices.map(({ thumbprint }) => thumbprint)]
      return viewWrite(user, keys, { store, home, before: undefined, nowMs: clock.now() })
    },
  }
}
