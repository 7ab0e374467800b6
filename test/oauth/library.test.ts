/* eslint-disable no-console -- what is printed is what this test is about */
import t from 'tap'

t.test('loading the authorization server prints nothing, and the console is as it was', async (t) => {
  const { warn } = console
  const said: unknown[] = []
  const listening = (...words: unknown[]): void => { said.push(words) }
  console.warn = listening
  t.teardown(() => { console.warn = warn })
  const { Provider } = await import('../../plugins/oauth/library.ts')
  t.type(Provider, 'function')
  t.same(said, [])
  t.equal(console.warn, listening)
})
