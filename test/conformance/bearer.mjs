// node --import bearer.mjs SUITE …: gives every request of the conformance suite, which knows no such option, the token
// in CONFORMANCE_TOKEN. It sends by fetch, by undici and by node:http.
import http from 'node:http'
import { createRequire, syncBuiltinESMExports } from 'node:module'

const authorization = `Bearer ${process.env.CONFORMANCE_TOKEN}`

const { request } = http
http.request = (options, onResponse) => request({ ...options, headers: { ...options.headers, authorization } }, onResponse)

// fetch and the suite's own undici share the dispatcher that is set through either of them.
const { getGlobalDispatcher, setGlobalDispatcher } = createRequire(process.env.CONFORMANCE_ENTRY)('undici')
setGlobalDispatcher(getGlobalDispatcher().compose((dispatch) => (options, handler) => dispatch({ ...options, headers: withToken(options.headers) }, handler)))

function withToken (headers) {
  if (Array.isArray(headers)) return [...headers, 'authorization', authorization]
  const entries = typeof headers?.[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers ?? {})
  return Object.fromEntries([...entries, ['authorization', authorization]])
}

syncBuiltinESMExports()
