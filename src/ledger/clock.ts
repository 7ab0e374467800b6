/** Time stamps for records: they never go back within one clock, and the text is made once a millisecond. */
export function createClock (now: () => number = Date.now): () => string {
  let latest = -1
  let text = ''
  return () => {
    const time = now()
    if (time > latest) {
      latest = time
      text = new Date(time).toISOString()
    }
    return text
  }
}
