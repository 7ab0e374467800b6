/**
 * The forms in which a text must be looked at, so that a disguise does not hide it: as it came, normalised, and with its
 * percent-encoding undone once and twice.
 */

/** Beyond ASCII there are look-alikes; a percent sign may start an encoded character. */
export function isPlain (text: string): boolean {
  return !text.includes('%') && isAscii(text)
}

/** Every distinct form, the text itself first. */
export function formsOf (text: string): string[] {
  const forms = new Set([text, normalise(text)])
  let decoded = text
  for (let round = 0; round < 2 && decoded.includes('%'); round++) {
    decoded = percentDecode(decoded)
    forms.add(normalise(decoded))
  }
  return [...forms]
}

/** Counting bytes is ten times as fast as looking for a character. */
function isAscii (text: string): boolean {
  return Buffer.byteLength(text) === text.length
}

/** What has no picture of its own: soft hyphens, zero-width and directional characters, fillers, variation selectors, tags. */
const invisible = /\p{Default_Ignorable_Code_Point}/gu

/** Compatibility forms folded, and what cannot be seen removed. The ideographic full stop separates the labels of a host name, too. */
function normalise (text: string): string {
  return isAscii(text) ? text : text.replace(invisible, '').normalize('NFKC').replace(invisible, '').replaceAll('\u3002', '.')
}

/** Decodes what is an encoded byte and leaves the rest, like a lenient server. Two-byte forms of ASCII count too. */
function percentDecode (text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => decodeBytes(Buffer.from(run.replaceAll('%', ''), 'hex')))
}

/** Overlong forms (%c0%ae for a dot) are no valid UTF-8, but old servers take them for what they stand for. */
function decodeBytes (bytes: Buffer): string {
  let text = ''
  let from = 0
  for (let at = 0; at + 1 < bytes.length; at++) {
    const lead = bytes.readUInt8(at)
    if (lead !== 0xc0 && lead !== 0xc1) continue
    text += bytes.toString('utf8', from, at) + String.fromCharCode(((lead & 0x1f) << 6) | (bytes.readUInt8(at + 1) & 0x3f))
    from = ++at + 1
  }
  return text + bytes.toString('utf8', from)
}
