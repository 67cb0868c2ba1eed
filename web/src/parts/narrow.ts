// Whether the page is narrow: then tables have fewer columns, of two lines.

import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 860px)"); // as style/narrow.css has it

export const narrow = signal(query.matches);

query.addEventListener("change", () => {
  narrow.value = query.matches;
});
