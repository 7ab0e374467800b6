/** A browser without a screen: follows redirects, keeps cookies by path, fills in forms. Knows nothing of the gateway but its pages. */
export interface Browser {
  /** Goes to an address and follows redirects until a page is shown or the address leaves the gateway. */
  open (url: string, options?: { headers?: Record<string, string> }): Promise<Page>
  /** Sends the first form of the page with these fields; with `stopBefore` it goes to no address with this path. */
  submit (page: Page, fields: Record<string, string>, options?: { headers?: Record<string, string>, action?: string, stopBefore?: string }): Promise<Page>
  readonly cookies: Map<string, Cookie>
}

export interface Cookie { readonly name: string, readonly value: string, readonly path: string, readonly attributes: string }

export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: Headers
  readonly html: string
}

/** Leaves none of these origins. */
export function openBrowser (...origins: string[]): Browser {
  const cookies = new Map<string, Cookie>()

  async function visit (url: string, init: RequestInit, stopBefore?: string): Promise<Page> {
    let next = url
    let options = init
    for (let hops = 0; hops < 20; hops++) {
      if (!origins.includes(new URL(next).origin) || new URL(next).pathname === stopBefore) return { url: next, status: 0, headers: new Headers(), html: '' }
      const response = await fetch(next, { ...options, redirect: 'manual', headers: { ...options.headers as Record<string, string>, cookie: cookieHeader(new URL(next).pathname) } })
      for (const line of response.headers.getSetCookie()) keep(line, next)
      const location = response.headers.get('location')
      if (location === null) return { url: next, status: response.status, headers: response.headers, html: await response.text() }
      await response.body?.cancel()
      next = new URL(location, next).href
      options = {}
    }
    throw new Error('too many redirects')
  }

  function keep (line: string, url: string): void {
    const [pair = '', ...rest] = line.split(/; */)
    const name = pair.slice(0, pair.indexOf('='))
    const path = /path=([^;]*)/i.exec(line)?.[1] ?? new URL(url).pathname
    const isGone = /expires=Thu, 01 Jan 1970/i.test(line)
    if (isGone) cookies.delete(`${name} ${path}`)
    else cookies.set(`${name} ${path}`, { name, value: pair.slice(pair.indexOf('=') + 1), path, attributes: rest.join('; ') })
  }

  function cookieHeader (path: string): string {
    return [...cookies.values()].filter((cookie) => path.startsWith(cookie.path)).map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  return {
    cookies,
    open: async (url, { headers = {} } = {}) => await visit(url, { headers }),
    async submit (page, fields, { headers = {}, action, stopBefore } = {}) {
      const target = action ?? new URL(unescape(/<form[^>]*action="([^"]*)"/.exec(page.html)?.[1] ?? ''), page.url).href
      const hidden = [...page.html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name = '', value = '']): [string, string] => [name, unescape(value)])
      const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...fields })
      return await visit(target, { method: 'POST', body: body.toString(), headers: { 'content-type': 'application/x-www-form-urlencoded', origin: new URL(target).origin, 'sec-fetch-site': 'same-origin', ...headers } }, stopBefore)
    },
  }
}

function unescape (text: string): string {
  return text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

/** Logs in and allows; returns where the browser was sent: the client's address with the code. */
export async function letIn (browser: Browser, authorizationUrl: string, username: string, password: string): Promise<URL> {
  let page = await browser.open(authorizationUrl)
  if (page.html.includes('name="password"')) page = await browser.submit(page, { username, password, do: 'login' })
  if (page.status !== 200) throw new Error(`no consent page: ${page.status} ${page.url} ${page.html}`)
  return new URL((await browser.submit(page, { do: 'allow' })).url)
}
