// What a policy comes to after merging, for each destination and set of pods, with the source of each field.

import { useState } from "preact/hooks";
import { matcher } from "../data/filter.ts";
import type { Field, Merge, Policy } from "../data/model.ts";
import { plural } from "../format/numbers.ts";
import { Empty } from "./notes.tsx";
import { type Column, Table } from "./table.tsx";

const columns: Column<Field>[] = [
  { key: "field", title: "Field", part: 4, cell: (f) => <code class={f.default ? "faint" : undefined}>{f.field}</code> },
  {
    key: "value",
    title: "Value",
    part: 4,
    cell: (f) => (
      <span class={f.default ? "faint" : "strong"} title={f.value}>
        {f.value}
      </span>
    ),
  },
  {
    key: "source",
    title: "Source",
    part: 4,
    cell: (f) => (
      <span class={f.default ? "faint" : undefined} title={f.source}>
        {f.source}
      </span>
    ),
  },
];

const narrowColumns: Column<Field>[] = [
  {
    key: "field",
    title: "Field, source",
    part: 6,
    cell: (f) => (
      <span class="two" title={f.source}>
        <code>{f.field}</code>
        <span class="faint">{f.source}</span>
      </span>
    ),
  },
  {
    key: "value",
    title: "Value",
    part: 4,
    cell: (f) => (
      <span class={f.default ? "faint" : "strong"} title={f.value}>
        {f.value}
      </span>
    ),
  },
];

function One({ of: m, all, filter }: { of: Merge; all: boolean; filter: string }) {
  const fits = matcher(filter);
  const rows = m.fields.filter((f) => (all || !f.default || filter) && fits(`${f.field} ${f.value} ${f.source}`));
  const defaults = m.fields.filter((f) => f.default).length;
  const pods = m.pods.slice(0, 5).join(", ");
  return (
    <>
      <p class="faint">
        For {plural(m.allPods, "pod")}
        {pods && `: ${pods}${m.allPods > 5 ? ", …" : ""}`}. Merged of {m.policies.join(", then ")}.
        {m.dryRun && " As a dry run: no call is changed."}
      </p>
      <Table
        label={`Fields in force for ${m.destination}`}
        rows={rows}
        columns={columns}
        narrowColumns={narrowColumns}
        id={(f) => f.field}
        rowHeight={28}
        most={18}
        empty={filter ? "No field fits." : "No policy sets a field."}
      />
      {!all && !filter && defaults > 0 && (
        <p class="faint">{plural(defaults, "field has", "fields have")} the built-in default, or follow from others.</p>
      )}
      {m.rules?.map((r) => (
        <div key={r.name} class="rule">
          <h3>Rule {r.name} differs in</h3>
          <Table
            label={`Fields of rule ${r.name}`}
            rows={r.fields}
            columns={columns}
            narrowColumns={narrowColumns}
            id={(f) => f.field}
            rowHeight={28}
            most={12}
            empty="nothing"
          />
        </div>
      ))}
    </>
  );
}

export function Merges({ of: p }: { of: Policy }) {
  const [at, setAt] = useState(0);
  const [all, setAll] = useState(false);
  const [filter, setFilter] = useState("");
  const m = p.merges[at] ?? p.merges[0];
  if (!m) return <Empty>It governs no calls: it selects no pod, or none of its destinations exists.</Empty>;
  return (
    <>
      <div class="filters">
        {p.merges.length > 1 && (
          <span class="field">
            <label for="merge">For</label>
            <select id="merge" value={String(p.merges.indexOf(m))} onChange={(e) => setAt(Number(e.currentTarget.value))}>
              {p.merges.map((one, i) => (
                <option key={i} value={String(i)}>
                  {one.destination} ({plural(one.allPods, "pod")})
                </option>
              ))}
            </select>
          </span>
        )}
        {p.merges.length === 1 && <strong>{m.destination}</strong>}
        <span class="field">
          <label for="fields">Field</label>
          <input id="fields" type="search" value={filter} placeholder="contains" onInput={(e) => setFilter(e.currentTarget.value)} />
        </span>
        <label class="check">
          <input type="checkbox" checked={all} onChange={(e) => setAll(e.currentTarget.checked)} />
          With defaults
        </label>
        {p.mergesLeftOut ? <span class="faint">{plural(p.mergesLeftOut, "merge")} more: kubectl fairlead describe shows them</span> : null}
      </div>
      <One of={m} all={all} filter={filter} />
    </>
  );
}
