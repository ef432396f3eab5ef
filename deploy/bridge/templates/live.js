// Asks for the changing part of this page every few seconds, while somebody looks at it, and swaps it in.
(() => {
  const live = document.querySelector("main[data-live]");
  const every = 3000;
  let timer = 0, shown = live && live.innerHTML;
  if (!live) return;

  function swap(html) {
    if (html === shown) return;
    const busy = document.getSelection();
    if (busy && !busy.isCollapsed && live.contains(busy.anchorNode)) return;  // somebody marks text
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...live.querySelectorAll("details[open]")].map((one) => one.id);
    const before = news();
    live.innerHTML = shown = html;
    open.forEach((id) => { const one = id && document.getElementById(id); if (one) one.open = true; });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    if (news() !== before) document.getElementById("said").textContent = news();
  }

  function news() {
    return document.getElementById("news")?.textContent ?? "";
  }

  async function ask() {
    let lost = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Quadrat-Fragment": "1" }, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      lost = !answer.ok;
      if (answer.ok) swap(await answer.text());
    } catch {
      lost = true;
    }
    document.getElementById("lost").hidden = !lost;
    next();
  }

  function next() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(ask, every);
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  next();
})();
