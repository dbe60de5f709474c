"use strict";

// Every address here is relative to the page's base: to /, or to what a
// gateway makes of it.

function say(text) {
  document.getElementById("message").textContent = text;
}

async function show() {
  const response = await fetch("api/charts");
  if (response.headers.get("Content-Type") !== "application/json") {
    throw new Error(`api/charts: the answer, ${response.status}, is not the catalog's own.`);
  }
  const { charts } = await response.json();
  document.getElementById("charts").replaceChildren(...charts.map((name) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `chart/${name}`;
    link.textContent = name;
    item.append(link);
    return item;
  }));
  const [, shown] = location.pathname.match(/chart\/([^/]+)$/) || [];
  say(shown ? `The chart ${shown}.` : "All charts:");
}

show().catch((error) => say(error.message));
