import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import type { FastifyReply, FastifyRequest } from 'fastify'

import { ACCOUNT_LIFE } from '../../src/identity/account.ts'

/**
 * The one cookie of the account pages: random before somebody logs in, the secret of the login after. Forms carry a token
 * that only we can make of it, so a page of somebody else can send none.
 */
export interface AccountCookie {
  read (request: FastifyRequest): string | undefined
  write (reply: FastifyReply, value: string): void
  /** Of this browser; a new one when it has none yet. */
  ensure (request: FastifyRequest, reply: FastifyReply): string
  tokenOf (value: string): string
  /** Whether a form that a page of ours made for this browser came from a page of ours. */
  isOurs (request: FastifyRequest, token: unknown): boolean
}

export function openAccountCookie (key: Buffer, publicUrl: string): AccountCookie {
  const secure = publicUrl.startsWith('https:')
  // A name with __Host- is refused by browsers without TLS, and over TLS keeps other hosts from setting it.
  const name = secure ? '__Host-portcullis-account' : 'portcullis-account'

  const read = (request: FastifyRequest): string | undefined => readCookie(request, name)

  function write (reply: FastifyReply, value: string): void {
    void reply.header('set-cookie', `${name}=${value}; Path=/; Max-Age=${ACCOUNT_LIFE / 1000}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`)
  }

  function tokenOf (value: string): string {
    return createHmac('sha256', key).update(value).digest('base64url')
  }

  return {
    read,
    write,
    tokenOf,
    ensure (request, reply) {
      const value = read(request) ?? randomBytes(32).toString('base64url')
      write(reply, value)
      return value
    },
    isOurs (request, token) {
      const { origin, 'sec-fetch-site': site } = request.headers
      const value = read(request)
      if (value === undefined || (site !== undefined && site !== 'same-origin') || (origin !== undefined && origin !== publicUrl)) return false
      const [given, wanted] = [Buffer.from(String(token ?? '')), Buffer.from(tokenOf(value))]
      return given.length === wanted.length && timingSafeEqual(given, wanted)
    },
  }
}

/** The cookie of this name, when it holds a secret of the size of ours. */
export function readCookie (request: FastifyRequest, name: string): string | undefined {
  const pair = request.headers.cookie?.split(/; */).find((text) => text.startsWith(`${name}=`))
  const value = pair?.slice(name.length + 1)
  return value !== undefined && /^[\w-]{43}$/.test(value) ? value : undefined
}
