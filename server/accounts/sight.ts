/** Who may see what (protocol §9.3), asked of the store and of the groups of this server. */

import type { Store } from '../../objects/store/store.ts'
import type { Sight } from '../../objects/visibility.ts'
import type { Groups } from './groups.ts'

export function createSight(store: Store, groups: Groups): Sight {
  return {
    hasBoxed: (address, id) => store.findBoxedText(address, id) !== undefined,
    isMember: (group, who) => groups.isMember(group, who),
  }
}
