// What is wrong now: open breakers, what fails, what has changed last, whose retries add most load; and how fairlead itself is.

import { urlOf, useAnswer } from "../data/answer.ts";
import { stateOf } from "../data/breakers.ts";
import { toneOf } from "../data/changes.ts";
import { failing, healthOf, Warning } from "../data/flows.ts";
import { now } from "../data/live.ts";
import type { Changes, Cluster, Flow, Problems } from "../data/model.ts";
import { spaced } from "../data/words.ts";
import { count, percent, plural, rate, success } from "../format/numbers.ts";
import { ago } from "../format/time.ts";
import { BreakerList, useBreakers } from "./breakers.tsx";
import { changeId } from "./change-list.tsx";
import { cluster } from "./cluster.ts";
import { DestinationLink, WorkloadLink } from "./flows.tsx";
import { Icon } from "./icon.tsx";
import { linkTo, since } from "./location.ts";
import type { Tone } from "./status.tsx";

const listed = 4;

const icons = { bad: "bad", warn: "warn", good: "ok", plain: "changes" } as const;

function Card({ title, tone, href, children }: { title: string; tone: Tone; href: string; children: preact.ComponentChildren }) {
  return (
    <section class={`card ${tone}`} aria-label={title}>
      <h3>
        <Icon name={icons[tone]} />
        <a href={href}>{title}</a>
      </h3>
      {children}
    </section>
  );
}

/** Awaited keeps the place of a card whose answer is not there yet. */
function Awaited({ title, href }: { title: string; href: string }) {
  return (
    <Card title={title} tone="plain" href={href}>
      <p class="faint">Loading…</p>
    </Card>
  );
}

/** Unknown stands for a card of which nothing can be read: that nothing is wrong is not known then. */
function Unknown({ title, href, why }: { title: string; href: string; why: string }) {
  return (
    <Card title={title} tone="plain" href={href}>
      <p class="faint">{why}</p>
    </Card>
  );
}

/** Failing: who calls what fails most, the calls that fail each second first. */
function Failing({ flows, missing }: { flows: readonly Flow[]; missing: string | undefined }) {
  const ill = flows.filter((f) => healthOf(f) >= Warning && failing(f) > 0).sort((a, b) => failing(b) - failing(a));
  if (ill.length === 0 && missing) {
    return <Unknown title="Flows that fail" href={linkTo("overview", "", { sort: "success" })} why={missing} />;
  }
  if (ill.length === 0) {
    return (
      <Card title="No flow fails" tone="good" href={linkTo("overview", "", { sort: "success" })}>
        <p class="faint">At least 99% of the calls of each flow end well.</p>
      </Card>
    );
  }
  return (
    <Card title={`${plural(ill.length, "flow")} failing`} tone="bad" href={linkTo("overview", "", { sort: "-failing" })}>
      <ul>
        {ill.slice(0, listed).map((f) => (
          <li key={`${f.namespace} ${f.workload} ${f.destination} ${f.target} ${f.policy} ${f.protocol}`}>
            <span class="who">
              <WorkloadLink flow={f} /> → <DestinationLink name={f.destination || f.target || ""} />
            </span>
            <span class="value bad">{percent(success(f) ?? 0)}</span>
            <span class="faint">{rate(failing(f))}/s fail</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Retrying: whose retries add most load. */
function Retrying({ flows }: { flows: readonly Flow[] }) {
  const perSecond = (f: Flow) => (f.calls > 0 ? (f.retries / f.calls) * f.perSecond : 0);
  const most = flows
    .filter((f) => f.retries > 0)
    .sort((a, b) => perSecond(b) - perSecond(a))
    .slice(0, listed);
  if (most.length === 0) return null;
  return (
    <Card title="Most retries" tone="warn" href={linkTo("overview", "", { sort: "-retries" })}>
      <ul>
        {most.map((f) => (
          <li key={`${f.namespace} ${f.workload} ${f.destination} ${f.target} ${f.policy} ${f.protocol}`}>
            <span class="who">
              <WorkloadLink flow={f} /> → <DestinationLink name={f.destination || f.target || ""} />
            </span>
            <span class="value">{rate(perSecond(f))}/s</span>
            <span class="faint">of {rate(f.perSecond)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

interface Sign {
  text: string;
  href: string;
  tone: Tone;
}

/** signsOf says in a few words how fairlead itself and its policies are. */
function signsOf(c: Cluster, found: Problems | undefined): Sign[] {
  const signs: Sign[] = [];
  const away = c.agents ? c.agents.desired - c.agents.ready : 0;
  if (c.manager && c.manager.ready < c.manager.desired)
    signs.push({ text: `manager: ${c.manager.ready} of ${c.manager.desired} ready`, href: linkTo("problems"), tone: "bad" });
  if (away > 0)
    signs.push({
      text: `${count(away)} of ${plural(c.agents?.desired ?? 0, "agent")} not ready`,
      href: linkTo("nodes", "", { state: "away" }),
      tone: "bad",
    });
  if (found?.problems) signs.push({ text: plural(found.problems, "problem"), href: linkTo("problems"), tone: "bad" });
  if (found?.warnings) signs.push({ text: plural(found.warnings, "warning"), href: linkTo("problems"), tone: "warn" });
  if (c.policies.attention > 0)
    signs.push({
      text: `${count(c.policies.attention)} of ${plural(c.policies.all, "policy", "policies")} need attention`,
      href: linkTo("policies", "", { state: "attention" }),
      tone: "warn",
    });
  if (signs.length === 0 && c.notes?.length) signs.push({ text: "not everything can be read", href: linkTo("problems"), tone: "plain" });
  if (signs.length === 0)
    signs.push({
      text: `manager, agents and ${plural(c.policies.all, "policy", "policies")} are well`,
      href: linkTo("policies"),
      tone: "good",
    });
  return signs;
}

function Signs({ of }: { of: Cluster }) {
  const found = useAnswer<Problems>("api/v1/problems", "problems").data;
  return (
    <ul aria-label="Manager, agents and policies">
      {signsOf(of, found).map((s) => (
        <li key={s.text}>
          <a href={s.href} class={`badge ${s.tone}`}>
            <Icon name={icons[s.tone]} />
            <span>{s.text}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** Latest: what has changed last. */
function Latest() {
  const { data, error } = useAnswer<Changes>(urlOf("api/v1/changes", { since: since.value, limit: String(listed) }), "changes");
  const items = data?.items;
  const missing = error ?? data?.notes?.[0];
  if (!items?.length && missing) return <Unknown title="What changed" href={linkTo("changes")} why={missing} />;
  if (!items) return <Awaited title="What changed" href={linkTo("changes")} />;
  return (
    <Card title={items.length > 0 ? "What changed" : "Nothing has changed"} tone="plain" href={linkTo("changes")}>
      {items.length === 0 && <p class="faint">No edit, rollout, breaker or agent in the last {since.value}.</p>}
      <ul>
        {items.map((c) => (
          <li key={changeId(c)}>
            <span class="who">
              <span class={`value ${toneOf(c.kind)}`}>{spaced(c.kind)}</span>{" "}
              {c.policy ? <a href={linkTo("policy", c.policy)}>{c.policy}</a> : (c.node ?? "")}
            </span>
            <span class="faint">{ago(c.at, now.value)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Open: which breakers are open, and which endpoints kept out. */
function Open() {
  const { all: breakers, missing } = useBreakers();
  if (!breakers?.length && missing) return <Unknown title="Breakers" href={linkTo("destinations", "", { state: "open" })} why={missing} />;
  if (!breakers) return <Awaited title="Breakers" href={linkTo("destinations", "", { state: "open" })} />;
  const open = breakers.filter((t) => stateOf(t) === "open").length;
  const title =
    open > 0
      ? `${plural(open, "destination")} with open breakers`
      : breakers.length > 0
        ? "Breakers probing, or endpoints ejected"
        : "No breaker is open";
  return (
    <Card
      title={title}
      tone={open > 0 ? "bad" : breakers.length > 0 ? "warn" : "good"}
      href={linkTo("destinations", "", { state: "open" })}
    >
      <BreakerList of={breakers.slice(0, listed)} />
    </Card>
  );
}

export function Attention({ flows, missing }: { flows: readonly Flow[]; missing: string | undefined }) {
  const c = cluster.value.data;
  return (
    <section class="attention" aria-labelledby="attention">
      <h2 id="attention" class="unseen">
        What needs attention
      </h2>
      <div class="signs">{c && <Signs of={c} />}</div>
      <Open />
      <Failing flows={flows} missing={missing} />
      <Latest />
      <Retrying flows={flows} />
    </section>
  );
}
