import t from 'tap'

import { startGateway } from '../support/gateway.ts'
import { errorOf, openFlow } from './flow.ts'

t.test('signs that cannot be stored are refused for what they are, and nothing breaks (22, 37)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const client = await flow.clientId()
  for (const metadata of [{ redirect_uris: ['http://127.0.0.1/\0'] }, { client_uri: 'https://app.example/\0' }, { client_name: 'half a character: \ud800' }]) {
    t.equal(await errorOf(await flow.register(metadata)), '400 invalid_client_metadata', JSON.stringify(metadata))
  }
  t.equal((await flow.register({ client_name: 'a backslash, not a sign: \\u0000' })).status, 201)
  for (const name of ['state', 'login_hint', 'ui_locales']) {
    const { status, headers } = await fetch(flow.authorizationUrl(client, { [name]: 'a\0b' }), { redirect: 'manual' })
    t.equal(status, 303, name)
    t.equal(new URL(headers.get('location') ?? '', gateway.url).searchParams.get('error'), 'invalid_request', name)
  }
  t.equal((await fetch(flow.authorizationUrl('\0'), { redirect: 'manual' })).status, 400)
  t.equal(await errorOf(await flow.redeem('\0', 'x')), '401 invalid_client')
  t.equal(await errorOf(await flow.redeem(client, '\0')), '400 invalid_grant')
  t.notMatch(gateway.log(), /the authorization server failed|cannot be reached/)
})

t.test('the way back to the device pages leads to their beginning for whoever did not set out (43)', async (t) => {
  const gateway = await startGateway(t)
  const { status, headers } = await fetch(`${gateway.url}/oauth/device/nothing`, { redirect: 'manual' })
  t.equal(status, 302)
  t.equal(headers.get('location'), '/oauth/device')
  t.notMatch(gateway.log(), 'the authorization server failed')
})
