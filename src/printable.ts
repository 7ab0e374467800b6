/**
 * What a caller chose must not move the cursor, colour the screen, end a line or turn the direction of writing: every
 * control, format and separator character is shown by its number.
 */
export function printable (text: string): string {
  return text.replaceAll(UNPRINTABLE, character => `\\u{${character.codePointAt(0)?.toString(16).padStart(4, '0')}}`)
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu

/** The same, so that it is still JSON: characters beyond U+FFFF as two halves. */
export function jsonOf (value: object): string {
  return JSON.stringify(value).replaceAll(UNPRINTABLE, character => character.split('').map(half => `\\u${half.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''))
}
