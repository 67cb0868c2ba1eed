// The head of every page: which cluster, the search, the time range, whether it is live, light or dark.

import { cluster } from "./cluster.ts";
import { Icon } from "./icon.tsx";
import { helping, searching } from "./keys.ts";
import { LiveMark } from "./live-mark.tsx";
import { route, setQuery, since } from "./location.ts";
import { dark, nextTheme, theme } from "./theme.ts";

const ranges = ["1m", "5m", "10m", "30m", "1h"];
const ranged = new Set(["overview", "policy", "destinations", "destination", "changes"]);

function Range() {
  if (!ranged.has(route.value.page)) return null;
  const all = ranges.includes(since.value) ? ranges : [since.value, ...ranges];
  return (
    <span class="range">
      <label for="range">Last</label>
      <select
        id="range"
        value={since.value}
        onChange={(e) => setQuery({ since: e.currentTarget.value === "10m" ? undefined : e.currentTarget.value })}
      >
        {all.map((r) => (
          <option key={r} value={r}>
            {r}
          </option>
        ))}
      </select>
    </span>
  );
}

export function Header() {
  const c = cluster.value.data;
  const where = c ? c.context || c.server || "in the cluster" : "";
  return (
    <header class="head">
      <a class="brand" href="#/overview">
        <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
          <circle cx="10" cy="10" r="7.5" />
          <circle cx="10" cy="10" r="2.6" />
          <path d="M12.6 10H19" />
        </svg>
        fairlead
      </a>
      <span class="where" title={c?.server ? `${where} (${c.server})` : where}>
        {where}
      </span>
      <button type="button" class="search" onClick={() => (searching.value = true)} aria-keyshortcuts="/">
        <Icon name="search" />
        <span>Search policies, destinations, workloads, pods</span>
        <kbd aria-hidden="true">/</kbd>
      </button>
      <Range />
      <LiveMark />
      <button
        type="button"
        class="plain"
        onClick={nextTheme}
        aria-keyshortcuts="t"
        title={`Colours: ${theme.value === "system" ? "as the system has them" : theme.value} (t)`}
        aria-label={`Show in ${dark.value ? "light" : "dark"} colours`}
      >
        <Icon name={dark.value ? "moon" : "sun"} />
      </button>
      <button type="button" class="plain" onClick={() => (helping.value = true)} title="Keys (?)" aria-label="Keys" aria-keyshortcuts="?">
        <span aria-hidden="true">?</span>
      </button>
    </header>
  );
}
