// The conditions of a policy's status.

import { now } from "../data/live.ts";
import type { Condition } from "../data/model.ts";
import { ago } from "../format/time.ts";
import { type Column, Table } from "./table.tsx";

const columns: Column<Condition>[] = [
  { key: "type", title: "Condition", width: 170, cell: (c) => c.type },
  { key: "status", title: "Status", width: 80, cell: (c) => c.status },
  { key: "reason", title: "Reason", width: 190, only: "medium", cell: (c) => c.reason },
  { key: "since", title: "Since", width: 90, only: "medium", cell: (c) => ago(c.since, now.value) },
  { key: "message", title: "Message", part: 3, cell: (c) => <span title={c.message}>{c.message}</span> },
];

const narrowColumns: Column<Condition>[] = [
  {
    key: "type",
    title: "Condition",
    cell: (c) => (
      <span class="two" title={c.message}>
        <span>
          {c.type}: {c.status}
        </span>
        <span class="faint">{c.message}</span>
      </span>
    ),
  },
];

export function Conditions({ of }: { of: readonly Condition[] }) {
  return (
    <Table
      label="Conditions"
      rows={of}
      columns={columns}
      narrowColumns={narrowColumns}
      id={(c) => c.type}
      empty="No manager has written conditions yet: does one run?"
    />
  );
}
