// What kubectl fairlead doctor finds, with what to do about it.

import { useAnswer } from "../data/answer.ts";
import { matcher } from "../data/filter.ts";
import type { Finding, Problems } from "../data/model.ts";
import { plural } from "../format/numbers.ts";
import { Choice, TextFilter } from "../parts/fields.tsx";
import { Fix } from "../parts/fix.tsx";
import { route } from "../parts/location.ts";
import { Empty, Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";
import { Badge, type Tone } from "../parts/status.tsx";

const tones: Record<string, Tone> = { ok: "good", warning: "warn", problem: "bad", unknown: "plain" };
const ranks: Record<string, number> = { problem: 0, warning: 1, unknown: 2, ok: 3 };
const mostShown = 200;

function One({ of: f }: { of: Finding }) {
  return (
    <li class={`finding ${tones[f.result] ?? "plain"}`}>
      <Badge
        tone={tones[f.result] ?? "plain"}
        icon={
          f.result === "unknown"
            ? "unknown"
            : ({ good: "ok", warn: "warn", bad: "bad", plain: "idle" } as const)[tones[f.result] ?? "plain"]
        }
      >
        {f.result}
      </Badge>
      <div>
        <p>{f.what}</p>
        {f.fix && <Fix text={f.fix} />}
        {f.docs && (
          <p class="see">
            <a href={f.docs} target="_blank" rel="noreferrer">
              {titleOf(f.docs)}
              <span class="unseen">, which explains: {f.what} (in a tab of its own)</span>
            </a>
          </p>
        )}
      </div>
    </li>
  );
}

// The address of a page without where it is published and what kind of file it is.
function titleOf(docs: string): string {
  return docs.replace(/^https:\/\/[^/]*\//, "").replace(/\.md(#|$)/, "$1");
}

function groupsOf(findings: readonly Finding[]): [string, Finding[]][] {
  const groups = new Map<string, Finding[]>();
  for (const f of findings) groups.set(f.group, [...(groups.get(f.group) ?? []), f]);
  return [...groups];
}

export function ProblemsPage() {
  const q = route.value.query;
  const answer = useAnswer<Problems>("api/v1/problems", "problems");
  useReady(Boolean(answer.data || answer.error));
  const data = answer.data;
  const fits = matcher(q.q);
  const found = (data?.findings ?? []).filter((f) => fits(`${f.group} ${f.what} ${f.fix ?? ""} ${f.docs ?? ""}`));
  const wrong = found.filter((f) => f.result !== "ok");
  const unknown = (data?.findings ?? []).filter((f) => f.result === "unknown").length;
  const shown = [...(q.result === "all" ? found : wrong)].sort((a, b) => (ranks[a.result] ?? 9) - (ranks[b.result] ?? 9));
  return (
    <>
      <h1>
        Problems
        {data && (
          <span class="badges">
            {data.problems > 0 && <Badge tone="bad">{plural(data.problems, "problem")}</Badge>}
            {data.warnings > 0 && <Badge tone="warn">{plural(data.warnings, "warning")}</Badge>}
            {unknown > 0 && (
              <Badge tone="plain" icon="unknown">
                {plural(unknown, "check")} unknown
              </Badge>
            )}
            {data.problems + data.warnings + unknown === 0 && <Badge tone="good">none found</Badge>}
          </span>
        )}
      </h1>
      <search class="filters" aria-label="Filters">
        <Choice
          label="Which"
          name="result"
          value={q.result}
          options={[
            { value: "", title: "To look at", count: wrong.length },
            { value: "all", title: "All checks", count: found.length },
          ]}
        />
        <TextFilter label="Filter" name="q" value={q.q} hint="contains" now />
      </search>
      <Notes of={answer} />
      {!data && !answer.error && <Waiting />}
      {data && shown.length === 0 && <Empty>{q.q ? "No finding fits." : "All checks are well."}</Empty>}
      {groupsOf(shown.slice(0, mostShown)).map(([group, findings]) => (
        <Section key={group} title={group.slice(0, 1).toUpperCase() + group.slice(1)}>
          <ul class="findings">
            {findings.map((f) => (
              <One key={f.what} of={f} />
            ))}
          </ul>
        </Section>
      ))}
      {shown.length > mostShown && <p class="faint">{plural(shown.length - mostShown, "finding")} more: filter to see them.</p>}
    </>
  );
}
