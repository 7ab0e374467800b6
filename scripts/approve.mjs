/**
 * `node approve.mjs URL USER PASSWORD [FOLDER]`: what a person does in a browser, without one. Follows the address that a client
 * opened, logs in, allows, and goes back to the client. Exit code 0: the client was reached. Each address is opened once,
 * however many ways a client has to show it: FOLDER remembers.
 */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

const [start, username, password, folder] = process.argv.slice(2)
if (folder !== undefined) {
  try {
    mkdirSync(join(folder, createHash('sha256').update(start).digest('hex')))
  } catch {
    process.exit(0)
  }
}
const origin = new URL(start).origin
const cookies = new Map()

let page = await visit(start)
for (let step = 0; step < 4 && page.html !== undefined; step++) {
  page = await submit(page, page.html.includes('name="password"') ? { username, password, do: 'login' } : { do: 'allow' })
}
process.exitCode = page.html === undefined ? 0 : 1

/** Until a page of the gateway is shown, or the address is the client's. */
async function visit (url, init = {}) {
  for (let next = url, options = init, hops = 0; hops < 20; hops++) {
    if (new URL(next).origin !== origin) {
      const { status } = await fetch(next)
      return { status }
    }
    const path = new URL(next).pathname
    const cookie = [...cookies.values()].filter(each => path.startsWith(each.path)).map(each => each.pair).join('; ')
    const response = await fetch(next, { ...options, redirect: 'manual', headers: { ...options.headers, cookie } })
    for (const line of response.headers.getSetCookie()) keep(line, path)
    const location = response.headers.get('location')
    if (location === null) return { url: next, html: await response.text() }
    next = new URL(location, next).href
    options = {}
  }
  throw new Error('too many redirects')
}

function keep (line, path) {
  const pair = line.split(';', 1)[0]
  const key = `${pair.split('=', 1)[0]} ${/path=([^;]*)/i.exec(line)?.[1] ?? path}`
  if (line.includes('01 Jan 1970')) cookies.delete(key)
  else cookies.set(key, { pair, path: /path=([^;]*)/i.exec(line)?.[1] ?? path })
}

async function submit ({ url, html }, fields) {
  const action = new URL(/<form[^>]*action="([^"]*)"/.exec(html)[1], url).href
  const csrf = /name="csrf" value="([^"]*)"/.exec(html)[1]
  return await visit(action, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', origin }, body: new URLSearchParams({ csrf, ...fields }).toString() })
}
