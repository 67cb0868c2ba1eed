// Light and dark: as the system has it, unless the switch says otherwise.

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const key = "fairlead-theme";

function stored(): Theme {
  try {
    const t = localStorage.getItem(key);
    return t === "light" || t === "dark" ? t : "system";
  } catch {
    return "system"; // where storage is forbidden
  }
}

export const theme = signal<Theme>(stored());

const preference = matchMedia("(prefers-color-scheme: dark)");

/** dark says what is shown. Charts, which are painted, are painted anew when it changes. */
export const dark = signal(false);

effect(() => {
  dark.value = theme.value === "system" ? preference.matches : theme.value === "dark";
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
});

preference.addEventListener("change", () => {
  if (theme.peek() === "system") {
    dark.value = preference.matches;
    document.documentElement.dataset.theme = dark.value ? "dark" : "light";
  }
});

/** nextTheme goes from system to the other than the system's, and back. */
export function nextTheme(): void {
  theme.value = theme.peek() === "system" ? (preference.matches ? "light" : "dark") : "system";
  try {
    if (theme.peek() === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, theme.peek());
  } catch {
    // it holds for this page alone
  }
}
