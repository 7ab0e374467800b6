// Looking at JSON as text: all of these expect text that JSON.parse has accepted already.

/** Index of the quote that closes the string opened at `start`; the end of the text when none does. */
export function endOfString (text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end > 0 && text.charCodeAt(end - 1) === 92 && escaped(text, end)) end = text.indexOf('"', end + 1)
  return end < 0 ? text.length : end
}

/** The text of one member of the outermost object of valid JSON. */
export function memberText (text: string, name: string): string | undefined {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 34) {
      const end = endOfString(text, i)
      if (depth === 1 && isKey(text, end) && JSON.parse(text.slice(i, end + 1)) === name) {
        const start = text.indexOf(':', end) + 1
        return text.slice(start, endOfValue(text, start)).trim()
      }
      i = end
    } else if (c === 123 || c === 91) depth++
    else if (c === 125 || c === 93) depth--
  }
  return undefined
}

/** True when the text is one object and nothing after it: no further members hide behind its closing brace. */
export function isOneObject (text: string): boolean {
  return text.charCodeAt(0) === 123 && closesLast(text)
}

function closesLast (text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 34) i = endOfString(text, i)
    else if (c === 123 || c === 91) depth++
    else if ((c === 125 || c === 93) && --depth === 0) return i === text.length - 1
  }
  return false
}

function escaped (text: string, at: number): boolean {
  let slashes = 0
  while (text.charCodeAt(at - 1 - slashes) === 92) slashes++
  return slashes % 2 === 1
}

function isKey (text: string, end: number): boolean {
  let i = end + 1
  while (text.charCodeAt(i) <= 32) i++
  return text.charCodeAt(i) === 58
}

function endOfValue (text: string, start: number): number {
  let depth = 0
  for (let i = start; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 34) i = endOfString(text, i)
    else if (c === 123 || c === 91) depth++
    else if (c === 125 || c === 93) { if (depth-- === 0) return i } else if (c === 44 && depth === 0) return i
  }
  return text.length
}
