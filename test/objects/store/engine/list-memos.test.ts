import assert from 'node:assert/strict'
import { ListMemos } from '../../../../objects/store/engine/list-memos.ts'
import { listOf } from '../../../../objects/store/layout.ts'

const list = listOf.public('edgar@poe.net')

describe('memos of lists', () => {
  let memos: ListMemos
  let reads: number

  beforeEach(() => {
    memos = new ListMemos()
    reads = 0
  })

  const read = async (): Promise<number> => ++reads

  it('are read once while the list does not change', async () => {
    assert.equal(await memos.remember(list, 'a', read), 1)
    assert.equal(await memos.remember(list, 'a', read), 1)
    assert.equal(await memos.remember(list, 'b', read), 2)
    memos.forget(list)
    assert.equal(await memos.remember(list, 'a', read), 3)
  })

  it('forget what was read while the list changed', async () => {
    const slow = memos.remember(list, 'a', async () => {
      const value = ++reads
      await Promise.resolve()
      memos.forget(list)
      return value
    })
    assert.equal(await slow, 1)
    assert.equal(await memos.remember(list, 'a', read), 2)
  })
})
