// Keeps the parts of a page that are marked with data-live as they are on the server, and answers forms that are marked
// with data-typing while one types. Everything works without it.
"use strict";

(() => {
  const root = document.body.dataset.root;
  const state = document.getElementById("live");
  let shown = document.body.dataset.revision;
  let source = null;
  let asked = 0;

  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  // path is how an element within a part is found again in another version of it.
  const keyOf = (element, part) => {
    if (element.id) return "#" + CSS.escape(element.id);
    const href = element.getAttribute("href");
    if (href === null) return null;
    const alike = [...part.querySelectorAll("a[href]")].filter((a) => a.getAttribute("href") === href);
    return { href, place: alike.indexOf(element) };
  };

  const find = (part, key) => {
    if (key === null) return null;
    if (typeof key === "string") return part.querySelector(key);
    const alike = [...part.querySelectorAll("a[href]")].filter((a) => a.getAttribute("href") === key.href);
    return alike[key.place] ?? alike[0] ?? null;
  };

  // choices takes over what may be chosen, and leaves what was.
  const choices = (select, next) => {
    const was = select.value;
    const offered = next.value;
    const chosen = !select.selectedOptions[0]?.defaultSelected && [...next.options].some((o) => o.value === was);
    select.replaceChildren(...next.childNodes);
    select.value = chosen ? was : offered;
  };

  // replace takes over one part, and leaves focus and scrolling where they are.
  const replace = (part, next) => {
    if (part.innerHTML === next.innerHTML) return;
    if (part instanceof HTMLSelectElement) {
      choices(part, next);
      return;
    }
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const key = active && keyOf(active, part);
    const scrolled = [...part.querySelectorAll(".scroll[id]")].map((e) => [e.id, e.scrollLeft]);
    part.replaceChildren(...next.childNodes);
    for (const [id, left] of scrolled) {
      const again = document.getElementById(id);
      if (again) again.scrollLeft = left;
    }
    if (active) find(part, key)?.focus({ preventScroll: true });
  };

  // whole takes over all of a page: what it was of is gone, or it is another one now.
  const whole = (next) => {
    const content = document.getElementById("content");
    const again = next.getElementById("content");
    if (content.innerHTML === again.innerHTML) return;
    const active = content.contains(document.activeElement);
    content.replaceChildren(...again.childNodes);
    document.title = next.title;
    content.querySelectorAll("form[data-typing]").forEach(type);
    if (active) content.focus({ preventScroll: true });
  };

  // refresh asks for a page and takes over its parts. Of several answers the one asked for last counts.
  const refresh = async (address) => {
    const turn = ++asked;
    let answer;
    let text;
    try {
      answer = await fetch(address, { headers: { Accept: "text/html" } });
      text = await answer.text();
    } catch {
      return; // The stream says that the server is gone.
    }
    if (turn !== asked) return;
    const next = new DOMParser().parseFromString(text, "text/html");
    if (next.getElementById("content") === null) {
      say("Not live: the server answers " + answer.status + ".");
      return;
    }
    const parts = [...document.querySelectorAll("#content [data-live]")];
    if (parts.length === 0 && next.querySelector("#content [data-live]")) {
      location.reload(); // A page that was not there before.
      return;
    }
    if (parts.length === 0 ? !answer.ok : parts.some((part) => next.getElementById(part.id) === null)) whole(next);
    for (const part of document.querySelectorAll("[data-live]")) {
      const again = next.getElementById(part.id);
      if (again) replace(part, again);
    }
    shown = next.body.dataset.revision;
    document.body.dataset.revision = shown;
  };

  const listen = () => {
    if (source) return;
    source = new EventSource(root + "events");
    let first = true;
    source.addEventListener("change", (event) => {
      const told = JSON.parse(event.data);
      say("Live.");
      if (!first || String(told.revision) !== shown) refresh(location.href);
      first = false;
    });
    source.addEventListener("open", () => say("Live."));
    source.addEventListener("error", () => {
      first = false;
      say(source && source.readyState === EventSource.CLOSED ? "Not live: reload to see what is new." : "Not live: the server does not answer.");
    });
  };

  // A browser has few connections to one server; a page that nobody sees needs none.
  const hush = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => { document.hidden ? hush() : listen(); });
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", () => { if (!document.hidden) listen(); });
  if (!document.hidden) listen();

  // type has a form answered while one types.
  const type = (form) => {
    let waiting = 0;
    const answer = () => {
      const query = new URLSearchParams(new FormData(form));
      for (const [name, value] of [...query]) if (value === "") query.delete(name);
      const address = new URL(form.getAttribute("action") + (query.size ? "?" + query : ""), location.href);
      history.replaceState(null, "", address);
      refresh(address);
    };
    form.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(answer, 150);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(waiting);
      answer();
    });
  };
  document.querySelectorAll("form[data-typing]").forEach(type);
})();
