// What travels: a text that is unique to the connection and the call, and filler that looks like real tool output.

const line = '{"path": "src/lib/example.ts", "line": 1234, "text": "const value = compute(a, b); // ok"}\n'

/** Bytes of the unique text. */
export const tagBytes = 20

/** The unique text of call `sequence` on `connection`, so that an answer that reached the wrong caller is noticed. */
export function tag (connection, sequence) {
  return `echo-${String(connection % 1e6).padStart(6, '0')}-${String(sequence % 1e8).padStart(8, '0')}`
}

/** The filler that follows the text in an answer of `size` bytes in all; ASCII, with quotes and newlines that JSON must escape. */
export function filler (size) {
  const length = Math.max(0, size - tagBytes)
  return line.repeat(Math.ceil(length / line.length)).slice(0, length)
}

/** The same, as it stands inside a JSON string; remembered, because echo servers ask for one size over and over. */
export function escapedFiller (size) {
  if (remembered.size !== size) remembered = { size, text: JSON.stringify(filler(size)).slice(1, -1) }
  return remembered.text
}
let remembered = { size: 0, text: '' }
