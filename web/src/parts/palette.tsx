// The search: everything that has a name, and the page it has.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Hit, podHit, search } from "../data/search.ts";
import { names } from "./cluster.ts";
import { Dialog } from "./dialog.tsx";
import { Icon, type IconName } from "./icon.tsx";
import { searching } from "./keys.ts";
import { goOn } from "./location.ts";

const icons: Record<string, IconName> = {
  policy: "policies",
  destination: "destinations",
  workload: "overview",
  namespace: "overview",
  node: "nodes",
  pod: "calls",
  page: "next",
};

export function Palette() {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const hits = useMemo(() => {
    const found = search(names.value, query);
    const pod = podHit(query);
    return pod ? [...found, pod] : found;
  }, [query, names.value]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  });
  const close = () => {
    searching.value = false;
  };
  const open = (h: Hit | undefined) => {
    if (!h) return;
    close();
    goOn(h.href);
  };
  const onKeyDown = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[e.key];
    if (step !== undefined) setAt(Math.max(0, Math.min(hits.length - 1, at + step)));
    else if (e.key === "Enter") open(hits[at]);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog label="Search" onClose={close} class="palette">
      <div class="palette-input">
        <Icon name="search" />
        <input
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls="hits"
          aria-activedescendant={hits[at] ? `hit-${at}` : undefined}
          aria-label="Search policies, destinations, workloads, pods and nodes"
          placeholder="Policies, destinations, workloads, pods, nodes"
          autocomplete="off"
          spellcheck={false}
          value={query}
          // The key that opens the search may come as a letter when the field is there already. No name begins with it.
          onBeforeInput={(e) => query === "" && e.data === "/" && e.preventDefault()}
          onInput={(e) => {
            setQuery(e.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
        <kbd>Esc</kbd>
      </div>
      <ul id="hits" role="listbox" aria-label="Found" ref={list} tabIndex={-1}>
        {hits.map((h, i) => (
          <li
            key={`${h.kind} ${h.href}`}
            id={`hit-${i}`}
            role="option"
            aria-selected={i === at}
            onClick={() => open(h)}
            onMouseMove={() => i !== at && setAt(i)}
          >
            <Icon name={icons[h.kind] ?? "next"} />
            <span class="hit-name">{h.name}</span>
            <span class="faint">{h.kind}</span>
          </li>
        ))}
      </ul>
      {hits.length === 0 && <p class="empty">Nothing has that name. Names come from policies, and from the calls of the last hour.</p>}
      <p class="unseen" aria-live="polite">
        {query ? `${hits.length} found` : ""}
      </p>
    </Dialog>
  );
}
