/** Who may see what (protocol §9.3), asked of the store and of the groups of this server. */
import type { Sight } from '../../objects/disclosure.ts'
import type { Store } from '../../objects/store.ts'
import type { Groups } from '../accounts/groups.ts'

export function createSight(store: Store, groups: Groups): Sight {
  return {
    hasBoxed: (address, id) => store.findBoxedText(address, id) !== undefined,
    isMember: (group, who) => groups.isMember(group, who),
  }
}
