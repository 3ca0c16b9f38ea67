// Where a text is longer than the field it goes to: cut so that what people read stays whole characters.

/** Cut to at most `length` UTF-16 units, never inside a character. */
export function cut(text: string, length: number): string {
  if (text.length <= length) return text
  let kept = ''
  for (const { segment } of new Intl.Segmenter().segment(text.slice(0, length + 64))) {
    if (kept.length + segment.length > length - 1) break
    kept += segment
  }
  return `${kept.trimEnd()}…`
}

/** A host of this machine: where sandboxes are, and the only ones a token may go to without https. */
export const loopback = (hostname: string): boolean => /^(localhost|\[::1\]|127(\.\d+){3})$/.test(hostname)
