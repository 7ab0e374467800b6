import type { ZxcvbnFactory } from '@zxcvbn-ts/core'

/** Of the scores 0 to 4, the only one that stands for more than 10^10 guesses. */
const STRONG = 4

/** Code units that are looked at: the work grows faster than the length, and what is strong so far stays strong. */
const LOOKED_AT = 40

/** Words of this gateway and one famous example; the lists know the rest. */
const OWN_WORDS = ['portcullis', 'gateway', 'administrator', 'correcthorsebatterystaple']

/**
 * How an attacker would find this password, in words, or undefined when it would take more than 10^10 guesses. Knows 49 000
 * leaked passwords, keyboard rows, repeats, counts, dates and letters written as digits; asks nobody.
 */
export async function guess (text: string, username: string): Promise<string | undefined> {
  const { check } = await (estimator ??= openEstimator())
  const { score, feedback } = check(text.slice(0, LOOKED_AT), [...OWN_WORDS, username])
  return score >= STRONG ? undefined : WAYS[feedback.warning ?? ''] ?? 'it follows a common pattern'
}

type Estimator = Pick<ZxcvbnFactory, 'check'>

let estimator: Promise<Estimator> | undefined

/** The lists take 25 MB, so they are read only when somebody chooses a password. */
async function openEstimator (): Promise<Estimator> {
  const [{ ZxcvbnFactory }, { adjacencyGraphs, dictionary }] = await Promise.all([import('@zxcvbn-ts/core'), import('@zxcvbn-ts/language-common')])
  const opened = new ZxcvbnFactory({ dictionary: { 'passwords-common': dictionary['passwords-common'] }, graphs: adjacencyGraphs, maxLength: LOOKED_AT })
  return { check: (text, words) => opened.check(text, words) }
}

/** What the estimate says weakens the password most → words. */
const WAYS: Readonly<Record<string, string>> = {
  straightRow: 'a row of keys',
  keyPattern: 'a pattern of keys',
  simpleRepeat: 'a sign that is repeated',
  extendedRepeat: 'signs that are repeated',
  sequences: 'a sequence such as abc or 6543',
  recentYears: 'a year',
  dates: 'a date',
  topTen: 'one of the commonest passwords',
  topHundred: 'one of the commonest passwords',
  common: 'a password that is often used',
  similarToCommon: 'close to a password that is often used',
  wordByItself: 'a single word',
  userInputs: 'the user name, or a word that belongs to this gateway',
  pwned: 'a password that was leaked',
}
