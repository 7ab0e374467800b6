/**
 * The forms in which a text must be looked at, so that a disguise does not hide it: as it came, normalised, and with its
 * percent-encoding undone once and twice.
 */

/** Beyond ASCII there are look-alikes; a percent sign may start an encoded character. */
export function isPlain (text: string): boolean {
  return !text.includes('%') && isAscii(text)
}

/** Every distinct form, the text itself first; each is made when it is asked for. */
export function * formsOf (text: string): Generator<string, void> {
  yield text
  const seen = new Set([text])
  let decoded = text
  for (let round = 0; round <= 2; round++) {
    const form = normalise(decoded)
    if (!seen.has(form)) yield form
    seen.add(form)
    if (!decoded.includes('%')) return
    decoded = percentDecode(decoded)
  }
}

/** Counting bytes is ten times as fast as looking for a character. */
function isAscii (text: string): boolean {
  return Buffer.byteLength(text) === text.length
}

/** What has no picture of its own: soft hyphens, zero-width and directional characters, fillers, variation selectors, tags. */
const invisible = /\p{Default_Ignorable_Code_Point}/gu

/**
 * Marks on one letter beyond the thirty that Unicode's stream-safe format has: normalising sorts the marks of a letter,
 * in quadratic time. The two that are no marks by themselves become such.
 */
const tooManyMarks = /([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+/gu

/** Compatibility forms folded, and what cannot be seen removed. The ideographic full stop separates the labels of a host name, too. */
export function normalise (text: string): string {
  if (isAscii(text)) return text
  return text.replace(invisible, '').replace(tooManyMarks, '$1').normalize('NFKC').replace(invisible, '').replaceAll('\u3002', '.')
}

/** Decodes what is an encoded byte and leaves the rest, like a lenient server. Two-byte forms of ASCII count too. */
function percentDecode (text: string): string {
  const bytes = Buffer.from(text)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at] ?? 0
    const encoded = byte === percent ? encodedAt(bytes, at) : -1
    if (encoded >= 0) {
      byte = encoded
      at += 2
      const next = isOverlong(byte) ? encodedAt(bytes, at + 1) : -1
      if (next >= 0) {
        byte = ((byte & 0x1f) << 6) | (next & 0x3f)
        at += 3
      }
    }
    bytes[length++] = byte
  }
  return bytes.toString('utf8', 0, length)
}

const percent = 0x25

/** Overlong forms (%c0%ae for a dot) are no valid UTF-8, but old servers take them for what they stand for. */
function isOverlong (lead: number): boolean {
  return lead === 0xc0 || lead === 0xc1
}

/** The byte that `%` and two hexadecimal digits stand for, -1 where there are none. */
function encodedAt (bytes: Buffer, at: number): number {
  if (bytes[at] !== percent) return -1
  const high = digit(bytes[at + 1])
  const low = digit(bytes[at + 2])
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function digit (byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
