// Which rows of a long list are in sight: all have one height, so that none has to be measured.

export interface Window {
  /** The first row that is made, and the one after the last. */
  first: number;
  end: number;
  /** Heights of what stands before and after them, in pixels. */
  before: number;
  after: number;
}

/** windowOf says which of a list's rows to make, with some more on both sides so that scrolling shows no gap. */
export function windowOf(rows: number, rowHeight: number, scrollTop: number, height: number, more = 8): Window {
  const top = Math.max(0, Math.min(scrollTop, rows * rowHeight - height));
  const first = Math.max(0, Math.min(rows, Math.floor(top / rowHeight) - more));
  const end = Math.min(rows, Math.ceil((top + height) / rowHeight) + more);
  return { first, end, before: first * rowHeight, after: (rows - end) * rowHeight };
}

/** scrollFor is where to scroll so that a row is in sight: nowhere else, if it is. */
export function scrollFor(row: number, rowHeight: number, scrollTop: number, height: number): number {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  if (top + rowHeight > scrollTop + height) return top + rowHeight - height;
  return scrollTop;
}

/** step is the row that a key leads to; undefined if the key is none that does. */
export function step(key: string, row: number, rows: number, page: number): number | undefined {
  if (rows === 0) return undefined;
  const to = { ArrowDown: row + 1, ArrowUp: row - 1, PageDown: row + page, PageUp: row - page, Home: 0, End: rows - 1 }[key];
  return to === undefined ? undefined : Math.max(0, Math.min(rows - 1, to));
}
