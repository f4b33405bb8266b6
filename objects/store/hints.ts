/**
 * "This list has grown": the port that wakes followers (docs/architecture.md). A hint carries a list's name and nothing
 * else, and may be lost: a follower looks at the list's head now and then all the same.
 */
import { type ListName, type ListSort, sortOfList } from './layout.ts'

export interface Hints {
  notify(lists: Iterable<ListName>): void
  /** Calls `wake` whenever one of the lists may have grown; returns what ends that. */
  watch(list: ListName, wake: () => void): () => void
  /** Calls `wake` with every list of one sort, e.g. `outbox`. */
  watchSort(sort: ListSort, wake: (list: ListName) => void): () => void
}

/** Hints within one process. */
export function createHints(): Hints {
  const watchers = new Map<ListName, Set<() => void>>()
  const sorts = new Map<ListSort, Set<(list: ListName) => void>>()

  return {
    notify(lists) {
      for (const list of lists) {
        for (const wake of watchers.get(list) ?? []) wake()
        for (const wake of sorts.get(sortOfList(list)) ?? []) wake(list)
      }
    },
    watch: (list, wake) => add(watchers, list, wake),
    watchSort: (sort, wake) => add(sorts, sort, wake),
  }
}

function add<K, W>(map: Map<K, Set<W>>, key: K, watcher: W): () => void {
  const set = map.get(key) ?? new Set()
  map.set(key, set)
  set.add(watcher)
  return () => {
    set.delete(watcher)
    if (set.size === 0 && map.get(key) === set) map.delete(key)
  }
}
