import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors } from 'jose'
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose'

/** All in milliseconds, but the size in bytes. */
const LIMITS = { answer: 2000, betweenUnknown: 10_000, age: 600_000, firstPause: 1000, longestPause: 60_000, size: 1024 * 1024 }

/** The keys of an issuer cannot be had now. Nothing is known about the token. */
export class KeysUnavailable extends Error {}

/**
 * The public keys behind an address: fetched when they are first needed, when they are ten minutes old, and when a token
 * names one that is not among them, but for that at most every ten seconds. An address that fails is left alone for a
 * second, then 2, 4, … 60. The function rejects with KeysUnavailable, or with an error of jose when there is no such key.
 */
export function openIssuerKeys (address: string, now: () => number): JWTVerifyGetKey {
  const pause = { failures: 0, until: 0 }
  const remote = createRemoteJWKSet(new URL(address), { timeoutDuration: LIMITS.answer, cooldownDuration: LIMITS.betweenUnknown, cacheMaxAge: LIMITS.age, [customFetch]: ask })

  async function ask (url: string, options: RequestInit): Promise<Response> {
    if (now() < pause.until) throw new Error('it failed a moment ago, and is not asked again yet')
    try {
      const text = await fetchKeys(url, options)
      pause.failures = 0
      return new Response(text)
    } catch (error) {
      pause.until = now() + Math.min(LIMITS.longestPause, LIMITS.firstPause * 2 ** pause.failures++)
      throw error
    }
  }

  return async (header, token) => {
    try {
      return await remote(header, token)
    } catch (error) {
      throw ABOUT_THE_TOKEN.some((type) => error instanceof type) ? error : new KeysUnavailable(`the keys at ${address} cannot be had`, { cause: error })
    }
  }
}

/** A set of keys, as text that was found to be one. */
async function fetchKeys (url: string, options: RequestInit): Promise<string> {
  const response = await fetch(url, options)
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`it answers with HTTP ${response.status}`)
  }
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true })
    if (text.length > LIMITS.size) throw new Error(`it answers with more than ${LIMITS.size} bytes`)
  }
  createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
  return text
}

const ABOUT_THE_TOKEN = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported]
