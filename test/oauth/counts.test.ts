import t from 'tap'

import { startGateway } from '../support/gateway.ts'
import { openFlow } from './flow.ts'

t.test('logins, registrations, tokens and their reuse are counted where they happen', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { url } = gateway
  const json = async (path: string, body: unknown, token?: string) => await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) }, body: JSON.stringify(body) })

  const first = await gateway.login()
  t.equal((await json('/auth/login', { username: 'admin', password: 'wrong-password-1' })).status, 401)
  t.equal((await json('/auth/tokens', { name: 'ci' }, first)).status, 201)
  const client = await flow.clientId()
  const code = await flow.code(client)
  const { refresh_token: token } = await (await flow.redeem(client, code)).json() as { refresh_token: string }
  t.equal((await flow.refresh(client, token)).status, 200)
  t.equal((await flow.redeem(client, code)).status, 400, 'a code that comes twice')

  const text = await (await fetch(gateway.metricsUrl)).text()
  for (const line of [
    'portcullis_logins_total{result="ok"} 2',
    'portcullis_logins_total{result="refused"} 1',
    'portcullis_client_registrations_total 1',
    'portcullis_tokens_issued_total{grant="password"} 1',
    'portcullis_tokens_issued_total{grant="personal"} 1',
    'portcullis_tokens_issued_total{grant="authorization_code"} 1',
    'portcullis_tokens_issued_total{grant="refresh_token"} 1',
    'portcullis_token_reuse_total 1',
  ]) t.ok(text.split('\n').includes(line), line)
})
