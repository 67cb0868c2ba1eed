// A dialog over the page: the browser keeps the focus in it, and gives it back.

import { useEffect, useRef } from "preact/hooks";

export function Dialog({
  label,
  onClose,
  children,
  class: name,
}: {
  label: string;
  onClose: () => void;
  children: preact.ComponentChildren;
  class: string;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = ref.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  // A browser says with its next frame that a dialog was closed, when the next one may be open already: one that is not there any more is not heard.
  const closed = () => ref.current && onClose();
  return (
    <dialog ref={ref} class={name} aria-label={label} onClose={closed} onClick={(e) => e.target === ref.current && onClose()}>
      {children}
    </dialog>
  );
}
