// A part of a page with a heading.

export function Section({
  title,
  more,
  children,
  id,
}: {
  title: string;
  more?: preact.ComponentChildren;
  children: preact.ComponentChildren;
  id?: string;
}) {
  const heading = id ?? `section-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return (
    <section class="section" aria-labelledby={heading}>
      <header>
        <h2 id={heading}>{title}</h2>
        {more && <div class="more">{more}</div>}
      </header>
      {children}
    </section>
  );
}
