/* eslint-disable no-console -- the console of a library is what this file is about */

/**
 * On Node 20 oidc-provider prints "Unsupported runtime" when it is loaded: its own tests begin at 22. Ours run all of it on
 * 20 and 24, so that one sentence would only alarm people. Whatever else is said gets through.
 */
const KNOWN = /^(?:\x1b\[[\d;]*m)?oidc-provider WARNING: Unsupported runtime\. Use Node\.js v22\.x LTS/ // eslint-disable-line no-control-regex

const { warn } = console
console.warn = (...said: unknown[]) => { if (!KNOWN.test(String(said[0]))) warn.apply(console, said) }

/** Puts the console back as it was. */
export function letWarn (): void {
  console.warn = warn
}
