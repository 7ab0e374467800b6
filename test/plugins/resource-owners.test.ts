import t from 'tap'
import { resourceOwners } from '../../plugins/mcp/resource-owners.ts'
import type { Call } from '../../src/call.ts'

t.test('a link to a URI that nobody could ask for is not remembered', async (t) => {
  const owners = resourceOwners({ reached: () => ['alpha', 'beta'], itemsOf: () => Promise.resolve([]), allowed: () => true })
  const call = { principal: { id: 'alice' } } as Call
  const [longest, longer] = [2048, 2049].map((length) => 'memo://linked/'.padEnd(length, 'x')) as [string, string]
  owners.learn(call, 'beta', JSON.stringify({ content: [longer, longest].map((uri) => ({ type: 'resource_link', uri, name: 'linked' })) }))
  t.equal((await owners.ownerOf(call, longest))?.upstream, 'beta')
  t.equal(await owners.ownerOf(call, longer), undefined)
})
